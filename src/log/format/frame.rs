//! Frames: one group commit each.
//!
//! ```text
//!  0  length of the frame, padding included; a multiple of 8        4
//!  4  CRC of salt, header without this field, each record's CRC     4
//!  8  position of the first event (of the next one, if none here)   8
//! 16  recorded_at, microseconds since the Unix epoch                8
//! 24  number of records                                             4
//! 28  number of events among them                                   4
//! 32  CRC of the frame before in this segment, of the segment
//!     header for the first                                          4
//! 36  length of the records, without padding                        4
//! 40  synced_to: the address up to which the log was known to be
//!     synced when this frame was written                            8
//! 48  records, then zeros up to a multiple of 8
//! ```

use super::record::{RecordHeader, check_record, records};
use super::{Bad, Reader, Salt};
use crate::log::{Address, RecordKind};
use crate::planted::{Bug, planted};

/// Bytes of a frame header.
pub(crate) const FRAME_HEADER_LEN: usize = 48;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) first_position: u64,
    pub(crate) recorded_at: i64,
    pub(crate) records: u32,
    pub(crate) events: u32,
    pub(crate) previous_crc: u32,
    pub(crate) body_len: u32,
    pub(crate) synced_to: Address,
}

/// `length` brought up to a multiple of 8.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

impl FrameHeader {
    /// The header at the front of `bytes`, if its numbers fit each other and `max_len`.
    pub(crate) fn decode(bytes: &[u8], max_len: usize) -> Result<Self, Bad> {
        let header = Self::fields(bytes).ok_or("the frame header is cut short")?;
        let length = header.length as usize;
        if !length.is_multiple_of(8)
            || length > max_len
            || length != padded(FRAME_HEADER_LEN + header.body_len as usize)
        {
            return Err("the frame's length is impossible");
        }
        let smallest = u64::from(header.records) * super::RECORD_HEADER_LEN as u64;
        if header.records == 0 || header.events > header.records || smallest > u64::from(header.body_len) {
            return Err("the frame's number of records is impossible");
        }
        Ok(header)
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        Some(Self {
            length: fields.u32()?,
            crc: fields.u32()?,
            first_position: fields.u64()?,
            recorded_at: fields.i64()?,
            records: fields.u32()?,
            events: fields.u32()?,
            previous_crc: fields.u32()?,
            body_len: fields.u32()?,
            synced_to: Address::from_u64(fields.u64()?),
        })
    }

    fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let fields = self
            .length
            .to_le_bytes()
            .into_iter()
            .chain(self.crc.to_le_bytes())
            .chain(self.first_position.to_le_bytes())
            .chain(self.recorded_at.to_le_bytes())
            .chain(self.records.to_le_bytes())
            .chain(self.events.to_le_bytes())
            .chain(self.previous_crc.to_le_bytes())
            .chain(self.body_len.to_le_bytes())
            .chain(self.synced_to.to_u64().to_le_bytes());
        let mut header = [0; FRAME_HEADER_LEN];
        for (to, from) in header.iter_mut().zip(fields) {
            *to = from;
        }
        header
    }

    /// The CRC of a frame with this header and records with these CRCs.
    pub(crate) fn crc_with(&self, record_crcs: impl Iterator<Item = u32>, salt: &Salt) -> u32 {
        let header = self.encode();
        let mut hasher = salt.hasher();
        hasher.update(header.get(..4).unwrap_or_default());
        hasher.update(header.get(8..).unwrap_or_default());
        for crc in record_crcs {
            hasher.update(&crc.to_le_bytes());
        }
        hasher.finalize()
    }
}

/// Completes a frame in place: `frame` holds room for the header and then the records, `header` all but length, CRC and
/// body length. Returns the frame's CRC.
pub(crate) fn seal_frame(frame: &mut Vec<u8>, mut header: FrameHeader, record_crcs: &[u32], salt: &Salt) -> u32 {
    header.body_len = (frame.len() - FRAME_HEADER_LEN) as u32;
    frame.resize(padded(frame.len()), 0);
    header.length = frame.len() as u32;
    header.crc = header.crc_with(record_crcs.iter().copied(), salt);
    for (to, from) in frame.iter_mut().zip(header.encode()) {
        *to = from;
    }
    header.crc
}

/// Checks that `frame` (as long as its header says) is one whole frame of the segment with `salt`: its own CRC, each
/// record's CRC, the padding, and the number of events.
pub(crate) fn check_frame(frame: &[u8], salt: &Salt) -> Result<FrameHeader, Bad> {
    let header = FrameHeader::decode(frame, frame.len())?;
    let (_, rest) = frame.split_at_checked(FRAME_HEADER_LEN).ok_or("the frame is cut short")?;
    let (body, padding) = rest.split_at_checked(header.body_len as usize).ok_or("the frame is cut short")?;
    if header.length as usize != frame.len() {
        return Err("the frame is cut short");
    }
    // The frame's CRC first: it covers the record CRCs as they stand, so that a hostile count costs one pass at most.
    let mut hasher_input = Vec::with_capacity(header.records as usize);
    let mut length = 0;
    for record in records(body, header.records) {
        let (_, RecordHeader { crc, .. }, bytes) = record?;
        hasher_input.push(crc);
        length += bytes.len();
    }
    if length != body.len() {
        return Err("the frame's records don't fill it");
    }
    if header.crc_with(hasher_input.into_iter(), salt) != header.crc {
        return Err("the frame's CRC doesn't match");
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err("the frame's padding is not zero");
    }
    let mut events = 0;
    for (number, record) in (1..).zip(records(body, header.records)) {
        let (_, record, bytes) = record?;
        if number < header.records || !planted(Bug::LastRecordUnchecked) {
            check_record(bytes, salt)?;
        }
        let is_event = [RecordKind::Event as u8, RecordKind::Erased as u8].contains(&record.kind);
        events += u32::from(is_event);
    }
    if events != header.events {
        return Err("the frame's number of events doesn't match its records");
    }
    Ok(header)
}
