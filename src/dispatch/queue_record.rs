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
    pub(super) event: Uuid,
    pub(super) handler: Name,
    pub(super) call: u32,
    pub(super) data: Bytes,
    /// The [`stream_hash`] of the event's stream, where the queue is ordered.
    pub(super) stream: Option<u64>,
    /// The groups that get it; empty: the one without a name.
    pub(super) groups: Vec<Name>,
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
    pub(super) fn encode(&self) -> Bytes {
        let writer = |tag: u8, scope: &Scope, queue: &Name| {
            Writer::new(FORMAT, tag).bytes(scope.to_string().as_bytes()).bytes(queue.as_str().as_bytes())
        };
        match self {
            Self::Message(message) => {
                let is_plain = message.stream.is_none() && message.groups.is_empty();
                let body = writer(if is_plain { 1 } else { 4 }, &message.scope, &message.queue)
                    .fixed(message.event.as_bytes())
                    .bytes(message.handler.as_str().as_bytes())
                    .u32(message.call)
                    .bytes(&message.data);
                if is_plain { body } else { with_groups(body, message) }
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
            1 | 4 => {
                let mut message = Message {
                    scope,
                    queue,
                    event: Uuid::from_bytes(reader.fixed()?),
                    handler: Name::parse("handler", &reader.text()?).ok()?,
                    call: reader.u32()?,
                    data: Bytes::copy_from_slice(reader.bytes()?),
                    stream: None,
                    groups: Vec::new(),
                };
                if tag == 4 {
                    (message.stream, message.groups) = groups(&mut reader)?;
                }
                Self::Message(message)
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
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse("name", text).unwrap()
    }

    fn of(group: Option<&str>) -> QueueGroup {
        QueueGroup { scope: "dutch-bank/loans".parse().unwrap(), queue: name("mail"), group: group.map(name) }
    }

    fn happenings(text: &str) -> Vec<Happening> {
        let said = || Some(text.to_owned());
        vec![
            Happening::Leased { until: -5 },
            Happening::Acknowledged,
            Happening::Nacked { then: Then::Free, reason: text.to_owned() },
            Happening::Nacked { then: Then::Waits(7), reason: text.to_owned() },
            Happening::Nacked { then: Then::Dead, reason: text.to_owned() },
            Happening::Extended { until: 9 },
            Happening::Dead,
            Happening::Requeued { actor: said(), reason: None },
            Happening::Requeued { actor: None, reason: said() },
            Happening::Dropped { actor: said(), reason: text.to_owned() },
        ]
    }

    fn messages(data: &[u8], number: u64) -> Vec<QueueRecord> {
        let message = |stream, groups: &[&str]| {
            QueueRecord::Message(Message {
                scope: of(None).scope,
                queue: name("mail"),
                event: Uuid::from_u128(u128::from(number) << 3),
                handler: name("post"),
                call: 2,
                data: data.to_vec().into(),
                stream,
                groups: groups.iter().copied().map(name).collect(),
            })
        };
        vec![message(None, &[]), message(Some(number), &[]), message(None, &["a", "b"]), message(Some(3), &["a"])]
    }

    fn happened(group: Option<&str>, number: u64, what: Happening) -> QueueRecord {
        QueueRecord::Happened { of: of(group), message: Address::from_u64(number), what }
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were_written(data in any::<Vec<u8>>(), text in ".*", number in any::<u64>()) {
            let of_groups = [None, Some("a")].into_iter().flat_map(|group| {
                happenings(&text).into_iter().map(move |what| happened(group, number, what))
            });
            for record in messages(&data, number).into_iter().chain(of_groups) {
                let body = record.encode();
                prop_assert_eq!(QueueRecord::decode(&body[..body.len() - 1]), None);
                prop_assert_eq!(QueueRecord::decode(&[&body[..], &[0]].concat()), None);
                prop_assert_eq!(QueueRecord::decode(&body), Some(record));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), tag in 0u8..14) {
            let _ = QueueRecord::decode(&bytes);
            // Past the scope and the queue.
            let head = happened(None, 1, Happening::Acknowledged).encode();
            let body = [&[1, tag], &head[2..30], &bytes[..]].concat();
            let _ = QueueRecord::decode(&body);
        }
    }

    /// What has a tag keeps its bytes for ever.
    #[test]
    fn the_layouts_stay() {
        let body = |tag: u8, rest: &[u8]| [&[1, tag], &b"\x10\0\0\0dutch-bank/loans\x04\0\0\0mail"[..], rest].concat();
        let put = b"\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0post\x02\0\0\0\x02\0\0\0{}";
        let put: Vec<u8> = [&[0; 15][..], &put[..1], &put[16..]].concat();
        let [plain, ordered, grouped, _] = &messages(b"{}", 1)[..] else { panic!("four messages") };
        assert_eq!(plain.encode(), body(1, &put));
        assert_eq!(ordered.encode(), body(4, &[&put[..], b"\x01\x01\0\0\0\0\0\0\0\0\0\0\0"].concat()));
        assert_eq!(grouped.encode(), body(4, &[&put[..], b"\0\x02\0\0\0\x01\0\0\0a\x01\0\0\0b"].concat()));

        let message = b"\x01\x02\0\0\0\0\0\0";
        let until = (-5i64).to_le_bytes();
        let encoded = |group, what| happened(group, 0x0201, what).encode();
        assert_eq!(encoded(None, Happening::Leased { until: -5 }), body(2, &[&message[..], &until].concat()));
        assert_eq!(encoded(None, Happening::Acknowledged), body(3, message));
        let with_group = |rest: &[u8]| [b"\x01\0\0\0a", &message[..], rest].concat();
        let expected: [(u8, &[u8]); 10] = [
            (5, &until),
            (6, b""),
            (7, b"\0\x02\0\0\0no"),
            (7, b"\x01\x07\0\0\0\0\0\0\0\x02\0\0\0no"),
            (7, b"\x02\x02\0\0\0no"),
            (8, b"\x09\0\0\0\0\0\0\0"),
            (9, b""),
            (10, b"\x01\x02\0\0\0no\0"),
            (10, b"\0\x01\x02\0\0\0no"),
            (11, b"\x01\x02\0\0\0no\x02\0\0\0no"),
        ];
        for (what, (tag, rest)) in happenings("no").into_iter().zip(expected) {
            assert_eq!(encoded(Some("a"), what), body(tag, &with_group(rest)));
        }
        let unnamed = [&b"\0\0\0\0"[..], message].concat();
        assert_eq!(encoded(None, Happening::Dead), body(9, &unnamed), "the group without a name");
        assert_eq!(stream_hash("loan-1"), 0x1e08_6189_9c29_ab4c, "as recorded with messages");
    }
}
