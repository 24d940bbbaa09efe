//! Which open events are in memory and which stand on the shelf.

use std::collections::BTreeSet;

use super::{Lanes, Run, Slot, Stage};
use crate::dispatch::open_event::{LaneKey, OpenEvent};
use crate::dispatch::shelf::Shelf;
use crate::event::{Name, Scope};

/// A retry that is due within this many microseconds waits in memory.
pub(in crate::dispatch) const NEAR_MICROS: i64 = 10_000_000;

/// How many rows are taken from the shelf at a time.
const PAGE: usize = 128;

/// The events of one scope.
#[derive(Debug, Default)]
pub(super) struct Window {
    in_memory: BTreeSet<u64>,
    /// The overflow mark; `None` where nothing has overflowed.
    pub(super) overflow: Option<u64>,
    pub(super) dirt: Dirt,
    /// Events in memory with a delivery that has an obstacle of its own, waits long, or is the first of its lane in memory
    /// behind one that was set aside; and some that no longer have. Whatever else can't go on is behind one of these.
    pub(super) stuck: BTreeSet<u64>,
}

impl Window {
    pub(super) fn overflowing() -> Self {
        Self { overflow: Some(0), ..Self::default() }
    }

    fn leave(&mut self, position: u64) {
        self.in_memory.remove(&position);
        self.stuck.remove(&position);
    }
}

/// Whether a sweep is worth its while: how much has happened since the last one that may have made events idle, and how
/// often room was asked for in vain. A sweep costs as much as there is that can't go on, at most the window, and is due
/// after an eighth of that.
#[derive(Debug, Default)]
pub(super) struct Dirt {
    changes: usize,
    refusals: usize,
}

impl Dirt {
    fn is_sweep_due(&mut self, window: usize, at_once: bool) -> bool {
        self.refusals += 1;
        self.changes > 0 && (at_once || self.changes + self.refusals > window / 8)
    }
}

impl<S: Shelf> Lanes<S> {
    /// A queue has room for `count` more messages: deliveries that waited for it stand in line again.
    pub(in crate::dispatch) fn room(&mut self, scope: &Scope, queue: &Name, count: usize) -> Result<(), S::Error> {
        let key = (scope.clone(), queue.clone());
        let mut left = count;
        while left > 0 {
            let Some(waiting) = self.full.get_mut(&key) else { break };
            let Some((position, index)) = waiting.pop_first() else {
                self.full.remove(&key);
                break;
            };
            if let Some(slot) = self.events.get_mut(&position).and_then(|event| event.slots.get_mut(index)) {
                slot.run = Run::Held;
            }
            self.consider(position);
            left -= 1;
        }
        while left > 0 {
            let Some(handlers) = self.full_aside.get_mut(&key) else { return Ok(()) };
            let Some((handler, after)) = handlers.pop_first() else {
                self.full_aside.remove(&key);
                return Ok(());
            };
            let (brought, goes_on) = self.room_for(scope, &handler, &after, left)?;
            left = left.saturating_sub(brought);
            if let Some(stream) = goes_on {
                self.full_aside.entry(key.clone()).or_default().insert(handler, stream);
            }
        }
        Ok(())
    }

    /// Brings back up to `count` deliveries of a handler that wait for a full queue, of streams after `after`. Returns
    /// how many, and after which stream the search goes on; at the end it starts over once.
    fn room_for(
        &mut self,
        scope: &Scope,
        handler: &Name,
        after: &str,
        count: usize,
    ) -> Result<(usize, Option<String>), S::Error> {
        let heads = self.shelf.heads(scope, handler, after, PAGE)?;
        let ends = heads.len() < PAGE;
        let (mut brought, mut seen) = (0, None);
        for (stream, position) in heads {
            if brought == count {
                return Ok((brought, seen.or_else(|| Some(after.to_owned()))));
            }
            seen = Some(stream);
            if self.events.contains_key(&position) || self.is_overflow(scope, position) {
                continue;
            }
            let Some(event) = self.shelf.get(scope, position)? else { continue };
            let waits = |slot: &Slot| slot.handler == *handler && slot.bound && slot.is_waiting_for_its_turn();
            if event.slots.iter().any(waits) {
                self.bring_back(event)?;
                brought += 1;
            }
        }
        Ok((brought, if ends { (!after.is_empty()).then(String::new) } else { seen }))
    }

    /// It is `now`: retries that are due stand in line again. Returns whether there were any.
    pub(in crate::dispatch) fn due(&mut self, now: i64) -> Result<bool, S::Error> {
        self.now = now;
        let mut any = false;
        while let Some((until, position, index)) = self.waiting.first().copied()
            && until <= now
        {
            any = true;
            self.waiting.remove(&(until, position, index));
            if let Some(slot) = self.events.get_mut(&position).and_then(|event| event.slots.get_mut(index))
                && slot.state.stage == Stage::Waiting(until)
            {
                slot.state.stage = Stage::Pending;
            }
            self.consider(position);
        }
        loop {
            let alarms = self.shelf.alarms(now, PAGE)?;
            if alarms.is_empty() {
                return Ok(any);
            }
            any = true;
            for (at, scope, position) in alarms {
                self.shelf.clear_alarm(at, &scope, position)?;
                // Overflow is looked at when it is taken in.
                if !self.events.contains_key(&position)
                    && !self.is_overflow(&scope, position)
                    && let Some(event) = self.shelf.get(&scope, position)?
                {
                    self.bring_back(event)?;
                }
            }
        }
    }

    /// When [`due`](Self::due) has something to do next.
    pub(in crate::dispatch) fn next_due(&mut self) -> Result<Option<i64>, S::Error> {
        let near = self.waiting.first().map(|(until, ..)| *until);
        let far = self.shelf.next_alarm()?;
        Ok([near, far].into_iter().flatten().min())
    }

    /// Takes in overflow where there is room. Returns whether it took any. `idle` says that nothing else is going on,
    /// so that what can be swept is swept at once.
    pub(in crate::dispatch) fn refill(&mut self, idle: bool) -> Result<bool, S::Error> {
        for _ in 0..self.overflowing.len() {
            let Some(scope) = self.overflowing.pop_front() else { break };
            let Some(mark) = self.scopes.get(&scope).and_then(|window| window.overflow) else { continue };
            if !self.make_room(&scope, idle)? {
                self.overflowing.push_back(scope);
                continue;
            }
            let rows = self.shelf.rows(&scope, mark, PAGE)?;
            let (count, mut taken) = (rows.len(), 0);
            for event in rows {
                if !self.make_room(&scope, false)? {
                    break;
                }
                taken += 1;
                if let Some(window) = self.scopes.get_mut(&scope) {
                    window.overflow = Some(event.position.saturating_add(1));
                }
                self.forget_alarm(&event)?;
                self.admit(event, true)?;
            }
            if taken == count && count < PAGE {
                if let Some(window) = self.scopes.get_mut(&scope) {
                    window.overflow = None;
                }
                self.tidy_scope(&scope);
            } else {
                self.overflowing.push_back(scope);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes the row of every event in memory that has none or an older one.
    pub(in crate::dispatch) fn put_all(&mut self) -> Result<(), S::Error> {
        for event in self.events.values_mut().filter(|event| event.changed || !event.shelved) {
            self.shelf.put(event)?;
            event.shelved = true;
            event.changed = false;
        }
        Ok(())
    }

    pub(in crate::dispatch) fn is_overflow(&self, scope: &Scope, position: u64) -> bool {
        self.scopes.get(scope).and_then(|window| window.overflow).is_some_and(|mark| position >= mark)
    }

    /// Notes that events of the scope may have become idle.
    pub(super) fn soil(&mut self, scope: &Scope) {
        self.dirt.changes += 1;
        if let Some(window) = self.scopes.get_mut(scope) {
            window.dirt.changes += 1;
        }
    }

    /// Whether an event of the scope may come into memory; sweeps where that is due.
    pub(super) fn make_room(&mut self, scope: &Scope, at_once: bool) -> Result<bool, S::Error> {
        let limit = self.bounds.events_per_scope;
        let due = |window: &mut Window| {
            window.in_memory.len() >= limit && window.dirt.is_sweep_due(window.in_memory.len(), at_once)
        };
        if self.scopes.get_mut(scope).is_some_and(due) {
            self.sweep(scope)?;
        }
        if self.events.len() >= self.bounds.events && self.dirt.is_sweep_due(self.events.len(), at_once) {
            self.dirt = Dirt::default();
            let dirty = |(scope, window): (&Scope, &Window)| (window.dirt.changes > 0).then(|| scope.clone());
            let dirty: Vec<Scope> = self.scopes.iter().filter_map(dirty).collect();
            for scope in dirty {
                self.sweep(&scope)?;
            }
        }
        let is_full = self.scopes.get(scope).is_some_and(|window| window.in_memory.len() >= limit);
        Ok(!is_full && self.events.len() < self.bounds.events)
    }

    /// Puts an event into memory, or straight aside where nothing in it can start.
    pub(super) fn admit(&mut self, mut event: OpenEvent, from_shelf: bool) -> Result<(), S::Error> {
        event.shelved = from_shelf;
        event.changed = false;
        let mut can_start = false;
        for slot in event.slots.iter().filter(|slot| slot.is_open()) {
            let waits = !slot.bound || slot.state.stage == Stage::Parked || self.is_behind_shelf(&event, slot)?;
            can_start |= !waits;
        }
        if can_start {
            return self.place(event);
        }
        if !from_shelf {
            self.shelf.put(&event)?;
        }
        self.count_aside(&event, true);
        self.blocked_anew = true;
        Ok(())
    }

    /// Whether a delivery that was set aside stands before this one in its lane.
    fn is_behind_shelf(&mut self, event: &OpenEvent, slot: &Slot) -> Result<bool, S::Error> {
        if !self.aside.contains_key(&(event.scope.clone(), slot.handler.clone())) {
            return Ok(false);
        }
        let first = self.shelf.first_in_lane(&event.lane(slot))?;
        Ok(first.is_some_and(|first| first < event.position && !self.events.contains_key(&first)))
    }

    /// Brings an event that was set aside back into memory.
    pub(super) fn bring_back(&mut self, event: OpenEvent) -> Result<(), S::Error> {
        self.forget_alarm(&event)?;
        self.count_aside(&event, false);
        self.place(OpenEvent { shelved: true, changed: false, ..event })
    }

    fn place(&mut self, mut event: OpenEvent) -> Result<(), S::Error> {
        let position = event.position;
        let mut heads = Vec::with_capacity(event.slots.len());
        let mut is_stuck = false;
        for slot in &event.slots {
            if !slot.is_open() {
                heads.push(false);
                continue;
            }
            let behind_shelf = self.is_behind_shelf(&event, slot)?;
            is_stuck |= behind_shelf || !slot.bound || matches!(slot.state.stage, Stage::Parked | Stage::Waiting(_));
            let members = self.lanes.entry(event.lane(slot)).or_default();
            members.insert(position);
            heads.push(members.first() == Some(&position) && !behind_shelf);
        }
        for (index, (slot, head)) in event.slots.iter_mut().zip(heads).enumerate() {
            slot.head = head;
            slot.run = if self.reserved.remove(&(position, index)) { Run::Reserved } else { Run::Held };
            if let Stage::Waiting(until) = slot.state.stage {
                self.waiting.insert((until, position, index));
            }
        }
        let scope = event.scope.clone();
        let window = self.scopes.entry(scope.clone()).or_default();
        window.in_memory.insert(position);
        if is_stuck {
            window.stuck.insert(position);
        }
        self.events.insert(position, event);
        self.soil(&scope);
        self.consider(position);
        Ok(())
    }

    /// Sets an event in memory aside.
    pub(super) fn set_aside(&mut self, position: u64) -> Result<(), S::Error> {
        let Some(mut event) = self.events.remove(&position) else { return Ok(()) };
        let mut alarm = None::<i64>;
        for (index, slot) in event.slots.iter_mut().enumerate().filter(|(_, slot)| slot.is_open()) {
            let lane =
                LaneKey { scope: event.scope.clone(), handler: slot.handler.clone(), stream: event.stream.clone() };
            self.leave_members(&lane, position);
            self.note_first_stuck(&lane);
            if let Stage::Waiting(until) = slot.state.stage {
                self.waiting.remove(&(until, position, index));
                alarm = Some(alarm.map_or(until, |alarm| alarm.min(until)));
            }
            if let (Run::QueueFull, Some(queue)) = (slot.run, &slot.queue) {
                let key = (event.scope.clone(), queue.clone());
                if let Some(waiting) = self.full.get_mut(&key) {
                    waiting.remove(&(position, index));
                }
                self.full_aside.entry(key).or_default().insert(slot.handler.clone(), String::new());
            }
            slot.run = Run::Held;
        }
        if event.changed || !event.shelved {
            self.shelf.put(&event)?;
        }
        if let Some(at) = alarm {
            self.shelf.set_alarm(at, &event.scope, position)?;
        }
        self.count_aside(&event, true);
        if let Some(window) = self.scopes.get_mut(&event.scope) {
            window.leave(position);
        }
        Ok(())
    }

    fn count_aside(&mut self, event: &OpenEvent, added: bool) {
        for slot in event.slots.iter().filter(|slot| slot.is_open()) {
            let key = (event.scope.clone(), slot.handler.clone());
            let count = self.aside.entry(key.clone()).or_default();
            *count = if added { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.aside.remove(&key);
            }
        }
    }

    pub(super) fn forget_alarm(&mut self, event: &OpenEvent) -> Result<(), S::Error> {
        let until = |slot: &Slot| match slot.state.stage {
            Stage::Waiting(until) => Some(until),
            _ => None,
        };
        match event.slots.iter().filter_map(until).min() {
            Some(at) => self.shelf.clear_alarm(at, &event.scope, event.position),
            None => Ok(()),
        }
    }

    /// Every delivery of the event is complete.
    pub(super) fn forget(&mut self, position: u64) -> Result<(), S::Error> {
        let Some(event) = self.events.remove(&position) else { return Ok(()) };
        if event.shelved {
            self.shelf.remove(&event)?;
        }
        if let Some(window) = self.scopes.get_mut(&event.scope) {
            window.leave(position);
        }
        self.tidy_scope(&event.scope);
        Ok(())
    }

    fn tidy_scope(&mut self, scope: &Scope) {
        if self.scopes.get(scope).is_some_and(|window| window.in_memory.is_empty() && window.overflow.is_none()) {
            self.scopes.remove(scope);
        }
    }
}
