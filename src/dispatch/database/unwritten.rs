//! Rows of open events that were put and not written into the file yet, and rows that were removed and still stand in
//! it. Most events are complete before the next commit: their rows never reach the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::dispatch::open_event::{LaneKey, OpenEvent, Run};
use crate::dispatch::state::Stage;
use crate::event::{Name, Scope};

/// A row that was put.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) event: OpenEvent,
    /// An older row of it stands in the file.
    in_file: bool,
    /// Handlers whose lanes it has left since.
    pub(super) left: Vec<Name>,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct UnwrittenRows {
    rows: HashMap<Scope, BTreeMap<u64, Unwritten>>,
    count: usize,
    max: usize,
}

/// Keys that were removed and still stand in the file. An event that is complete never comes back, and neither does one
/// into a lane that it has left: so it doesn't matter when they go.
#[derive(Debug, Default)]
pub(super) struct Removals {
    pub(super) events: BTreeSet<Vec<u8>>,
    pub(super) lanes: BTreeSet<Vec<u8>>,
}

impl Removals {
    /// Whether there are so many that they should go.
    pub(super) fn are_many(&self) -> bool {
        self.events.len() + self.lanes.len() >= MAX_REMOVALS
    }
}

const MAX_REMOVALS: usize = 2_048;

impl UnwrittenRows {
    pub(super) fn new(max: usize) -> Self {
        Self { rows: HashMap::new(), count: 0, max }
    }

    /// Keeps the row that an event has at rest.
    pub(super) fn put(&mut self, event: &OpenEvent) {
        let mut row = OpenEvent { shelved: true, changed: false, ..event.clone() };
        for slot in &mut row.slots {
            (slot.run, slot.head) = (Run::Held, false);
            if slot.state.stage == Stage::Started {
                slot.state.stage = Stage::Pending;
            }
        }
        let of_scope = match self.rows.get_mut(&event.scope) {
            Some(of_scope) => of_scope,
            None => self.rows.entry(event.scope.clone()).or_default(),
        };
        let older = of_scope.get(&event.position);
        let in_file = older.map_or(event.shelved, |older| older.in_file);
        self.count += usize::from(older.is_none());
        of_scope.insert(event.position, Unwritten { event: row, in_file, left: Vec::new() });
    }

    /// Removes an event's row. Returns whether one stands in the file.
    pub(super) fn remove(&mut self, event: &OpenEvent) -> bool {
        let unwritten = self.rows.get_mut(&event.scope).and_then(|of_scope| of_scope.remove(&event.position));
        self.count -= usize::from(unwritten.is_some());
        unwritten.is_none_or(|unwritten| unwritten.in_file)
    }

    /// Takes an event out of a lane. Returns whether its row is here.
    pub(super) fn leave_lane(&mut self, lane: &LaneKey, position: u64) -> bool {
        let found = self.rows.get_mut(&lane.scope).and_then(|of_scope| of_scope.get_mut(&position));
        found.map(|unwritten| unwritten.left.push(lane.handler.clone())).is_some()
    }

    pub(super) fn get(&self, scope: &Scope, position: u64) -> Option<&OpenEvent> {
        self.rows.get(scope)?.get(&position).map(|unwritten| &unwritten.event)
    }

    /// The rows of a scope from a position on, in order.
    pub(super) fn from(&self, scope: &Scope, from: u64) -> impl Iterator<Item = &OpenEvent> {
        let of_scope = self.rows.get(scope).into_iter();
        of_scope.flat_map(move |of_scope| of_scope.range(from..)).map(|(_, unwritten)| &unwritten.event)
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.rows.iter().filter(|(_, of_scope)| !of_scope.is_empty()).map(|(scope, _)| scope)
    }

    /// Where there are more rows than there may be, those to be written: the later half of the scope that has most, as
    /// those are needed last.
    pub(super) fn take_excess(&mut self) -> Vec<Unwritten> {
        if self.count <= self.max {
            return Vec::new();
        }
        let Some(most) = self.rows.values_mut().max_by_key(|of_scope| of_scope.len()) else { return Vec::new() };
        let Some(middle) = most.keys().nth(most.len() / 2).copied() else { return Vec::new() };
        let excess = most.split_off(&middle);
        self.count -= excess.len();
        excess.into_values().collect()
    }

    /// All rows, to be written.
    pub(super) fn take_all(&mut self) -> Vec<Unwritten> {
        self.count = 0;
        let rows = std::mem::take(&mut self.rows);
        rows.into_values().flat_map(BTreeMap::into_values).collect()
    }
}
