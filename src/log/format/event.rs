//! The body of an event record.
//!
//! ```text
//!  0  flags, which of the optional fields follow      2
//!  2  id                                             16
//! 18  in this order, where flagged:
//!     0x01 time: microseconds 8, offset in minutes 2    (absent: recorded_at, in UTC)
//!     0x02 correlation id 16                            (absent: the id)
//!     0x04 causation id 16
//!     0x08 revision 4
//!     0x10 variant: length 1, text
//!     0x20 actor: length 1, text
//!     0x40 content type: length 1, text                 (absent: JSON)
//!     0x80 metadata: length 4, JSON
//!  .. data, to the end of the record
//! ```

use uuid::Uuid;

use super::{Bad, Reader, put_str_u8, put_u16, put_u32};
use crate::event::{Data, Event, Timestamp};

/// The flag that says that a time follows the id.
pub(crate) const EVENT_HAS_TIME: u16 = TIME;
const TIME: u16 = 0x01;
const CORRELATION: u16 = 0x02;
const CAUSATION: u16 = 0x04;
const REVISION: u16 = 0x08;
const VARIANT: u16 = 0x10;
const ACTOR: u16 = 0x20;
const CONTENT_TYPE: u16 = 0x40;
const METADATA: u16 = 0x80;
const KNOWN: u16 = 0xff;

/// Bytes of flags and id.
pub(crate) const EVENT_ID_END: usize = 18;

/// An event's body, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventBody<'a> {
    pub(crate) id: Uuid,
    pub(crate) time: Option<Timestamp>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) revision: Option<u32>,
    pub(crate) variant: Option<&'a str>,
    pub(crate) actor: Option<&'a str>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) metadata: Option<&'a [u8]>,
    pub(crate) data: &'a [u8],
}

/// Adds the body of a checked event with its id to `out`; gives the correlation id as it is stored.
pub(crate) fn put_event(
    out: &mut Vec<u8>,
    event: &Event,
    id: Uuid,
    data: &Data,
    metadata: Option<&[u8]>,
) -> Option<Uuid> {
    let correlation_id = event.correlation_id.filter(|correlation| *correlation != id);
    let flag = |present: bool, flag: u16| if present { flag } else { 0 };
    let flags = flag(event.time.is_some(), TIME)
        | flag(correlation_id.is_some(), CORRELATION)
        | flag(event.causation_id.is_some(), CAUSATION)
        | flag(event.revision.is_some(), REVISION)
        | flag(event.variant.is_some(), VARIANT)
        | flag(event.actor.is_some(), ACTOR)
        | flag(data.content_type.is_some(), CONTENT_TYPE)
        | flag(metadata.is_some(), METADATA);
    out.reserve(128 + data.bytes.len() + metadata.map_or(0, <[u8]>::len));
    put_u16(out, flags);
    out.extend_from_slice(id.as_bytes());
    if let Some(time) = event.time {
        out.extend_from_slice(&time.micros().to_le_bytes());
        out.extend_from_slice(&time.offset_minutes().to_le_bytes());
    }
    for id in [correlation_id, event.causation_id].into_iter().flatten() {
        out.extend_from_slice(id.as_bytes());
    }
    if let Some(revision) = event.revision {
        put_u32(out, revision);
    }
    for text in [&event.variant, &event.actor, &data.content_type].into_iter().flatten() {
        put_str_u8(out, text);
    }
    if let Some(metadata) = metadata {
        put_u32(out, metadata.len() as u32);
        out.extend_from_slice(metadata);
    }
    out.extend_from_slice(&data.bytes);
    correlation_id
}

impl<'a> EventBody<'a> {
    /// Decodes a body whose CRC was checked.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, Bad> {
        Self::fields(body).ok_or("the event's fields reach beyond its record")
    }

    /// The id alone.
    pub(crate) fn id(body: &[u8]) -> Option<Uuid> {
        let mut fields = Reader::new(body);
        fields.u16()?;
        fields.array().map(Uuid::from_bytes)
    }

    /// Where the data of a body begin that decodes.
    pub(crate) fn data_at(body: &'a [u8]) -> Result<usize, Bad> {
        match body.first_chunk() {
            // Nothing that is optional.
            Some([0, 0]) if body.len() >= EVENT_ID_END => Ok(EVENT_ID_END),
            _ => Self::decode(body).map(|decoded| body.len() - decoded.data.len()),
        }
    }

    fn fields(body: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(body);
        let flags = fields.u16()?;
        if flags & !KNOWN != 0 {
            return None;
        }
        let has = |flag| flags & flag != 0;
        let id = Uuid::from_bytes(fields.array()?);
        let time = if has(TIME) { Some(Timestamp::new(fields.i64()?, fields.i16()?)) } else { None };
        let correlation_id = if has(CORRELATION) { Some(Uuid::from_bytes(fields.array()?)) } else { None };
        let causation_id = if has(CAUSATION) { Some(Uuid::from_bytes(fields.array()?)) } else { None };
        let revision = if has(REVISION) { Some(fields.u32()?) } else { None };
        let variant = if has(VARIANT) { Some(fields.str_u8()?) } else { None };
        let actor = if has(ACTOR) { Some(fields.str_u8()?) } else { None };
        let content_type = if has(CONTENT_TYPE) { Some(fields.str_u8()?) } else { None };
        let metadata = if has(METADATA) {
            let length = fields.u32()?;
            Some(fields.bytes(length as usize)?)
        } else {
            None
        };
        let data = fields.rest();
        Some(Self { id, time, correlation_id, causation_id, revision, variant, actor, content_type, metadata, data })
    }
}
