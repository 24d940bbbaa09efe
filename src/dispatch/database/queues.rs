//! Tables of queues: which messages stand in which order, who holds one, which can be taken. All of it is a fold of the
//! records of queues, for each group of a queue by itself; no configuration is asked.
//!
//! A message that can be taken at once stands in `free`, one that is leased or waits after a nack in `due`, by the end of
//! that, a dead letter in `dead`. Of a stream of an ordered queue only the first message ever stands in one of these, so
//! `take` looks at nothing that it can't give out.

use std::ops::Bound;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    DEAD, DUE, DispatchDatabase, FREE, IN_STREAMS, MESSAGES, QUEUES, STREAMS, decode, failed, first_key, key, number,
    part, scope_of, sortable,
};
use crate::dispatch::DispatchError;
use crate::dispatch::queue_record::{Happening, QueueGroup, Then};
use crate::event::Name;
use crate::log::Address;

/// A message of a group as the tables know it; its content is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) recorded_at: i64,
    /// The hash of its stream, where its queue was ordered when it was put.
    pub(super) stream: Option<u64>,
    /// How often it was taken, since the beginning or since it was requeued.
    pub(super) receives: u32,
    /// How often it was taken at all: the number of its newest lease.
    pub(super) leases: u64,
    pub(super) state: State,
}

/// What a message waits for. Times are microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dispatch) enum State {
    /// Nobody holds it.
    Ready,
    /// Somebody holds it, or did until a time that has passed.
    Leased(i64),
    /// It was given back, to be taken from a time on.
    Waiting(i64),
    /// It is a dead letter.
    Dead,
}

/// How many messages a group has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dispatch) struct Counts {
    /// Those that can be taken, now or later.
    pub(in crate::dispatch) depth: u64,
    /// Dead letters, and those behind them.
    pub(in crate::dispatch) dead: u64,
}

/// By how much the counts of a group change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dispatch) struct Shift {
    pub(in crate::dispatch) depth: i64,
    pub(in crate::dispatch) dead: i64,
}

impl Shift {
    fn new(depth: i64, dead: i64) -> Self {
        Self { depth, dead }
    }

    /// So many live ones become dead.
    fn dies(count: u64) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Self::new(-count, count)
    }

    /// So many dead ones become live.
    fn revives(count: u64) -> Self {
        let Self { depth, dead } = Self::dies(count);
        Self::new(-depth, -dead)
    }

    fn and(self, other: Self) -> Self {
        Self::new(self.depth + other.depth, self.dead + other.dead)
    }
}

impl Counts {
    pub(in crate::dispatch) fn shift(&mut self, by: Shift) {
        self.depth = self.depth.saturating_add_signed(by.depth);
        self.dead = self.dead.saturating_add_signed(by.dead);
    }
}

pub(super) fn group_key(of: &QueueGroup) -> Vec<u8> {
    key(&[&of.scope.to_string(), of.queue.as_str(), of.group.as_ref().map_or("", Name::as_str)])
}

/// The key of a group with numbers behind it.
pub(super) fn group_key_with(of: &QueueGroup, numbers: &[u64]) -> Vec<u8> {
    let mut key = group_key(of);
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

pub(super) fn message_key(of: &QueueGroup, address: Address) -> Vec<u8> {
    group_key_with(of, &[address.to_u64()])
}

impl DispatchDatabase {
    pub(super) fn row(&mut self, of: &QueueGroup, address: Address) -> Result<Option<Row>, DispatchError> {
        self.get(MESSAGES, "messages", &message_key(of, address))
    }

    /// A message enters a queue. Returns by how much the counts change.
    pub(in crate::dispatch) fn add_message(
        &mut self,
        of: &QueueGroup,
        (address, recorded_at): (Address, i64),
        id: Uuid,
        stream: Option<u64>,
    ) -> Result<Shift, DispatchError> {
        let row = Row { id, recorded_at, stream, receives: 0, leases: 0, state: State::Ready };
        self.put(MESSAGES, &message_key(of, address), &row)?;
        let Some(stream) = stream else {
            self.mark(of, address, State::Ready)?;
            return Ok(Shift::new(1, 0));
        };
        let first = self.first_of_stream(of, stream)?;
        self.add_to_stream(of, stream, address)?;
        match first {
            None => {
                self.mark(of, address, State::Ready)?;
                Ok(Shift::new(1, 0))
            }
            Some(first) => match self.row(of, first)?.map(|row| row.state) {
                Some(State::Dead) => Ok(Shift::new(0, 1)),
                _ => Ok(Shift::new(1, 0)),
            },
        }
    }

    /// Something happened to a message, which may be gone. Returns by how much the counts change.
    pub(in crate::dispatch) fn message_happened(
        &mut self,
        of: &QueueGroup,
        address: Address,
        what: &Happening,
    ) -> Result<Shift, DispatchError> {
        let Some(mut row) = self.row(of, address)? else { return Ok(Shift::default()) };
        let state = match what {
            Happening::Acknowledged | Happening::Dropped { .. } | Happening::Ingested { .. } => {
                return self.remove_message(of, address, &row);
            }
            Happening::Leased { until } => {
                row.receives = row.receives.saturating_add(1);
                row.leases = row.leases.saturating_add(1);
                State::Leased(*until)
            }
            Happening::Extended { until } => State::Leased(*until),
            Happening::Nacked { then: Then::Free, .. } => State::Ready,
            Happening::Nacked { then: Then::Waits(until), .. } => State::Waiting(*until),
            Happening::Nacked { then: Then::Dead, .. } | Happening::Dead | Happening::Refused { .. } => State::Dead,
            Happening::Requeued { .. } => {
                row.receives = 0;
                State::Ready
            }
        };
        let before = std::mem::replace(&mut row.state, state);
        self.unmark(of, address, before)?;
        self.mark(of, address, state)?;
        self.put(MESSAGES, &message_key(of, address), &row)?;
        match (before == State::Dead, state == State::Dead) {
            (false, true) => Ok(Shift::dies(self.in_stream(of, row.stream)?)),
            (true, false) => Ok(Shift::revives(self.in_stream(of, row.stream)?)),
            _ => Ok(Shift::default()),
        }
    }

    fn remove_message(&mut self, of: &QueueGroup, address: Address, row: &Row) -> Result<Shift, DispatchError> {
        self.delete(MESSAGES, &message_key(of, address))?;
        self.unmark(of, address, row.state)?;
        let gone = if row.state == State::Dead { Shift::new(0, -1) } else { Shift::new(-1, 0) };
        let Some(stream) = row.stream else { return Ok(gone) };
        let first = self.first_of_stream(of, stream)?;
        self.remove_from_stream(of, stream, address)?;
        if first != Some(address) {
            let first = first.map(|first| self.row(of, first)).transpose()?.flatten();
            let is_behind_dead = first.is_some_and(|first| first.state == State::Dead);
            return Ok(if is_behind_dead { Shift::new(0, -1) } else { gone });
        }
        // The next one of the stream is its first now.
        if let Some(next) = self.first_of_stream(of, stream)?
            && let Some(next_row) = self.row(of, next)?
        {
            self.mark(of, next, next_row.state)?;
        }
        match row.state {
            State::Dead => Ok(gone.and(Shift::revives(self.in_stream(of, Some(stream))?))),
            _ => Ok(gone),
        }
    }

    /// Has a message that comes first in its stream, or has none, found by its state.
    fn mark(&mut self, of: &QueueGroup, address: Address, state: State) -> Result<(), DispatchError> {
        let (definition, key) = mark_of(of, address, state);
        self.table(definition)?.insert(key.as_slice(), [].as_slice()).map_err(failed)?;
        Ok(())
    }

    fn unmark(&mut self, of: &QueueGroup, address: Address, state: State) -> Result<(), DispatchError> {
        let (definition, key) = mark_of(of, address, state);
        self.delete(definition, &key).map(drop)
    }

    pub(super) fn first_of_stream(&mut self, of: &QueueGroup, stream: u64) -> Result<Option<Address>, DispatchError> {
        let prefix = group_key_with(of, &[stream]);
        let found = first_key(&self.table(IN_STREAMS)?, &prefix, &prefix)?;
        found.map(|key| number("in_streams", &key).map(Address::from_u64)).transpose()
    }

    fn add_to_stream(&mut self, of: &QueueGroup, stream: u64, address: Address) -> Result<(), DispatchError> {
        let key = group_key_with(of, &[stream, address.to_u64()]);
        self.table(IN_STREAMS)?.insert(key.as_slice(), [].as_slice()).map_err(failed)?;
        let count = self.in_stream(of, Some(stream))?.saturating_add(1);
        self.put(STREAMS, &group_key_with(of, &[stream]), &count)
    }

    fn remove_from_stream(&mut self, of: &QueueGroup, stream: u64, address: Address) -> Result<(), DispatchError> {
        self.delete(IN_STREAMS, &group_key_with(of, &[stream, address.to_u64()]))?;
        let count = self.in_stream(of, Some(stream))?.saturating_sub(1);
        let key = group_key_with(of, &[stream]);
        if count == 0 { self.delete(STREAMS, &key).map(drop) } else { self.put(STREAMS, &key, &count) }
    }

    /// How many messages a stream has in a group; one without a stream is alone.
    fn in_stream(&mut self, of: &QueueGroup, stream: Option<u64>) -> Result<u64, DispatchError> {
        let Some(stream) = stream else { return Ok(1) };
        Ok(self.get(STREAMS, "streams", &group_key_with(of, &[stream]))?.unwrap_or(0))
    }

    pub(in crate::dispatch) fn set_counts(&mut self, of: &QueueGroup, counts: Counts) -> Result<(), DispatchError> {
        let key = group_key(of);
        match counts {
            Counts { depth: 0, dead: 0 } => self.delete(QUEUES, &key).map(drop),
            counts => self.put(QUEUES, &key, &counts),
        }
    }

    /// Every group of a queue that has messages.
    pub(in crate::dispatch) fn counts(&mut self) -> Result<Vec<(QueueGroup, Counts)>, DispatchError> {
        let mut found = Vec::new();
        for entry in self.table(QUEUES)?.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let (scope, rest) = part("queues", key.value())?;
            let (queue, rest) = part("queues", rest)?;
            let (group, _) = part("queues", rest)?;
            let name = |text| Name::parse("queue", text).map_err(|_| DispatchError::Row { table: "queues" });
            let group = if group.is_empty() { None } else { Some(name(group)?) };
            let of = QueueGroup { scope: scope_of("queues", scope)?, queue: name(queue)?, group };
            found.push((of, decode("queues", value.value())?));
        }
        Ok(found)
    }

    /// The oldest message of each group.
    pub(super) fn oldest_messages(&mut self) -> Result<Vec<Address>, DispatchError> {
        let mut oldest = Vec::new();
        for (of, _) in self.counts()? {
            let prefix = group_key(&of);
            if let Some(first) = first_key(&self.table(MESSAGES)?, &prefix, &prefix)? {
                oldest.push(Address::from_u64(number("messages", &first)?));
            }
        }
        Ok(oldest)
    }
}

/// Where a message of a state is found.
fn mark_of(of: &QueueGroup, address: Address, state: State) -> (super::Definition, Vec<u8>) {
    match state {
        State::Ready => (FREE, message_key(of, address)),
        State::Leased(until) | State::Waiting(until) => (DUE, group_key_with(of, &[sortable(until), address.to_u64()])),
        State::Dead => (DEAD, message_key(of, address)),
    }
}

/// The addresses at the ends of the keys of a range, up to `count`.
pub(super) fn addresses(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &'static str,
    (from, to): (&[u8], &[u8]),
    count: usize,
) -> Result<Vec<Address>, DispatchError> {
    let range = (Bound::Included(from), Bound::Included(to));
    let keys = table.range::<&[u8]>(range).map_err(failed)?.take(count).map(|entry| {
        let (key, _) = entry.map_err(failed)?;
        number(name, key.value()).map(Address::from_u64)
    });
    keys.collect()
}
