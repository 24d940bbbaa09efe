//! The segment header.
//!
//! ```text
//!  0  magic "ATLASEG\0"      8
//!  8  format version: 1, of a packed segment 2  4
//! 12  zero                   4
//! 16  store id              16
//! 32  segment number         4
//! 36  zero                   4
//! 40  salt                   8
//! 48  CRC of the last frame of the segment before  4
//! 52  where that segment ends                      4
//! 56  zero                   4
//! 60  CRC of bytes 0..60     4
//! ```

use super::{Bad, FORMAT_VERSION, Reader};

/// Bytes of a segment header.
pub(crate) const SEGMENT_HEADER_LEN: usize = 64;
const MAGIC: &[u8; 8] = b"ATLASEG\0";

/// Which store and segment a file is, and the salt of its CRCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store_id: [u8; 16],
    pub(crate) number: u32,
    pub(crate) salt: u64,
    /// Where the segment before ends, which is closed and synced by the time this one is created.
    pub(crate) before: SegmentEnd,
}

/// How a segment ends: what the next one states, so that no other copy of it is taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// CRC of the last frame, which stands for all before it.
    pub(crate) last_crc: u32,
    pub(crate) offset: u32,
}

/// What a segment header says instead of a header of a known format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Newer(u32),
    Bad(Bad),
}

impl SegmentHeader {
    /// As it stands in a plain segment: what the CRC of a header that frames and other segments state is of.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        self.encode_version(FORMAT_VERSION)
    }

    pub(crate) fn encode_version(&self, version: u32) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.before.last_crc.to_le_bytes());
        out.extend_from_slice(&self.before.offset.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut header = [0; SEGMENT_HEADER_LEN];
        header.copy_from_slice(&out);
        header
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        Self::decode_version(bytes, FORMAT_VERSION)
    }

    /// The header of a file that is of no newer version than `known`.
    pub(crate) fn decode_version(bytes: &[u8], known: u32) -> Result<Self, BadHeader> {
        let bad = |what| Err(BadHeader::Bad(what));
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else {
            return bad("the file is shorter than a segment header");
        };
        let (covered, crc) = header.split_at(60);
        let mut fields = Reader::new(covered);
        if fields.array() != Some(*MAGIC) {
            return bad("not a segment of Atlas");
        }
        let version = fields.u32().unwrap_or_default();
        if crc != crc32fast::hash(covered).to_le_bytes() {
            return bad("the segment header's CRC doesn't match");
        }
        if version > known {
            return Err(BadHeader::Newer(version));
        }
        let decoded = (|| {
            fields.u32()?;
            let store_id = fields.array()?;
            let number = fields.u32()?;
            fields.u32()?;
            let salt = fields.u64()?;
            let before = SegmentEnd { last_crc: fields.u32()?, offset: fields.u32()? };
            Some(Self { store_id, number, salt, before })
        })();
        decoded.ok_or(BadHeader::Bad("the file is shorter than a segment header"))
    }
}
