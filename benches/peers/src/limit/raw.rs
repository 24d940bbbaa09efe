//! An event as raw bytes: CRC, position, version, id, type, stream, data; and a look at it.

use crate::peer::Result;
use crate::seen::Seen;
use crate::work::{DATA_LEN, NewEvent, RAW_LEN, STREAM_LEN, TYPE_LEN};

const TYPE_AT: usize = 36;
const STREAM_AT: usize = TYPE_AT + TYPE_LEN;
const DATA_AT: usize = STREAM_AT + STREAM_LEN;

/// A batch of events as raw bytes.
pub fn raw_batch(batch: &[NewEvent]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(batch.len() * RAW_LEN);
    for event in batch {
        push_raw(&mut raw, 0, event);
    }
    raw
}

/// Adds an event as raw bytes.
pub fn push_raw(raw: &mut Vec<u8>, position: u64, event: &NewEvent) {
    let start = raw.len();
    raw.extend_from_slice(&[0; 4]);
    raw.extend_from_slice(&position.to_le_bytes());
    raw.extend_from_slice(&event.version.to_le_bytes());
    raw.extend_from_slice(event.id.as_bytes());
    raw.extend_from_slice(event.event_type.as_bytes());
    raw.extend_from_slice(event.stream.as_bytes());
    raw.extend_from_slice(&event.data);
    let crc = crc32fast::hash(&raw[start + 4..]);
    raw[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Looks at an event, checking its CRC or not.
#[inline]
pub fn see_raw(raw: &[u8], crc: bool, seen: &mut Seen) -> Result<()> {
    let (stated, rest) = raw.split_first_chunk::<4>().ok_or("too short")?;
    if crc && crc32fast::hash(rest) != u32::from_le_bytes(*stated) {
        return Err("a CRC that doesn't match".into());
    }
    let version = raw.get(12..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    seen.event(version, &raw[TYPE_AT..STREAM_AT], &raw[DATA_AT..DATA_AT + DATA_LEN]);
    Ok(())
}
