//! Making room in memory: setting aside what can't go on soon. Each scope notes which events are stuck; all else that can't
//! go on is behind one of those, so nothing else is looked at.

use std::collections::BTreeSet;

use super::memory::Dirt;
use super::{Lanes, Run, Slot, Stage};
use crate::dispatch::open_event::{LaneKey, OpenEvent};
use crate::dispatch::shelf::Shelf;
use crate::event::Scope;

impl<S: Shelf> Lanes<S> {
    /// Sets aside every event of the scope that can't go on soon. Only what is stuck is looked at, and what stands behind
    /// it: the next of a lane, where a delivery in that lane doesn't go on.
    pub(super) fn sweep(&mut self, scope: &Scope) -> Result<(), S::Error> {
        let Some(window) = self.scopes.get_mut(scope) else { return Ok(()) };
        window.dirt = Dirt::default();
        let mut to_look_at = window.stuck.clone();
        let mut idle = Vec::new();
        while let Some(position) = to_look_at.pop_first() {
            let waiting = self.waiting_slots(position)?;
            let Some(event) = self.events.get(&position) else { continue };
            let behind = |index: &usize| self.behind_in_lane(&event.lane(event.slots.get(*index)?), position);
            // One that an operator has in hand doesn't wait, but what is behind it may wait for what is before it.
            let in_hand = |(index, slot): (usize, &Slot)| (slot.run == Run::Reserved && !slot.head).then_some(index);
            let in_hand: Vec<usize> = event.slots.iter().enumerate().filter_map(in_hand).collect();
            to_look_at.extend(waiting.iter().chain(&in_hand).filter_map(behind));
            if waiting.len() == event.slots.iter().filter(|slot| slot.is_open()).count() {
                idle.push(position);
            } else if !self.is_stuck(event)
                && let Some(window) = self.scopes.get_mut(scope)
            {
                window.stuck.remove(&position);
            }
        }
        for position in idle {
            self.set_aside(position)?;
        }
        Ok(())
    }

    /// Whether a delivery of an event in memory doesn't go on for a reason of its own, or is the first of its lane behind
    /// one that was set aside.
    fn is_stuck(&self, event: &OpenEvent) -> bool {
        let is_first =
            |slot: &Slot| self.lanes.get(&event.lane(slot)).and_then(BTreeSet::first) == Some(&event.position);
        event.slots.iter().filter(|slot| slot.is_open()).any(|slot| {
            !slot.bound
                || slot.run == Run::QueueFull
                || matches!(slot.state.stage, Stage::Parked | Stage::Waiting(_))
                || !slot.head && is_first(slot)
        })
    }

    /// The next in memory after a position of a lane.
    fn behind_in_lane(&self, lane: &LaneKey, position: u64) -> Option<u64> {
        self.lanes.get(lane)?.range(position.saturating_add(1)..).next().copied()
    }

    /// Notes that an event in memory may not go on, and what is behind it.
    pub(super) fn note_stuck(&mut self, scope: &Scope, position: u64) {
        if let Some(window) = self.scopes.get_mut(scope) {
            window.stuck.insert(position);
        }
    }

    /// Notes that the first of a lane in memory may be behind one that was set aside.
    pub(super) fn note_first_stuck(&mut self, lane: &LaneKey) {
        if let Some(first) = self.lanes.get(lane).and_then(|members| members.first().copied()) {
            self.note_stuck(&lane.scope, first);
        }
    }
}
