//! Rows of open events: the [`Shelf`] of the scheduler.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound;
use std::sync::Arc;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::unwritten::{Removals, Unwritten};
use super::{
    ALARMS, DispatchDatabase, EVENTS, LANES, decode, encode, failed, first_key, key, key_with, number, part, scope_of,
    sortable,
};
use crate::config::Target;
use crate::dispatch::DispatchError;
use crate::dispatch::delivery::Functions;
use crate::dispatch::open_event::{LaneKey, OpenEvent, Slot};
use crate::dispatch::shelf::Shelf;
use crate::dispatch::state::{DeliveryState, Stage};
use crate::event::{Name, Scope};
use crate::log::Address;
use crate::routing::{Handler, Plan, Router};

/// An open event as it is stored. What follows from its plan isn't.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    id: Uuid,
    address: u64,
    stream: String,
    event_type: String,
    revision: u32,
    slots: Vec<RowSlot>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowSlot {
    handler: String,
    guard_failed: bool,
    state: DeliveryState,
}

impl Row {
    fn of(event: &OpenEvent) -> Self {
        let slot = |slot: &Slot| RowSlot {
            handler: slot.handler.as_str().to_owned(),
            guard_failed: slot.guard_failed,
            state: slot.state.clone(),
        };
        Self {
            id: event.id,
            address: event.address.to_u64(),
            stream: event.stream.to_string(),
            event_type: event.event_type.to_string(),
            revision: event.revision,
            slots: event.slots.iter().map(slot).collect(),
        }
    }

    /// Nothing of it runs: what runs is in memory.
    pub(super) fn rest(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.state.stage == Stage::Started) {
            slot.state.stage = Stage::Pending;
        }
    }
}

/// Where plans come from, and which functions this process has.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct Plans {
    pub(in crate::dispatch) router: Router,
    pub(in crate::dispatch) functions: Arc<Functions>,
}

impl Plans {
    pub(in crate::dispatch) fn of(
        &self,
        event: Uuid,
        revision: u32,
        event_type: &str,
    ) -> Result<Arc<Plan>, DispatchError> {
        self.router.plan_of(revision, event_type).map_err(|e| DispatchError::Plan { event, source: Arc::new(e) })
    }

    /// The slot of a handler, as yet without a history.
    pub(in crate::dispatch) fn slot(&self, handler: &Handler) -> Slot {
        let mut slot = Slot::new(handler.name.clone());
        slot.stop_on_failure = handler.stop_on_failure;
        slot.is_http = matches!(handler.target, Target::Http(_));
        slot.bound = self.functions.is_bound(&handler.target);
        if let Target::Queue(queue) = &handler.target {
            slot.queue = Some(queue.clone());
        }
        slot
    }
}

impl DispatchDatabase {
    fn event(&self, scope: &Scope, position: u64, mut row: Row) -> Result<OpenEvent, DispatchError> {
        row.rest();
        let plan = self.plans.of(row.id, row.revision, &row.event_type)?;
        let mut slots = Vec::with_capacity(row.slots.len());
        for stored in row.slots {
            let handler = plan.handlers.iter().find(|handler| handler.name.as_str() == stored.handler);
            let mut slot = self.plans.slot(handler.ok_or(DispatchError::Row { table: "events" })?);
            slot.state = stored.state;
            slot.guard_failed = stored.guard_failed;
            slots.push(slot);
        }
        Ok(OpenEvent {
            position,
            address: Address::from_u64(row.address),
            id: row.id,
            scope: scope.clone(),
            stream: row.stream.into(),
            event_type: row.event_type.into(),
            revision: row.revision,
            slots,
            shelved: true,
            changed: false,
        })
    }

    pub(super) fn scopes_with_rows(&mut self) -> Result<Vec<Scope>, DispatchError> {
        self.write_removals()?;
        let mut scopes: BTreeSet<Scope> = self.unwritten.scopes().cloned().collect();
        let table = self.table(EVENTS)?;
        let mut from = Vec::new();
        while let Some(found) = first_key(&table, &[], &from)? {
            let (scope, _) = part("events", &found)?;
            scopes.insert(scope_of("events", scope)?);
            // Behind all keys of this scope.
            from = scope.as_bytes().to_vec();
            from.push(1);
        }
        Ok(scopes.into_iter().collect())
    }

    /// Up to `count` rows of a scope from a position on.
    pub(in crate::dispatch) fn page(
        &mut self,
        scope: &Scope,
        from: u64,
        count: usize,
    ) -> Result<Vec<OpenEvent>, DispatchError> {
        self.write_removals()?;
        let unwritten = self.unwritten.from(scope, from).take(count);
        let mut page: BTreeMap<u64, OpenEvent> = unwritten.map(|event| (event.position, event.clone())).collect();
        for (position, row) in self.written_page(scope, from, count)? {
            if let Entry::Vacant(place) = page.entry(position) {
                place.insert(self.event(scope, position, row)?);
            }
        }
        Ok(page.into_values().take(count).collect())
    }

    fn written_page(&mut self, scope: &Scope, from: u64, count: usize) -> Result<Vec<(u64, Row)>, DispatchError> {
        let name = scope.to_string();
        let (from, to) = (key_with(&[&name], from), key_with(&[&name], u64::MAX));
        let table = self.table(EVENTS)?;
        let range = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let rows = table.range::<&[u8]>(range).map_err(failed)?.take(count).map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            Ok((number("events", key.value())?, decode::<Row>("events", value.value())?))
        });
        rows.collect()
    }

    /// Writes all that was put and removed.
    pub(super) fn write_rows(&mut self) -> Result<(), DispatchError> {
        self.write_removals()?;
        let rows = self.unwritten.take_all();
        self.write(rows)
    }

    fn write(&mut self, rows: Vec<Unwritten>) -> Result<(), DispatchError> {
        if rows.is_empty() {
            return Ok(());
        }
        let transaction = self.transaction()?;
        let mut events = transaction.open_table(EVENTS).map_err(failed)?;
        let mut lanes = transaction.open_table(LANES).map_err(failed)?;
        for Unwritten { event, left, .. } in &rows {
            let value = encode(&Row::of(event))?;
            let key = key_with(&[&event.scope.to_string()], event.position);
            events.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
            for slot in &event.slots {
                let key = in_lane(&event.lane(slot), event.position);
                if slot.is_open() && !left.contains(&slot.handler) {
                    lanes.insert(key.as_slice(), [].as_slice()).map_err(failed)?;
                } else {
                    lanes.remove(key.as_slice()).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    fn write_removals(&mut self) -> Result<(), DispatchError> {
        let Removals { events: removed, lanes: left } = std::mem::take(&mut self.removals);
        if removed.is_empty() && left.is_empty() {
            return Ok(());
        }
        let transaction = self.transaction()?;
        let mut events = transaction.open_table(EVENTS).map_err(failed)?;
        for key in removed {
            events.remove(key.as_slice()).map_err(failed)?;
        }
        let mut lanes = transaction.open_table(LANES).map_err(failed)?;
        for key in left {
            lanes.remove(key.as_slice()).map_err(failed)?;
        }
        Ok(())
    }

    fn write_many_removals(&mut self) -> Result<(), DispatchError> {
        if self.removals.are_many() { self.write_removals() } else { Ok(()) }
    }
}

fn lane_key(lane: &LaneKey) -> Vec<u8> {
    key(&[&lane.scope.to_string(), lane.handler.as_str(), &lane.stream])
}

fn in_lane(lane: &LaneKey, position: u64) -> Vec<u8> {
    key_with(&[&lane.scope.to_string(), lane.handler.as_str(), &lane.stream], position)
}

fn alarm_key(at: i64, scope: &Scope, position: u64) -> Vec<u8> {
    let mut alarm = sortable(at).to_be_bytes().to_vec();
    alarm.extend(key_with(&[&scope.to_string()], position));
    alarm
}

fn alarm_time(alarm: &[u8]) -> Result<(i64, &[u8]), DispatchError> {
    let (at, rest) = alarm.split_first_chunk::<8>().ok_or(DispatchError::Row { table: "alarms" })?;
    Ok(((u64::from_be_bytes(*at) ^ (1 << 63)).cast_signed(), rest))
}

impl Shelf for DispatchDatabase {
    type Error = DispatchError;

    fn put(&mut self, event: &OpenEvent) -> Result<(), DispatchError> {
        self.unwritten.put(event);
        let excess = self.unwritten.take_excess();
        if excess.is_empty() {
            return Ok(());
        }
        self.write_removals()?;
        self.write(excess)
    }

    fn remove(&mut self, event: &OpenEvent) -> Result<(), DispatchError> {
        if self.unwritten.remove(event) {
            self.removals.events.insert(key_with(&[&event.scope.to_string()], event.position));
            let lanes = event.slots.iter().map(|slot| in_lane(&event.lane(slot), event.position));
            self.removals.lanes.extend(lanes);
        }
        self.write_many_removals()
    }

    fn leave_lane(&mut self, lane: &LaneKey, position: u64) -> Result<(), DispatchError> {
        if !self.unwritten.leave_lane(lane, position) {
            self.removals.lanes.insert(in_lane(lane, position));
        }
        self.write_many_removals()
    }

    fn get(&mut self, scope: &Scope, position: u64) -> Result<Option<OpenEvent>, DispatchError> {
        if let Some(event) = self.unwritten.get(scope, position) {
            return Ok(Some(event.clone()));
        }
        self.write_removals()?;
        let key = key_with(&[&scope.to_string()], position);
        match DispatchDatabase::get::<Row>(self, EVENTS, "events", &key)? {
            Some(row) => self.event(scope, position, row).map(Some),
            None => Ok(None),
        }
    }

    fn rows(&mut self, scope: &Scope, from: u64, count: usize) -> Result<Vec<OpenEvent>, DispatchError> {
        self.page(scope, from, count)
    }

    fn first_in_lane(&mut self, lane: &LaneKey) -> Result<Option<u64>, DispatchError> {
        self.write_rows()?;
        let prefix = lane_key(lane);
        let found = first_key(&self.table(LANES)?, &prefix, &prefix)?;
        found.map(|key| number("lanes", &key)).transpose()
    }

    fn heads(
        &mut self,
        scope: &Scope,
        handler: &Name,
        after: &str,
        count: usize,
    ) -> Result<Vec<(String, u64)>, DispatchError> {
        self.write_rows()?;
        let prefix = key(&[&scope.to_string(), handler.as_str()]);
        let table = self.table(LANES)?;
        let behind = |stream: &str| {
            let mut from = prefix.clone();
            from.extend_from_slice(stream.as_bytes());
            // Behind all positions of the stream.
            from.push(1);
            from
        };
        let (mut heads, mut from) = (Vec::new(), behind(after));
        while heads.len() < count
            && let Some(found) = first_key(&table, &prefix, &from)?
        {
            let (stream, _) = part("lanes", found.get(prefix.len()..).unwrap_or_default())?;
            from = behind(stream);
            heads.push((stream.to_owned(), number("lanes", &found)?));
        }
        Ok(heads)
    }

    fn set_alarm(&mut self, at: i64, scope: &Scope, position: u64) -> Result<(), DispatchError> {
        self.next_alarm = None;
        let key = alarm_key(at, scope, position);
        self.table(ALARMS)?.insert(key.as_slice(), [].as_slice()).map_err(failed)?;
        Ok(())
    }

    fn clear_alarm(&mut self, at: i64, scope: &Scope, position: u64) -> Result<(), DispatchError> {
        self.next_alarm = None;
        self.delete(ALARMS, &alarm_key(at, scope, position)).map(drop)
    }

    fn alarms(&mut self, now: i64, count: usize) -> Result<Vec<(i64, Scope, u64)>, DispatchError> {
        let mut due = Vec::new();
        if self.next_alarm()?.is_none_or(|at| at > now) {
            return Ok(due);
        }
        for entry in self.table(ALARMS)?.iter().map_err(failed)?.take(count) {
            let (key, _) = entry.map_err(failed)?;
            let (at, rest) = alarm_time(key.value())?;
            if at > now {
                break;
            }
            let (scope, _) = part("alarms", rest)?;
            due.push((at, scope_of("alarms", scope)?, number("alarms", rest)?));
        }
        Ok(due)
    }

    fn next_alarm(&mut self) -> Result<Option<i64>, DispatchError> {
        if let Some(known) = self.next_alarm {
            return Ok(known);
        }
        let next = match self.table(ALARMS)?.first().map_err(failed)? {
            Some((key, _)) => Some(alarm_time(key.value())?.0),
            None => None,
        };
        self.next_alarm = Some(next);
        Ok(next)
    }

    fn scopes(&mut self) -> Result<Vec<Scope>, DispatchError> {
        self.scopes_with_rows()
    }
}
