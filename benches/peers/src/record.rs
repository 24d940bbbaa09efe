//! An event as bytes, for peers that store bytes: version, stream, type, data. And the keys of tables.

use crate::peer::Result;
use crate::seen::Seen;
use crate::work::{NewEvent, STREAM_LEN};

/// The value of an event.
pub fn encode(event: &NewEvent, out: &mut Vec<u8>) {
    out.extend_from_slice(&event.version.to_le_bytes());
    out.push(event.stream.len() as u8);
    out.push(event.event_type.len() as u8);
    out.extend_from_slice(event.stream.as_bytes());
    out.extend_from_slice(event.event_type.as_bytes());
    out.extend_from_slice(&event.data);
}

/// Looks at a value.
#[inline]
pub fn see(value: &[u8], seen: &mut Seen) -> Result<()> {
    let parts = || {
        let (version, rest) = value.split_first_chunk::<8>()?;
        let (lens, rest) = rest.split_first_chunk::<2>()?;
        let (_, rest) = rest.split_at_checked(lens[0].into())?;
        let (event_type, data) = rest.split_at_checked(lens[1].into())?;
        Some((u64::from_le_bytes(*version), event_type, data))
    };
    let (version, event_type, data) = parts().ok_or("a value that is no event")?;
    seen.event(version, event_type, data);
    Ok(())
}

/// Key of an event, or of a keyframe, by stream and version; sorts by version within a stream.
pub fn key(stream: &str, version: u64) -> [u8; STREAM_LEN + 8] {
    let mut key = [0; STREAM_LEN + 8];
    let len = stream.len().min(STREAM_LEN);
    key[..len].copy_from_slice(&stream.as_bytes()[..len]);
    key[STREAM_LEN..].copy_from_slice(&version.to_be_bytes());
    key
}

/// The version in a key.
pub fn version_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |version| u64::from_be_bytes(*version))
}
