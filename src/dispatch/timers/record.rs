//! What dispatch writes into the log about timers: records of kind `Timer`, under the key scope 0 id. Layouts are drawn in
//! `docs/dispatch.md`.

use bytes::Bytes;
use uuid::Uuid;

use crate::dispatch::codec::{Reader, Writer};
use crate::dispatch::record::FORMAT;
use crate::event::Scope;

/// Something that happened to a timer; each says when it is due, so that whoever folds the log finds it without a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatch) struct TimerRecord {
    /// In microseconds since the Unix epoch.
    pub(in crate::dispatch) due: i64,
    pub(in crate::dispatch) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatch) enum What {
    /// It was set: the event that it brings, as JSON.
    Set { event: Bytes },
    /// Its event is in the log.
    Fired,
    /// It was taken back.
    Cancelled { actor: Option<String>, reason: Option<String> },
    /// It was due, and its event was refused.
    Failed { error: String },
    /// An occurrence of a schedule: its event is in the log, or was refused. All up to `through` is done with.
    Occurred { schedule: String, through: i64, error: Option<String> },
}

pub(in crate::dispatch) fn timer_key(scope: &Scope, id: Uuid) -> Bytes {
    let mut key = scope.to_string().into_bytes();
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key.into()
}

/// The key of the records of a schedule's occurrences: scope 1 schedule.
pub(in crate::dispatch) fn schedule_key(scope: &Scope, schedule: &str) -> Bytes {
    let mut key = scope.to_string().into_bytes();
    key.push(1);
    key.extend_from_slice(schedule.as_bytes());
    key.into()
}

/// The scope of a key of a schedule.
pub(in crate::dispatch) fn parse_schedule_key(key: &[u8]) -> Option<Scope> {
    let end = key.iter().position(|byte| *byte == 1)?;
    std::str::from_utf8(key.get(..end)?).ok()?.parse().ok()
}

/// Whose records have this key; `None` where it isn't the key of a timer.
pub(in crate::dispatch) fn parse_timer_key(key: &[u8]) -> Option<(Scope, Uuid)> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (scope, rest) = key.split_at_checked(end)?;
    let scope = std::str::from_utf8(scope).ok()?.parse().ok()?;
    Some((scope, Uuid::from_slice(rest.get(1..)?).ok()?))
}

impl TimerRecord {
    pub(in crate::dispatch) fn encode(&self) -> Bytes {
        let writer = |tag| Writer::new(FORMAT, tag).i64(self.due);
        match &self.what {
            What::Set { event } => writer(1).bytes(event),
            What::Fired => writer(2),
            What::Cancelled { actor, reason } => writer(3).text(actor.as_deref()).text(reason.as_deref()),
            What::Failed { error } => writer(4).bytes(error.as_bytes()),
            What::Occurred { schedule, through, error } => {
                writer(5).bytes(schedule.as_bytes()).i64(*through).text(error.as_deref())
            }
        }
        .finish()
    }

    /// The record from its body; `None` where it is none.
    pub(in crate::dispatch) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if reader.u8()? != FORMAT {
            return None;
        }
        let tag = reader.u8()?;
        let due = reader.i64()?;
        let what = match tag {
            1 => What::Set { event: Bytes::copy_from_slice(reader.bytes()?) },
            2 => What::Fired,
            3 => What::Cancelled { actor: reader.optional_text()?, reason: reader.optional_text()? },
            4 => What::Failed { error: reader.text()? },
            5 => What::Occurred { schedule: reader.text()?, through: reader.i64()?, error: reader.optional_text()? },
            _ => return None,
        };
        reader.end(Self { due, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = TimerRecord> {
        let text = || proptest::option::of(".*");
        let what = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|event| What::Set { event: event.into() }),
            Just(What::Fired),
            (text(), text()).prop_map(|(actor, reason)| What::Cancelled { actor, reason }),
            ".*".prop_map(|error| What::Failed { error }),
            (".*", any::<i64>(), text()).prop_map(|(schedule, through, error)| What::Occurred {
                schedule,
                through,
                error
            }),
        ];
        (any::<i64>(), what).prop_map(|(due, what)| TimerRecord { due, what })
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were_written(record in any_record(), cut in any::<proptest::sample::Index>()) {
            let body = record.encode();
            prop_assert_eq!(TimerRecord::decode(&body), Some(record));
            prop_assert_eq!(TimerRecord::decode(&body[..cut.index(body.len())]), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = TimerRecord::decode(&bytes);
            let _ = parse_timer_key(&bytes);
        }
    }

    /// The bytes as `docs/dispatch.md` draws them: a log outlives the code that wrote it.
    #[test]
    fn the_layout_stays() {
        let set = TimerRecord { due: -2, what: What::Set { event: Bytes::from_static(b"{}") } };
        let expected = [1, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, b'{', b'}'];
        assert_eq!(&set.encode()[..], expected);
        let cancelled = What::Cancelled { actor: None, reason: Some("no".into()) };
        let expected = [1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, b'n', b'o'];
        assert_eq!(&TimerRecord { due: 5, what: cancelled }.encode()[..], expected);
        let (scope, id): (Scope, Uuid) = ("dutch-bank/loans".parse().unwrap(), Uuid::from_u128(7));
        assert_eq!(parse_timer_key(&timer_key(&scope, id)), Some((scope.clone(), id)));
        assert_eq!(parse_schedule_key(&schedule_key(&scope, "pilot/nightly")), Some(scope));
        let occurred = What::Occurred { schedule: "n".into(), through: 2, error: None };
        let expected = [1, 5, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'n', 2, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(&TimerRecord { due: 1, what: occurred }.encode()[..], expected);
    }
}
