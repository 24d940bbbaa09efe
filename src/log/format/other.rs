//! The bodies of the remaining records.
//!
//! ```text
//! keyframe:  fingerprint of the fold 8, recorded_at of the last event folded 8, latest time among the events folded 8,
//!            name of the fold: length 1, text; state to the end
//! closing:   why: 1 the segment is sealed, 2 the store was closed   1
//! records of other rooms:   length of the key 2, key, bytes to the end
//! ```

use super::{Bad, Reader, put_str_u8, put_u16, put_u64};

/// A keyframe's body, decoded. Times are in microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyframeBody<'a> {
    pub(crate) fingerprint: u64,
    pub(crate) recorded_at: i64,
    pub(crate) latest_time: i64,
    pub(crate) fold: &'a str,
    pub(crate) state: &'a [u8],
}

impl<'a> KeyframeBody<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, Bad> {
        let mut fields = Reader::new(body);
        let decoded = (|| {
            Some(Self {
                fingerprint: fields.u64()?,
                recorded_at: fields.i64()?,
                latest_time: fields.i64()?,
                fold: fields.str_u8()?,
                state: fields.rest(),
            })
        })();
        decoded.ok_or("the keyframe is not well formed")
    }
}

/// Encodes a keyframe's body.
pub(crate) fn encode_keyframe(keyframe: &KeyframeBody<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + keyframe.state.len());
    put_u64(&mut out, keyframe.fingerprint);
    out.extend_from_slice(&keyframe.recorded_at.to_le_bytes());
    out.extend_from_slice(&keyframe.latest_time.to_le_bytes());
    put_str_u8(&mut out, keyframe.fold);
    out.extend_from_slice(keyframe.state);
    out
}

/// Why a closing record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosingReason {
    Sealed = 1,
    Closed = 2,
}

/// Encodes a closing record's body.
pub(crate) fn encode_closing(reason: ClosingReason) -> [u8; 1] {
    [reason as u8]
}

/// The body of a record of another room, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomBody<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) bytes: &'a [u8],
}

impl<'a> RoomBody<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, Bad> {
        let mut fields = Reader::new(body);
        let decoded = (|| {
            let length = fields.u16()?;
            Some(Self { key: fields.bytes(usize::from(length))?, bytes: fields.rest() })
        })();
        decoded.ok_or("the record's key reaches beyond it")
    }
}

/// Encodes the body of a record of another room. The caller has checked that the key fits.
pub(crate) fn encode_room(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + key.len() + bytes.len());
    put_u16(&mut out, key.len() as u16);
    out.extend_from_slice(key);
    out.extend_from_slice(bytes);
    out
}
