//! The log's bytes: segment headers, frames, records. Pure functions over bytes, no I/O; `docs/design.md` draws them.
//!
//! ```text
//! segment = header (64) frame* zeros?
//! frame   = header (48) record* padding to 8
//! record  = header (24) body
//! ```
//!
//! Everything is little-endian and written by hand. A record's CRC covers a salt that is unique to its segment, its
//! header and the CRC of its body; a frame's CRC covers the salt, its header and the CRCs of its records. So one record
//! is checked without its neighbours, and bytes left over from another file are never taken for records of this one.

mod checksum;
mod codec;
mod event;
mod frame;
mod other;
mod record;
mod segment;
mod symbol;
#[cfg(test)]
mod tests;

pub(crate) use checksum::{Salt, crc_of_body};
pub(crate) use codec::{Reader, put_str_u8, put_u16, put_u32, put_u64};
pub(crate) use event::{EVENT_HAS_TIME, EVENT_ID_END, EventBody, put_event};
pub(crate) use frame::{FRAME_HEADER_LEN, FrameHeader, check_frame, seal_frame};
pub(crate) use other::{ClosingReason, KeyframeBody, RoomBody, encode_closing, encode_keyframe, encode_room};
pub(crate) use record::{RECORD_HEADER_LEN, RecordHeader, check_record, put_record, record_crc, records};
pub(crate) use segment::{BadHeader, SEGMENT_HEADER_LEN, SegmentEnd, SegmentHeader};
pub(crate) use symbol::{SymbolBody, encode_symbol};

/// Why bytes are not what they should be.
pub(crate) type Bad = &'static str;

/// The version of plain segments.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// The version of packed segments, and the newest that this code knows.
pub(crate) const PACKED_VERSION: u32 = 2;
