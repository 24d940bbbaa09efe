//! Everything that can be read of a store, held against what had been written.

use std::hash::{DefaultHasher, Hash, Hasher};

use atlas::log::{At, Direction, OpenError, Query, ReadError, RecordedEvent};
use atlas::{EventStore, Uuid};

use crate::stores::{Template, scope, stream};

/// More than any store here holds.
const MANY: usize = 1 << 20;

/// An event, whole; of large data the length and a hash.
pub fn text(event: &RecordedEvent) -> String {
    if event.data().len() > 4096 {
        let mut hasher = DefaultHasher::new();
        (event.data(), event.position(), event.version(), event.recorded_at()).hash(&mut hasher);
        return format!("{} {} {} {:x}", event.id(), event.stream(), event.event_type(), hasher.finish());
    }
    serde_json::to_string(&event.envelope()).unwrap_or_else(|error| format!("{} {error}", event.position()))
}

/// What reading everything came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What a read from the start gave before its end or its error.
    pub events: Vec<String>,
    /// How many calls failed.
    pub failed: usize,
}

struct Reading<'t> {
    /// What each event must be, where that is known.
    expected: Option<&'t Template>,
    failed: usize,
}

impl Reading<'_> {
    fn ok<T>(&mut self, result: Result<T, ReadError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                self.failed += 1;
                None
            }
        }
    }

    fn check(&self, event: &RecordedEvent) {
        let Some(template) = self.expected else { return };
        let written = usize::try_from(event.position()).ok().and_then(|position| template.events.get(position - 1));
        assert_eq!(Some(&text(event)), written, "an event that was never written");
    }

    fn all(&mut self, events: impl Iterator<Item = Result<RecordedEvent, ReadError>>) -> Vec<RecordedEvent> {
        let mut found = Vec::new();
        for event in events {
            assert!(found.len() < MANY, "a read without end");
            let Some(event) = self.ok(event) else { break };
            self.check(&event);
            found.push(event);
        }
        found
    }
}

/// Reads all that there is in every way. Where `expected` is given each event must be what was written there.
pub fn everything(store: &EventStore, expected: Option<&Template>, ids: &[Uuid]) -> Outcome {
    let mut reading = Reading { expected, failed: 0 };
    let read = reading.ok(store.read(Query::new()));
    let events = read.map(|read| reading.all(read)).unwrap_or_default();
    let whole = reading.failed == 0;
    if expected.is_some() {
        for (event, position) in events.iter().zip(1..) {
            assert_eq!(event.position(), position, "a position is left out");
        }
        assert!(!whole || events.len() as u64 == store.last_position());
    }
    let strict = |reading: &Reading<'_>, before: usize| expected.is_some() && whole && reading.failed == before;

    let before = reading.failed;
    let read = reading.ok(store.read(Query::new().backward()));
    let backward = read.map(|read| reading.all(read)).unwrap_or_default();
    if strict(&reading, before) {
        assert!(backward.iter().rev().map(text).eq(events.iter().map(text)), "backwards is another log");
    }
    let before = reading.failed;
    let read = reading.ok(store.read(Query::new().type_prefix("A_B_C_D_2").after(3).recorded(Some(1), None)));
    let typed = read.map(|read| reading.all(read)).unwrap_or_default();
    if strict(&reading, before) {
        let wanted = events.iter().filter(|event| event.position() > 3 && event.event_type() == "A_B_C_D_2");
        assert_eq!(typed.len(), wanted.count());
    }
    for number in 0..6 {
        let stream = stream(number);
        let count = events.iter().filter(|event| event.stream() == stream).count();
        for (direction, from) in [(Direction::Forward, 1), (Direction::Backward, u64::MAX), (Direction::Forward, 3)] {
            let before = reading.failed;
            let read = reading.ok(store.read_stream(&scope(), &stream, from, direction));
            let found = read.map(|read| reading.all(read)).unwrap_or_default();
            if strict(&reading, before) {
                assert_eq!(found.len(), if from == 3 { count.saturating_sub(2) } else { count });
            }
        }
        let version = store.version(&scope(), &stream);
        let version = reading.ok(version);
        if expected.is_some() && whole && version.is_some() {
            assert_eq!(version, Some(count as u64));
        }
        for at in [At::Now, At::Version(2)] {
            let (with, without) = (store.state(&scope(), &stream, at, true), store.state(&scope(), &stream, at, false));
            let states = (reading.ok(with), reading.ok(without));
            if let (true, (Some(with), Some(without))) = (expected.is_some(), states) {
                assert_eq!((with.version, with.state), (without.version, without.state), "a keyframe of another state");
            }
        }
    }
    for (id, position) in ids.iter().zip(1..) {
        let found = reading.ok(store.event(&scope(), *id));
        found.iter().flatten().for_each(|event| reading.check(event));
        if let (true, true, Some(found)) = (expected.is_some(), whole, found) {
            assert_eq!(found.map(|event| event.position()), (position <= events.len() as u64).then_some(position));
        }
        let found = reading.ok(store.event_at(position)).flatten();
        found.iter().for_each(|event| reading.check(event));
    }
    for (number, caused) in [(77, false), (78, true), (79, true)] {
        let id = Uuid::from_u128(number);
        let found = if caused { store.caused_by(&scope(), id) } else { store.correlated(&scope(), id) };
        let found = reading.ok(found);
        found.iter().flatten().for_each(|event| reading.check(event));
        if let (true, true, Some(found)) = (expected.is_some(), whole, found) {
            let wanted = events.iter().filter(|event| number < 79 && event.actor().is_some());
            assert_eq!(found.len(), wanted.count());
        }
    }
    let streams = reading.ok(store.streams(None, ""));
    for stream in streams.into_iter().flatten().take(MANY) {
        if reading.ok(stream).is_none() {
            break;
        }
    }
    let _ = reading.ok(store.stats());
    let mut subscription = store.subscribe(Query::new(), 0);
    let (mut position, mut followed) = (0, 0);
    while let Some(Some(event)) = reading.ok(subscription.try_next()) {
        assert!(expected.is_none() || event.position() > position, "a subscription that goes back");
        position = event.position();
        followed += 1;
        assert!(followed < MANY, "a subscription without end");
        reading.check(&event);
    }
    Outcome { events: events.iter().map(text).collect(), failed: reading.failed }
}

/// An error of an open says something.
pub fn said(error: &OpenError) -> String {
    let said = error.to_string();
    assert!(!said.is_empty());
    said
}
