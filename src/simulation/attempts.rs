//! What tasks try to append: made from the seed, and told again from what is read.

use uuid::Uuid;

use crate::event::{Event, Scope};
use crate::log::{Append, Durability, ExpectedVersion, RecordKind};
use crate::storage::simulated::Rng;

/// An event that a task tries to append.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Given by the task, or learnt from the receipt or a reader.
    pub(super) id: Option<Uuid>,
    pub(super) given: bool,
    pub(super) stream: String,
    pub(super) event_type: String,
    pub(super) data: Vec<u8>,
    pub(super) cause: Option<Uuid>,
}

/// An append that a task tries.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) scope: usize,
    pub(super) events: Vec<Tried>,
    pub(super) records: Vec<(RecordKind, Vec<u8>, Vec<u8>)>,
    pub(super) expected: Vec<(String, ExpectedVersion)>,
    pub(super) durability: Durability,
}

/// What tasks of a seed are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) streams: u64,
    /// Appends are of one event of one size and mostly deferred: frames are alike, and several wait for a sync.
    pub(super) alike: bool,
    pub(super) data: u64,
    pub(super) events: u64,
}

impl Habits {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let alike = rng.one_in(4);
        // Alike, each is longer than a sector, so that one can be lost without the next.
        let sizes = if alike { [600, 700, 900, 1_200] } else { [40, 300, 1_500, 6_000] };
        Self {
            streams: 1 + rng.below(if alike { 3 } else { 9 }),
            alike,
            data: rng.pick(&sizes).copied().unwrap_or(40),
            events: 1 + rng.below(5),
        }
    }
}

const KINDS: [RecordKind; 4] = [RecordKind::Delivery, RecordKind::Queue, RecordKind::Timer, RecordKind::Configuration];

fn filler(rng: &mut Rng, length: u64) -> String {
    let letter = char::from(b'a' + rng.below(26) as u8);
    std::iter::repeat_n(letter, length as usize).collect()
}

impl Attempt {
    /// Attempt `number`. `version` says what is known of a stream, to expect something likely.
    pub(super) fn new(
        rng: &mut Rng,
        habits: &Habits,
        number: usize,
        causes: &[Uuid],
        version: impl Fn(usize, &str) -> u64,
    ) -> Self {
        let scope = rng.below(2) as usize;
        let given = !rng.one_in(3);
        let stream = |rng: &mut Rng| format!("s-{}", rng.below(habits.streams));
        let records_only = !habits.alike && rng.one_in(12);
        let count = match records_only {
            true => 0,
            false if habits.alike => 1,
            false => 1 + rng.below(habits.events),
        };
        let mut events = Vec::new();
        for index in 0..count {
            let length = if habits.alike { habits.data } else { rng.below(habits.data + 1) };
            let id = uuid::Builder::from_random_bytes(
                [rng.any().to_le_bytes(), rng.any().to_le_bytes()].concat().try_into().unwrap_or_default(),
            );
            events.push(Tried {
                id: given.then(|| id.into_uuid()),
                given,
                stream: stream(rng),
                event_type: format!("T{}_SIM_STEP_DONE_1", rng.below(3)),
                data: format!("{{\"a\":{number:<5},\"i\":{index},\"x\":\"{}\"}}", filler(rng, length)).into_bytes(),
                cause: rng.pick(causes).copied().filter(|_| !habits.alike && rng.one_in(3)),
            });
        }
        let mut records = Vec::new();
        if records_only || !habits.alike && rng.one_in(3) {
            for index in 0..1 + rng.below(3) {
                let kind = rng.pick(&KINDS).copied().unwrap_or(RecordKind::Queue);
                let key = format!("k-{}", rng.below(6)).into_bytes();
                let length = rng.below(80);
                records.push((kind, key, format!("{number} {index} {}", filler(rng, length)).into_bytes()));
            }
        }
        let mut expected = Vec::new();
        if !records_only && rng.one_in(2) {
            let of = match events.first().filter(|_| !rng.one_in(5)) {
                Some(event) => event.stream.clone(),
                None => stream(rng),
            };
            let known = version(scope, &of);
            let near = match rng.below(8) {
                0 => known + 1,
                1 => known.saturating_sub(1),
                _ => known,
            };
            expected.push((
                of,
                match rng.below(6) {
                    0 => ExpectedVersion::NoStream,
                    1 => ExpectedVersion::Exists,
                    2 => ExpectedVersion::Any,
                    _ => ExpectedVersion::Exact(near),
                },
            ));
        }
        let is_deferred = if habits.alike { !rng.one_in(3) } else { rng.one_in(3) };
        let durability = if is_deferred { Durability::Deferred } else { Durability::Sync };
        Self { scope, events, records, expected, durability }
    }

    /// The append that a task makes of it.
    pub(super) fn append(&self, scope: &Scope, durability: Durability) -> Append {
        let mut append = if self.events.is_empty() { Append::of_records() } else { Append::to(scope) };
        for tried in &self.events {
            append = append.event(tried.event());
        }
        for (stream, expected) in &self.expected {
            append = append.expect_version(stream, *expected);
        }
        for (kind, key, body) in &self.records {
            append = append.record(*kind, key.clone(), body.clone());
        }
        append.durability(durability)
    }

    /// Whether it can be told from another append: a repeat of it is answered as the first was.
    pub(super) fn is_repeatable(&self) -> bool {
        !self.events.is_empty() && self.events.iter().all(|event| event.id.is_some())
    }
}

impl Tried {
    pub(super) fn event(&self) -> Event {
        let mut event = Event::new(&self.event_type, &self.stream).json(self.data.clone());
        event.id = self.id;
        event.causation_id = self.cause;
        event
    }
}

/// Which event of which attempt some data are.
pub(super) fn told_by(data: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(data).ok()?;
    let (attempt, rest) = text.strip_prefix("{\"a\":")?.split_once(",\"i\":")?;
    Some((attempt.trim_end().parse().ok()?, rest.split_once(',')?.0.parse().ok()?))
}

/// Which record of which attempt a body is.
pub(super) fn record_told_by(body: &[u8]) -> Option<(usize, usize)> {
    let mut words = std::str::from_utf8(body).ok()?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
