//! What dispatch writes into the log about queues: records of kind `Queue`. Their key is the id of the message.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::codec::{Reader, Writer};
use super::record::FORMAT;
use crate::event::{Name, Scope};
use crate::log::Address;

/// A queue of a scope, as one of its consumer groups has it: leases, receives and dead letters are each group's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct QueueGroup {
    pub(super) scope: Scope,
    pub(super) queue: Name,
    /// `None`: the group of a queue that has no groups.
    pub(super) group: Option<Name>,
}

/// A message, or what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueueRecord {
    /// A message enters its queue.
    Message(Message),
    /// Something happened to the message at an address, in one group.
    Happened { of: QueueGroup, message: Address, what: Happening },
}

/// A message that enters its queue. What the queue was like at that time stands with it, so that all that becomes of it
/// follows from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) scope: Scope,
    pub(super) queue: Name,
    pub(super) origin: Origin,
    pub(super) data: Bytes,
    /// The [`stream_hash`] of the stream that it is of, where the queue is ordered.
    pub(super) stream: Option<u64>,
    /// The groups that get it; empty: the one without a name.
    pub(super) groups: Vec<Name>,
}

/// Who put a message into its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A call of a delivery.
    Call { event: Uuid, handler: Name, call: u32 },
    /// Somebody outside.
    Outside { actor: Option<String> },
}

/// What happens to a message in one group. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// Somebody took it: nobody else gets it before a time.
    Leased { until: i64 },
    /// It was worked on and is gone.
    Acknowledged,
    /// Whoever held it gives it back.
    Nacked { then: Then, reason: String },
    /// The lease that runs has another end.
    Extended { until: i64 },
    /// It was taken as often as it may be, and its last lease ran out.
    Dead,
    /// An operator has a dead letter given out again, with receives from nought.
    Requeued { actor: Option<String>, reason: Option<String> },
    /// An operator removed it.
    Dropped { actor: Option<String>, reason: String },
    /// It was one of an input queue, came in as an event, and is gone.
    Ingested { event: Uuid },
    /// It was one of an input queue, can't come in, and is a dead letter.
    Refused { error: String },
}

/// What becomes of a message that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It can be taken at once.
    Free,
    /// It can be taken from a time on.
    Waits(i64),
    /// It was taken as often as it may be.
    Dead,
}

/// What stands for a stream in an ordered queue: the first 8 bytes of its SHA-256. Two streams that had the same would be
/// given out as one, which is slower and not wrong.
pub(super) fn stream_hash(stream: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(stream.as_bytes()).into();
    hash.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

impl Message {
    /// The queue, once for each group that gets the message.
    pub(super) fn of_groups(&self) -> Vec<QueueGroup> {
        let of = |group| QueueGroup { scope: self.scope.clone(), queue: self.queue.clone(), group };
        match self.groups.is_empty() {
            true => vec![of(None)],
            false => self.groups.iter().cloned().map(|group| of(Some(group))).collect(),
        }
    }
}

impl QueueRecord {
    pub(super) fn scope(&self) -> &Scope {
        match self {
            Self::Message(message) => &message.scope,
            Self::Happened { of, .. } => &of.scope,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let writer = |tag: u8, scope: &Scope, queue: &Name| {
            Writer::new(FORMAT, tag).bytes(scope.to_string().as_bytes()).bytes(queue.as_str().as_bytes())
        };
        match self {
            Self::Message(message) => {
                let is_plain = message.stream.is_none() && message.groups.is_empty();
                match &message.origin {
                    Origin::Call { event, handler, call } => {
                        let body = writer(if is_plain { 1 } else { 4 }, &message.scope, &message.queue)
                            .fixed(event.as_bytes())
                            .bytes(handler.as_str().as_bytes())
                            .u32(*call)
                            .bytes(&message.data);
                        if is_plain { body } else { with_groups(body, message) }
                    }
                    Origin::Outside { actor } => {
                        let body = writer(12, &message.scope, &message.queue).text(actor.as_deref());
                        with_groups(body.bytes(&message.data), message)
                    }
                }
            }
            Self::Happened {
                of: QueueGroup { scope, queue, group: None },
                message,
                what: Happening::Leased { until },
            } => writer(2, scope, queue).u64(message.to_u64()).i64(*until),
            Self::Happened { of: QueueGroup { scope, queue, group: None }, message, what: Happening::Acknowledged } => {
                writer(3, scope, queue).u64(message.to_u64())
            }
            Self::Happened { of, message, what } => {
                let group = of.group.as_ref().map_or("", Name::as_str);
                let body = writer(what.tag(), &of.scope, &of.queue).bytes(group.as_bytes()).u64(message.to_u64());
                what.write(body)
            }
        }
        .finish()
    }

    /// The record from its body; `None` where it is none.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if reader.u8()? != FORMAT {
            return None;
        }
        let tag = reader.u8()?;
        let scope = reader.text()?.parse().ok()?;
        let queue = Name::parse("queue", &reader.text()?).ok()?;
        let record = match tag {
            1 | 4 | 12 => {
                let origin = match tag {
                    12 => Origin::Outside { actor: reader.optional_text()? },
                    _ => Origin::Call {
                        event: Uuid::from_bytes(reader.fixed()?),
                        handler: Name::parse("handler", &reader.text()?).ok()?,
                        call: reader.u32()?,
                    },
                };
                let data = Bytes::copy_from_slice(reader.bytes()?);
                let (stream, groups) = if tag == 1 { Default::default() } else { groups(&mut reader)? };
                Self::Message(Message { scope, queue, origin, data, stream, groups })
            }
            2 | 3 => {
                let message = Address::from_u64(reader.u64()?);
                let what = match tag {
                    2 => Happening::Leased { until: reader.i64()? },
                    _ => Happening::Acknowledged,
                };
                Self::Happened { of: QueueGroup { scope, queue, group: None }, message, what }
            }
            _ => {
                let group = match reader.text()?.as_str() {
                    "" => None,
                    group => Some(Name::parse("group", group).ok()?),
                };
                let message = Address::from_u64(reader.u64()?);
                let what = Happening::read(tag, &mut reader)?;
                Self::Happened { of: QueueGroup { scope, queue, group }, message, what }
            }
        };
        reader.end(record)
    }
}

fn with_groups(mut body: Writer, message: &Message) -> Writer {
    body = match message.stream {
        Some(stream) => body.u8(1).u64(stream),
        None => body.u8(0),
    };
    body = body.u32(u32::try_from(message.groups.len()).unwrap_or(u32::MAX));
    message.groups.iter().fold(body, |body, group| body.bytes(group.as_str().as_bytes()))
}

fn groups(reader: &mut Reader<'_>) -> Option<(Option<u64>, Vec<Name>)> {
    let stream = match reader.u8()? {
        0 => None,
        1 => Some(reader.u64()?),
        _ => return None,
    };
    // Ends with the body, whatever the count says.
    let groups = (0..reader.u32()?).map(|_| Name::parse("group", &reader.text()?).ok()).collect::<Option<_>>()?;
    Some((stream, groups))
}

impl Happening {
    fn tag(&self) -> u8 {
        match self {
            Self::Leased { .. } => 5,
            Self::Acknowledged => 6,
            Self::Nacked { .. } => 7,
            Self::Extended { .. } => 8,
            Self::Dead => 9,
            Self::Requeued { .. } => 10,
            Self::Dropped { .. } => 11,
            Self::Ingested { .. } => 13,
            Self::Refused { .. } => 14,
        }
    }

    fn write(&self, body: Writer) -> Writer {
        match self {
            Self::Leased { until } | Self::Extended { until } => body.i64(*until),
            Self::Acknowledged | Self::Dead => body,
            Self::Nacked { then, reason } => match then {
                Then::Free => body.u8(0),
                Then::Waits(until) => body.u8(1).i64(*until),
                Then::Dead => body.u8(2),
            }
            .bytes(reason.as_bytes()),
            Self::Requeued { actor, reason } => body.text(actor.as_deref()).text(reason.as_deref()),
            Self::Dropped { actor, reason } => body.text(actor.as_deref()).bytes(reason.as_bytes()),
            Self::Ingested { event } => body.fixed(event.as_bytes()),
            Self::Refused { error } => body.bytes(error.as_bytes()),
        }
    }

    fn read(tag: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match tag {
            5 => Self::Leased { until: reader.i64()? },
            6 => Self::Acknowledged,
            7 => {
                let then = match reader.u8()? {
                    0 => Then::Free,
                    1 => Then::Waits(reader.i64()?),
                    2 => Then::Dead,
                    _ => return None,
                };
                Self::Nacked { then, reason: reader.text()? }
            }
            8 => Self::Extended { until: reader.i64()? },
            9 => Self::Dead,
            10 => Self::Requeued { actor: reader.optional_text()?, reason: reader.optional_text()? },
            11 => Self::Dropped { actor: reader.optional_text()?, reason: reader.text()? },
            13 => Self::Ingested { event: Uuid::from_bytes(reader.fixed()?) },
            14 => Self::Refused { error: reader.text()? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
