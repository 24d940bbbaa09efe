//! Records: a header of fixed size, then a body.
//!
//! ```text
//!  0  length of the body                                      4
//!  4  CRC of salt, header without this field, CRC of body     4
//!  8  kind                                                    1
//!  9  type: symbol number of the event's type, else 0         3
//! 12  stream: symbol number; of a symbol, its own number      4
//! 16  version: the event's or keyframe's; of a stream's
//!     symbol, the stream's last version before this segment   8
//! 24  body
//! ```

use super::{Bad, Reader, Salt, crc_of_body};

/// Bytes of a record header.
pub(crate) const RECORD_HEADER_LEN: usize = 24;

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) body_len: u32,
    pub(crate) crc: u32,
    /// A number of [`RecordKind`](crate::log::RecordKind), or one that this version doesn't know.
    pub(crate) kind: u8,
    /// Fits in 24 bits.
    pub(crate) type_symbol: u32,
    pub(crate) stream_symbol: u32,
    pub(crate) version: u64,
}

impl RecordHeader {
    /// The header at the front of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let body_len = fields.u32()?;
        let crc = fields.u32()?;
        let [kind, low, middle, high] = fields.array()?;
        let type_symbol = u32::from_le_bytes([low, middle, high, 0]);
        Some(Self { body_len, crc, kind, type_symbol, stream_symbol: fields.u32()?, version: fields.u64()? })
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        RECORD_HEADER_LEN + self.body_len as usize
    }
}

/// Checks that `record` is one whole record of the segment with `salt`, and returns its header and body.
pub(crate) fn check_record<'a>(record: &'a [u8], salt: &Salt) -> Result<(RecordHeader, &'a [u8]), Bad> {
    let header = RecordHeader::decode(record).ok_or("the record is cut short")?;
    let (bytes, body) = record.split_at_checked(RECORD_HEADER_LEN).ok_or("the record is cut short")?;
    if body.len() != header.body_len as usize {
        return Err("the record is cut short");
    }
    if header.crc != crc_of(bytes, crc_of_body(body), salt) {
        return Err("the record's CRC doesn't match");
    }
    Ok((header, body))
}

/// The CRC that `record` should have, whatever it says.
pub(crate) fn record_crc(record: &[u8], salt: &Salt) -> u32 {
    let (header, body) = record.split_at_checked(RECORD_HEADER_LEN).unwrap_or((record, &[]));
    crc_of(header, crc_of_body(body), salt)
}

fn crc_of(header: &[u8], body_crc: u32, salt: &Salt) -> u32 {
    let length = header.get(..4).unwrap_or_default();
    let fields = header.get(8..).unwrap_or_default();
    salt.crc(&[length, fields, &body_crc.to_le_bytes()])
}

/// Appends a record to `out`. `body_crc` is [`crc_of_body`] of `body`; returns the record's CRC.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    salt: &Salt,
    kind: u8,
    symbols: (u32, u32),
    version: u64,
    body: &[u8],
    body_crc: u32,
) -> u32 {
    let (type_symbol, stream_symbol) = symbols;
    let mut header = [0u8; RECORD_HEADER_LEN];
    let [low, middle, high, _] = type_symbol.to_le_bytes();
    let fields = (body.len() as u32)
        .to_le_bytes()
        .into_iter()
        .chain([0; 4])
        .chain([kind, low, middle, high])
        .chain(stream_symbol.to_le_bytes())
        .chain(version.to_le_bytes());
    for (to, from) in header.iter_mut().zip(fields) {
        *to = from;
    }
    let crc = crc_of(&header, body_crc, salt);
    if let Some(field) = header.get_mut(4..8) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    crc
}

/// The records in a frame's bytes from `offset` on, each with its offset; `Err` once where one is cut short. Checks no
/// CRC.
pub(crate) fn records(body: &[u8], count: u32) -> impl Iterator<Item = Result<(usize, RecordHeader, &[u8]), Bad>> {
    let mut at = 0usize;
    let mut left = count;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let record = body.get(at..).and_then(|rest| {
            let header = RecordHeader::decode(rest)?;
            Some((header, rest.get(..header.record_len())?))
        });
        match record {
            Some((header, bytes)) => {
                let offset = at;
                at += bytes.len();
                Some(Ok((offset, header, bytes)))
            }
            None => {
                left = 0;
                Some(Err("a record reaches beyond its frame"))
            }
        }
    })
}
