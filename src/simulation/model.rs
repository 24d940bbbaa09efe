//! What is known of a simulated log: what was tried, what was acknowledged, what somebody saw, and in which order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::attempts::{Attempt, record_told_by, told_by};
use super::fold::{Chain, ChainFold};
use crate::event::Scope;
use crate::log::{Receipt, RecordedEvent, RoomRecord};

/// What is wrong, in a sentence.
pub(super) type Check<T = ()> = Result<T, String>;

/// Says what is wrong unless `holds`.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(what()) }
}

/// An event's place in the one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) attempt: usize,
    pub(super) index: usize,
    pub(super) version: u64,
    pub(super) recorded_at: i64,
}

/// An entry of a log as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Event { position: u64, placed: Placed, id: Uuid },
    Record { attempt: usize, index: usize },
}

/// All that is known.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) scopes: [Scope; 2],
    pub(super) attempts: Vec<Attempt>,
    /// What was seen at each position, durable or not.
    pub(super) order: BTreeMap<u64, Placed>,
    /// Everything up to this position was acknowledged as durable, or seen by a reader.
    pub(super) durable: u64,
    /// The position of an attempt's first event, where it is known.
    pub(super) first: HashMap<usize, u64>,
    /// Attempts that must be found whole after any crash.
    pub(super) must: BTreeSet<usize>,
    /// Attempts that were refused: nothing of them may be found.
    pub(super) refused: BTreeSet<usize>,
    /// Attempts whose answer nobody got in this life, or which said that it isn't known: they may be there.
    pub(super) unknown: BTreeSet<usize>,
}

impl Model {
    pub(super) fn new() -> Check<Self> {
        let scope = |text: &str| text.parse::<Scope>().map_err(|error| error.to_string());
        Ok(Self {
            scopes: [scope("bank/loans")?, scope("shop/orders")?],
            attempts: Vec::new(),
            order: BTreeMap::new(),
            durable: 0,
            first: HashMap::new(),
            must: BTreeSet::new(),
            refused: BTreeSet::new(),
            unknown: BTreeSet::new(),
        })
    }

    pub(super) fn attempt(&self, number: usize) -> Check<&Attempt> {
        self.attempts.get(number).ok_or_else(|| format!("attempt {number} was never made"))
    }

    pub(super) fn scope(&self, number: usize) -> Check<&Scope> {
        self.scopes.get(number).ok_or_else(|| "no such scope".to_owned())
    }

    /// The newest version that is known of a stream.
    pub(super) fn version(&self, scope: usize, stream: &str) -> u64 {
        let of = |placed: &&Placed| {
            self.attempts.get(placed.attempt).is_some_and(|attempt| {
                attempt.scope == scope && attempt.events.get(placed.index).is_some_and(|event| event.stream == stream)
            })
        };
        self.order.values().rev().find(of).map_or(0, |placed| placed.version)
    }

    /// Which event of which attempt an event is, all of it compared.
    pub(super) fn told(&self, event: &RecordedEvent) -> Check<(u64, Placed)> {
        let position = event.position();
        let wrong = |what: &str| format!("the event at position {position} has {what}: {event:?}");
        let (attempt, index) = told_by(event.data()).ok_or_else(|| wrong("data that nobody gave"))?;
        let tried = self.attempt(attempt)?;
        let wanted = tried.events.get(index).ok_or_else(|| wrong("data that nobody gave"))?;
        ensure(event.data() == wanted.data, || wrong("other data than were given"))?;
        ensure(event.event_type() == wanted.event_type, || wrong("another type"))?;
        ensure(event.stream() == wanted.stream, || wrong("another stream"))?;
        ensure(event.scope() == self.scope(tried.scope)?, || wrong("another scope"))?;
        ensure(wanted.id.is_none_or(|id| id == event.id()), || wrong("another id"))?;
        ensure(event.causation_id() == wanted.cause, || wrong("another cause"))?;
        ensure(event.correlation_id() == event.id(), || wrong("a correlation id that nobody gave"))?;
        ensure(event.time().micros() == event.recorded_at(), || wrong("a time that nobody gave"))?;
        let placed = Placed { attempt, index, version: event.version(), recorded_at: event.recorded_at() };
        Ok((position, placed))
    }

    /// Which record of which attempt a record is.
    pub(super) fn told_record(&self, record: &RoomRecord) -> Check<(usize, usize)> {
        let wrong = || format!("a record that nobody gave: {record:?}");
        let (attempt, index) = record_told_by(&record.body).ok_or_else(wrong)?;
        let (kind, key, body) = self.attempt(attempt)?.records.get(index).ok_or_else(wrong)?;
        ensure(record.kind == *kind && record.key == *key && record.body == *body, wrong)?;
        Ok((attempt, index))
    }

    /// Takes in that an event was seen at a position. What was seen there before must be the same.
    pub(super) fn place(&mut self, position: u64, placed: Placed, id: Uuid) -> Check {
        ensure(position >= 1 && placed.version >= 1, || format!("{placed:?} at position {position}"))?;
        if let Some(before) = self.order.get(&position) {
            return ensure(*before == placed, || {
                format!("position {position} was {before:?} before, and now is {placed:?}")
            });
        }
        let first = position.checked_sub(placed.index as u64).filter(|first| *first >= 1);
        let first = first.ok_or_else(|| format!("{placed:?} at position {position}"))?;
        let known = *self.first.entry(placed.attempt).or_insert(first);
        ensure(known == first, || {
            format!("attempt {} begins at position {first}, and at {known} as well", placed.attempt)
        })?;
        self.order.insert(position, placed);
        let tried = self.attempts.get_mut(placed.attempt).and_then(|attempt| attempt.events.get_mut(placed.index));
        if let Some(tried) = tried {
            let known = *tried.id.get_or_insert(id);
            ensure(known == id, || format!("the event at position {position} has id {id}, and {known} before"))?;
        }
        Ok(())
    }

    /// Takes in an event that a reader was given, and which therefore must be durable.
    pub(super) fn seen(&mut self, event: &RecordedEvent) -> Check<u64> {
        let (position, placed) = self.told(event)?;
        self.place(position, placed, event.id())?;
        ensure(!self.refused.contains(&placed.attempt), || {
            format!("attempt {} was refused, and is there", placed.attempt)
        })?;
        self.must.insert(placed.attempt);
        self.durable = self.durable.max(position);
        Ok(position)
    }

    /// Takes in a receipt for an attempt.
    pub(super) fn acknowledged(&mut self, number: usize, receipt: &Receipt) -> Check {
        let wanted = self.attempt(number)?.events.len();
        let found = receipt.events.len();
        ensure(wanted == found, || format!("{found} events acknowledged of attempt {number}, which has {wanted}"))?;
        for (index, written) in receipt.events.iter().enumerate() {
            let placed = Placed { attempt: number, index, version: written.version, recorded_at: written.recorded_at };
            self.place(written.position, placed, written.id)?;
            if receipt.durable {
                self.durable = self.durable.max(written.position);
            }
        }
        self.refused.remove(&number);
        if receipt.durable {
            self.must.insert(number);
        }
        Ok(())
    }

    /// Holds what is found after a crash against what is known.
    pub(super) fn recovered(&self, found: &[Found]) -> Check {
        let mut versions: HashMap<(usize, &str), u64> = HashMap::new();
        let mut whole: BTreeSet<usize> = BTreeSet::new();
        let mut last_recorded = i64::MIN;
        let mut positions = 0;
        // The attempt that is being told, and how many of its entries were.
        let mut telling: Option<(usize, usize)> = None;
        for entry in found {
            let (number, at) = match entry {
                Found::Event { placed, .. } => (placed.attempt, placed.index),
                Found::Record { attempt, index } => (*attempt, self.attempt(*attempt)?.events.len() + index),
            };
            let attempt = self.attempt(number)?;
            if at == 0 {
                ensure(telling.is_none(), || format!("attempt {number} begins within {telling:?}"))?;
                ensure(whole.insert(number), || format!("attempt {number} is there twice"))?;
                ensure(!self.refused.contains(&number), || format!("attempt {number} was refused, and is there"))?;
                for (stream, expected) in &attempt.expected {
                    let version = versions.get(&(attempt.scope, stream.as_str())).copied().unwrap_or(0);
                    ensure(expected.allows(version), || {
                        format!("attempt {number} expected {expected} of {stream}, which is at {version}")
                    })?;
                }
            }
            ensure(telling == (at > 0).then_some((number, at)), || {
                format!("entry {at} of attempt {number} comes after {telling:?}")
            })?;
            let is_last = at + 1 == attempt.events.len() + attempt.records.len();
            telling = (!is_last).then_some((number, at + 1));
            let Found::Event { position, placed, .. } = entry else { continue };
            positions += 1;
            ensure(*position == positions, || format!("position {position} comes where {positions} should"))?;
            ensure(placed.recorded_at >= last_recorded, || format!("time runs backwards at position {position}"))?;
            last_recorded = placed.recorded_at;
            let stream = attempt.events.get(placed.index).map_or("", |event| event.stream.as_str());
            let version = versions.entry((attempt.scope, stream)).or_insert(0);
            *version += 1;
            ensure(*version == placed.version, || {
                format!("version {} of {stream} at position {position}, where {version} should be", placed.version)
            })?;
            if let Some(before) = self.order.get(position) {
                ensure(before == placed || *position > self.durable, || {
                    format!("position {position} was {before:?} before the crash, and now is {placed:?}")
                })?;
            }
        }
        ensure(telling.is_none(), || format!("only {telling:?} of an attempt is there"))?;
        ensure(positions >= self.durable, || {
            format!("{positions} events are found, and {} were durable", self.durable)
        })?;
        match self.must.iter().find(|number| !whole.contains(number)) {
            Some(lost) => Err(format!("attempt {lost} was durable, and is gone")),
            None => Ok(()),
        }
    }

    /// Takes what is found for what there is from now on.
    pub(super) fn adopt(&mut self, found: &[Found]) -> Check {
        self.recovered(found)?;
        self.order.clear();
        self.first.clear();
        self.unknown.clear();
        for entry in found {
            match entry {
                Found::Event { position, placed, id } => {
                    self.place(*position, *placed, *id)?;
                    self.must.insert(placed.attempt);
                    self.durable = self.durable.max(*position);
                }
                Found::Record { attempt, .. } => {
                    self.must.insert(*attempt);
                }
            }
        }
        Ok(())
    }

    /// The events of a stream, by version, as far as they are known without a gap.
    pub(super) fn stream(&self, scope: usize, stream: &str) -> Vec<(u64, Placed)> {
        let of = |(_, placed): &(&u64, &Placed)| {
            self.attempts.get(placed.attempt).is_some_and(|attempt| {
                attempt.scope == scope && attempt.events.get(placed.index).is_some_and(|event| event.stream == stream)
            })
        };
        let events = self.order.iter().filter(of).map(|(position, placed)| (*position, *placed));
        events
            .zip(1..)
            .take_while(|((_, placed), version)| placed.version == *version)
            .map(|(event, _)| event)
            .collect()
    }

    /// The chained state of a stream up to a version; `None` where not all of it is known.
    pub(super) fn chain(&self, scope: usize, stream: &str, version: u64, fold: ChainFold) -> Option<Chain> {
        let events = self.stream(scope, stream);
        let events = events.get(..usize::try_from(version).ok()?)?;
        let mut state = (0, 0);
        events.iter().for_each(|(position, _)| fold.add(&mut state, *position));
        Some(state)
    }
}
