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

use super::{Bad, Salt, crc_of_body};

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
        let [length_and_crc, kind_and_symbols, version] = bytes.first_chunk::<RECORD_HEADER_LEN>()?.as_chunks().0
        else {
            return None;
        };
        let (length_and_crc, kind_and_symbols) =
            (u64::from_le_bytes(*length_and_crc), u64::from_le_bytes(*kind_and_symbols));
        Some(Self {
            body_len: length_and_crc as u32,
            crc: (length_and_crc >> 32) as u32,
            kind: kind_and_symbols as u8,
            type_symbol: (kind_and_symbols as u32) >> 8,
            stream_symbol: (kind_and_symbols >> 32) as u32,
            version: u64::from_le_bytes(*version),
        })
    }

    pub(crate) fn encode(&self) -> [u64; 3] {
        let kind_and_symbols =
            u64::from(self.kind) | u64::from(self.type_symbol & 0xff_ffff) << 8 | u64::from(self.stream_symbol) << 32;
        [u64::from(self.body_len) | u64::from(self.crc) << 32, kind_and_symbols, self.version]
    }

    /// The CRC that a record with this header should have, whatever it says.
    fn crc_with(&self, body_crc: u32, salt: &Salt) -> u32 {
        // The header without the CRC and then the body's CRC, in one piece: quicker than one after the other.
        let [length, symbols, version] = self.encode();
        let covered = [
            length & 0xffff_ffff | symbols << 32,
            symbols >> 32 | version << 32,
            version >> 32 | u64::from(body_crc) << 32,
        ];
        salt.crc(covered.map(u64::to_le_bytes).as_flattened())
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        RECORD_HEADER_LEN + self.body_len as usize
    }
}

/// Checks that `record` is one whole record of the segment with `salt`, and returns its header and body.
pub(crate) fn check_record<'a>(record: &'a [u8], salt: &Salt) -> Result<(RecordHeader, &'a [u8]), Bad> {
    let header = RecordHeader::decode(record).ok_or("the record is cut short")?;
    let body = record.get(RECORD_HEADER_LEN..).ok_or("the record is cut short")?;
    if body.len() != header.body_len as usize {
        return Err("the record is cut short");
    }
    if header.crc != header.crc_with(crc_of_body(body), salt) {
        return Err("the record's CRC doesn't match");
    }
    Ok((header, body))
}

/// The CRC that `record` should have, whatever it says.
pub(crate) fn record_crc(record: &[u8], salt: &Salt) -> u32 {
    let body = record.get(RECORD_HEADER_LEN..).unwrap_or_default();
    RecordHeader::decode(record).map_or(0, |header| header.crc_with(crc_of_body(body), salt))
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
    let mut header = RecordHeader { body_len: body.len() as u32, crc: 0, kind, type_symbol, stream_symbol, version };
    header.crc = header.crc_with(body_crc, salt);
    out.reserve(RECORD_HEADER_LEN + body.len());
    out.extend_from_slice(header.encode().map(u64::to_le_bytes).as_flattened());
    out.extend_from_slice(body);
    header.crc
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
