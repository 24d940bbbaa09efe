//! What dispatch writes into the log about deliveries: records of kind `Delivery`, their keys and bodies.
//!
//! A delivery that nothing has happened to yet has no record: it follows from its event and its plan. Layouts are drawn
//! in `docs/dispatch.md`.

use bytes::Bytes;
use uuid::Uuid;

use super::Outcome;
use super::codec::{Reader, Writer};
use crate::event::{Name, Scope};
use crate::log::Address;

/// The format of record bodies.
pub(super) const FORMAT: u8 = 1;

/// The key of the records that say how far dispatch has followed the log.
pub(super) const PROGRESS_KEY: &[u8] = b"progress";

/// The key of the record that says up to which position events are history that has no deliveries.
pub(super) const IMPORTED_KEY: &[u8] = b"imported";

/// The key of the records that say who makes attempts from there on.
pub(super) const WORKER_KEY: &[u8] = b"worker";

/// Which calls an attempt makes, fixed by the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Calls {
    /// How many.
    pub(super) count: u32,
    /// SHA-256 over the data of all of them.
    pub(super) data_hash: [u8; 32],
}

/// Something that happened to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeliveryRecord {
    /// An attempt starts: written before the call, so that one which kills the process counts.
    Started { attempt: u32, calls: Calls },
    /// One of several calls succeeded. The last one is told by `Completed`.
    CallDone { call: u32, output: Option<Bytes>, emitted: Vec<Uuid> },
    /// An attempt failed; the next one is due at a time, in microseconds since the Unix epoch.
    Retry { attempt: u32, next_at: i64, error: String },
    /// Out of attempts; waits for an operator.
    Parked { attempts: u32, error: String },
    /// An operator has it tried again, with attempts from nought.
    Released { actor: Option<String>, reason: Option<String> },
    /// An operator gave it up: Complete, Failure.
    Dropped { actor: Option<String>, reason: String },
    /// The end.
    Completed { outcome: Outcome, attempts: u32, output: Option<Bytes>, error: Option<String>, emitted: Vec<Uuid> },
}

/// The key of all records of a delivery: scope, 0, the event's id, the handler's name.
pub(super) fn delivery_key(scope: &Scope, event: Uuid, handler: &str) -> Bytes {
    let (tenant, application) = (scope.tenant().as_str().as_bytes(), scope.application().as_str().as_bytes());
    let mut key = Vec::with_capacity(tenant.len() + application.len() + handler.len() + 18);
    key.extend_from_slice(tenant);
    key.push(b'/');
    key.extend_from_slice(application);
    key.push(0);
    key.extend_from_slice(event.as_bytes());
    key.extend_from_slice(handler.as_bytes());
    key.into()
}

/// Whose records have this key; `None` where it isn't the key of a delivery.
pub(super) fn parse_delivery_key(key: &[u8]) -> Option<(Scope, Uuid, Name)> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (scope, rest) = key.split_at_checked(end)?;
    let (id, handler) = rest.get(1..)?.split_first_chunk::<16>()?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let handler = Name::parse("handler", text(handler)?).ok()?;
    Some((text(scope)?.parse().ok()?, Uuid::from_bytes(*id), handler))
}

impl DeliveryRecord {
    /// The body; `position` is the event's, so that whoever folds the log finds the delivery without a look-up.
    pub(super) fn encode(&self, position: u64) -> Bytes {
        let writer = |tag| Writer::new(FORMAT, tag).u64(position);
        match self {
            Self::Started { attempt, calls } => writer(1).u32(*attempt).u32(calls.count).fixed(&calls.data_hash),
            Self::CallDone { call, output, emitted } => writer(2).u32(*call).optional(output.as_deref()).ids(emitted),
            Self::Retry { attempt, next_at, error } => writer(3).u32(*attempt).i64(*next_at).bytes(error.as_bytes()),
            Self::Parked { attempts, error } => writer(4).u32(*attempts).bytes(error.as_bytes()),
            Self::Released { actor, reason } => writer(8).text(actor.as_deref()).text(reason.as_deref()),
            Self::Dropped { actor, reason } => writer(9).text(actor.as_deref()).bytes(reason.as_bytes()),
            Self::Completed { outcome, attempts, output, error, emitted } => writer(7)
                .u8(u8::from(*outcome == Outcome::Failure))
                .u32(*attempts)
                .optional(output.as_deref())
                .text(error.as_deref())
                .ids(emitted),
        }
        .finish()
    }

    /// The event's position and the record, from a body; `None` where it is none.
    pub(super) fn decode(body: &[u8]) -> Option<(u64, Self)> {
        let mut reader = Reader::new(body);
        if reader.u8()? != FORMAT {
            return None;
        }
        let tag = reader.u8()?;
        let position = reader.u64()?;
        let bytes = |value: Option<&[u8]>| value.map(Bytes::copy_from_slice);
        let record = match tag {
            1 => Self::Started {
                attempt: reader.u32()?,
                calls: Calls { count: reader.u32()?, data_hash: reader.fixed()? },
            },
            2 => Self::CallDone { call: reader.u32()?, output: bytes(reader.optional()?), emitted: reader.ids()? },
            3 => Self::Retry { attempt: reader.u32()?, next_at: reader.i64()?, error: reader.text()? },
            4 => Self::Parked { attempts: reader.u32()?, error: reader.text()? },
            // Records from before operators said who they are.
            5 => Self::Released { actor: None, reason: None },
            6 => Self::Dropped { actor: None, reason: reader.text()? },
            8 => Self::Released { actor: reader.optional_text()?, reason: reader.optional_text()? },
            9 => Self::Dropped { actor: reader.optional_text()?, reason: reader.text()? },
            7 => Self::Completed {
                outcome: match reader.u8()? {
                    0 => Outcome::Success,
                    1 => Outcome::Failure,
                    _ => return None,
                },
                attempts: reader.u32()?,
                output: bytes(reader.optional()?),
                error: reader.optional_text()?,
                emitted: reader.ids()?,
            },
            _ => return None,
        };
        reader.end((position, record))
    }
}

/// How far dispatch has followed the log, said in the log now and then: a rebuild starts at `open_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything before this address has been followed.
    pub(super) followed: Address,
    /// Every delivery of an event, and every queue message, before this address is complete.
    pub(super) open_from: Address,
}

impl Progress {
    pub(super) fn encode(self) -> Bytes {
        Writer::new(FORMAT, 1).u64(self.followed.to_u64()).u64(self.open_from.to_u64()).finish()
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if (reader.u8()?, reader.u8()?) != (FORMAT, 1) {
            return None;
        }
        let followed = Address::from_u64(reader.u64()?);
        let open_from = Address::from_u64(reader.u64()?);
        reader.end(Self { followed, open_from })
    }
}

/// The body of the record that makes events up to and with `position` history without deliveries.
pub(super) fn encode_imported(position: u64) -> Bytes {
    Writer::new(FORMAT, 1).u64(position).finish()
}

/// The position that [`encode_imported`] was given.
pub(super) fn decode_imported(body: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(body);
    if (reader.u8()?, reader.u8()?) != (FORMAT, 1) {
        return None;
    }
    let position = reader.u64()?;
    reader.end(position)
}

/// The body of the record that says who makes attempts from there on.
pub(super) fn encode_worker(name: &str) -> Bytes {
    Writer::new(FORMAT, 1).bytes(name.as_bytes()).finish()
}

/// The name that [`encode_worker`] was given.
pub(super) fn decode_worker(body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body);
    if (reader.u8()?, reader.u8()?) != (FORMAT, 1) {
        return None;
    }
    let name = reader.text()?;
    reader.end(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = DeliveryRecord> {
        let ids = || proptest::collection::vec(any::<u128>().prop_map(Uuid::from_u128), 0..3);
        let output = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from));
        let text = || proptest::option::of(".*");
        let outcome = prop_oneof![Just(Outcome::Success), Just(Outcome::Failure)];
        prop_oneof![
            (any::<u32>(), any::<u32>(), any::<[u8; 32]>()).prop_map(|(attempt, count, data_hash)| {
                DeliveryRecord::Started { attempt, calls: Calls { count, data_hash } }
            }),
            (any::<u32>(), output(), ids()).prop_map(|(call, output, emitted)| DeliveryRecord::CallDone {
                call,
                output,
                emitted
            }),
            (any::<u32>(), any::<i64>(), ".*").prop_map(|(attempt, next_at, error)| DeliveryRecord::Retry {
                attempt,
                next_at,
                error
            }),
            (any::<u32>(), ".*").prop_map(|(attempts, error)| DeliveryRecord::Parked { attempts, error }),
            (text(), text()).prop_map(|(actor, reason)| DeliveryRecord::Released { actor, reason }),
            (text(), ".*").prop_map(|(actor, reason)| DeliveryRecord::Dropped { actor, reason }),
            (outcome, any::<u32>(), output(), proptest::option::of(".*"), ids()).prop_map(
                |(outcome, attempts, output, error, emitted)| DeliveryRecord::Completed {
                    outcome,
                    attempts,
                    output,
                    error,
                    emitted
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were_written(position in any::<u64>(), record in any_record()) {
            prop_assert_eq!(DeliveryRecord::decode(&record.encode(position)), Some((position, record)));
        }

        #[test]
        fn a_cut_or_longer_body_is_no_record(record in any_record(), cut in any::<proptest::sample::Index>()) {
            let body = record.encode(1);
            prop_assert_eq!(DeliveryRecord::decode(&body[..cut.index(body.len())]), None);
            let longer = [&body[..], &[0]].concat();
            prop_assert_eq!(DeliveryRecord::decode(&longer), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = DeliveryRecord::decode(&bytes);
            let _ = parse_delivery_key(&bytes);
            let _ = Progress::decode(&bytes);
            let _ = decode_imported(&bytes);
            let _ = decode_worker(&bytes);
        }
    }

    #[test]
    fn keys_tell_whose_records_they_are() {
        let scope: Scope = "dutch-bank/loans".parse().unwrap();
        let id = Uuid::from_u128(7 << 100);
        let key = delivery_key(&scope, id, "score");
        assert_eq!(parse_delivery_key(&key), Some((scope, id, Name::parse("handler", "score").unwrap())));
        assert_eq!(parse_delivery_key(PROGRESS_KEY), None);
        assert_eq!(parse_delivery_key(IMPORTED_KEY), None);
        assert_eq!(parse_delivery_key(WORKER_KEY), None);
        assert_eq!(decode_worker(&encode_worker("desk 7")).as_deref(), Some("desk 7"));
    }

    /// The bytes as `docs/dispatch.md` draws them: a log outlives the code that wrote it.
    #[test]
    fn the_layout_stays() {
        let completed = DeliveryRecord::Completed {
            outcome: Outcome::Failure,
            attempts: 2,
            output: Some(Bytes::from_static(b"{}")),
            error: None,
            emitted: vec![Uuid::from_u128(1)],
        };
        let bytes = completed.encode(0x0102);
        let expected: &[u8] = &[
            1, 7, 2, 1, 0, 0, 0, 0, 0, 0, // version, tag, position
            1, 2, 0, 0, 0, // Failure, attempts
            1, 2, 0, 0, 0, b'{', b'}', // output
            0,    // no error
            1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // emitted
        ];
        assert_eq!(&bytes[..], expected);
        let retry = DeliveryRecord::Retry { attempt: 1, next_at: -2, error: "no".into() };
        let mut expected = vec![1, 3, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        expected.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, b'n', b'o']);
        assert_eq!(&retry.encode(9)[..], expected);
        let dropped = DeliveryRecord::Dropped { actor: Some("a".into()), reason: "no".into() };
        let expected = [1, 9, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, b'a', 2, 0, 0, 0, b'n', b'o'];
        assert_eq!(&dropped.encode(9)[..], expected);
        let older = [1, 6, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'n', b'o'];
        let read = DeliveryRecord::Dropped { actor: None, reason: "no".into() };
        assert_eq!(DeliveryRecord::decode(&older), Some((9, read)));
        let released = DeliveryRecord::Released { actor: None, reason: None };
        assert_eq!(
            DeliveryRecord::decode(&older[..10].iter().map(|b| if *b == 6 { 5 } else { *b }).collect::<Vec<_>>()),
            Some((9, released))
        );
    }
}
