//! What keeps a delivery from going on.

use super::memory::NEAR_MICROS;
use super::{Lanes, Run, Stage};
use crate::dispatch::open_event::{LaneKey, OpenEvent, Slot};
use crate::dispatch::shelf::Shelf;
use crate::event::{Name, Scope};

/// Why a delivery can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// It is out of attempts and waits for an operator.
    Parked,
    /// This process doesn't have the function that it calls.
    Unbound,
    /// Its queue is full.
    QueueFull,
    /// It must wait for another delivery that can't go on: an earlier one to its handler and stream, or one of an earlier
    /// handler that stops on failure.
    Behind,
}

impl Obstacle {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Unbound => "unbound",
            Self::QueueFull => "queue full",
            Self::Behind => "behind",
        }
    }
}

/// A delivery that can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatch) struct Blocked {
    pub(in crate::dispatch) handler: Name,
    pub(in crate::dispatch) obstacle: Obstacle,
}

/// What a chain of deliveries, each waiting for the next, ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainEnd {
    /// One that goes on.
    Active,
    /// One that goes on at this time.
    WaitsUntil(i64),
    /// One that has an obstacle.
    Blocked(Obstacle),
}

impl ChainEnd {
    fn obstacle(self) -> Option<Obstacle> {
        match self {
            Self::Blocked(obstacle) => Some(obstacle),
            Self::Active | Self::WaitsUntil(_) => None,
        }
    }
}

impl<S: Shelf> Lanes<S> {
    /// What keeps an event's deliveries from going on; empty where all are complete, `None` where one goes on.
    pub(in crate::dispatch) fn blocked(
        &mut self,
        scope: &Scope,
        position: u64,
    ) -> Result<Option<Vec<Blocked>>, S::Error> {
        let (event, in_memory) = match self.events.get(&position) {
            Some(event) => (event.clone(), true),
            None => match self.shelf.get(scope, position)? {
                Some(_) if self.is_overflow(scope, position) => return Ok(None),
                Some(event) => (event, false),
                None => return Ok(Some(Vec::new())),
            },
        };
        let mut blocked = Vec::new();
        for (index, slot) in event.slots.iter().enumerate().filter(|(_, slot)| slot.is_open()) {
            let end = if in_memory { self.chain_end(position, index)? } else { self.end_aside(&event, slot)? };
            match end.obstacle() {
                Some(obstacle) => blocked.push(Blocked { handler: slot.handler.clone(), obstacle }),
                None => return Ok(None),
            }
        }
        Ok(Some(blocked))
    }

    /// The obstacle of one delivery, in memory or set aside; `None` where it goes on.
    pub(in crate::dispatch) fn obstacle(
        &mut self,
        event: &OpenEvent,
        index: usize,
    ) -> Result<Option<Obstacle>, S::Error> {
        if self.events.contains_key(&event.position) {
            return Ok(self.chain_end(event.position, index)?.obstacle());
        }
        match event.slots.get(index) {
            Some(slot) if !self.is_overflow(&event.scope, event.position) => {
                Ok(self.end_aside(event, slot)?.obstacle())
            }
            _ => Ok(None),
        }
    }

    /// The open deliveries of an event in memory that don't go on soon. Where these are all, memory isn't needed for it.
    pub(super) fn waiting_slots(&mut self, position: u64) -> Result<Vec<usize>, S::Error> {
        let Some(event) = self.events.get(&position) else { return Ok(Vec::new()) };
        let open = event.slots.iter().enumerate().filter(|(_, slot)| slot.is_open());
        let open: Vec<usize> = open.map(|(index, _)| index).collect();
        let mut waiting = Vec::new();
        for index in open {
            match self.chain_end(position, index)? {
                ChainEnd::Blocked(_) => waiting.push(index),
                ChainEnd::WaitsUntil(until) if until > self.now.saturating_add(NEAR_MICROS) => waiting.push(index),
                ChainEnd::Active | ChainEnd::WaitsUntil(_) => {}
            }
        }
        Ok(waiting)
    }

    /// Follows a delivery in memory to what it waits for in the end. Each step leads to an earlier event, or to an
    /// earlier handler of the same one, so it ends.
    fn chain_end(&mut self, position: u64, slot: usize) -> Result<ChainEnd, S::Error> {
        let (mut at, mut index, mut is_first) = (position, slot, true);
        loop {
            let blocked = |obstacle| Ok(ChainEnd::Blocked(if is_first { obstacle } else { Obstacle::Behind }));
            let Some((event, slot)) = self.events.get(&at).and_then(|event| Some((event, event.slots.get(index)?)))
            else {
                return Ok(ChainEnd::Active);
            };
            match (slot.run, slot.state.stage) {
                (_, Stage::Complete(_)) | (Run::Ready | Run::Running | Run::Returned | Run::Reserved, _) => {
                    return Ok(ChainEnd::Active);
                }
                (_, Stage::Parked) => return blocked(Obstacle::Parked),
                (_, Stage::Waiting(until)) => return Ok(ChainEnd::WaitsUntil(until)),
                (Run::QueueFull, _) => return blocked(Obstacle::QueueFull),
                (Run::Held, _) if !slot.bound => return blocked(Obstacle::Unbound),
                (Run::Held, Stage::Pending | Stage::Started) => {}
            }
            is_first = false;
            if slot.head {
                let Some(holder) = event.held_by(index) else { return Ok(ChainEnd::Active) };
                index = holder;
                continue;
            }
            let lane = event.lane(slot);
            let head = self.lanes.get(&lane).and_then(|members| members.first()).filter(|first| **first < at);
            let head = head.and_then(|head| {
                let event = self.events.get(head)?;
                let index = event.slot_of(lane.handler.as_str())?;
                event.slots.get(index)?.head.then_some((*head, index))
            });
            match head {
                Some(head) => (at, index) = head,
                None => return self.end_of_lane_aside(&lane),
            }
        }
    }

    /// What a delivery waits for that stands behind one that was set aside.
    fn end_of_lane_aside(&mut self, lane: &LaneKey) -> Result<ChainEnd, S::Error> {
        let Some(first) = self.first_in_lane(lane)? else { return Ok(ChainEnd::Active) };
        // In memory only for one that is set aside itself: for another, all before the first in memory is set aside.
        if let Some(index) = self.events.get(&first).and_then(|event| event.slot_of(lane.handler.as_str())) {
            return Ok(match self.chain_end(first, index)? {
                ChainEnd::Blocked(_) => ChainEnd::Blocked(Obstacle::Behind),
                end => end,
            });
        }
        let Some(event) = self.shelf.get(&lane.scope, first)? else { return Ok(ChainEnd::Active) };
        Ok(Self::alarm(&event).map_or(ChainEnd::Blocked(Obstacle::Behind), ChainEnd::WaitsUntil))
    }

    /// The first position in a lane, wherever it stands.
    fn first_in_lane(&mut self, lane: &LaneKey) -> Result<Option<u64>, S::Error> {
        let in_memory = self.lanes.get(lane).and_then(|members| members.first().copied());
        Ok([in_memory, self.shelf.first_in_lane(lane)?].into_iter().flatten().min())
    }

    fn alarm(event: &OpenEvent) -> Option<i64> {
        let until = |slot: &Slot| match slot.state.stage {
            Stage::Waiting(until) => Some(until),
            _ => None,
        };
        event.slots.iter().filter_map(until).min()
    }

    /// What a delivery that was set aside waits for.
    fn end_aside(&mut self, event: &OpenEvent, slot: &Slot) -> Result<ChainEnd, S::Error> {
        Ok(match slot.state.stage {
            Stage::Parked => ChainEnd::Blocked(Obstacle::Parked),
            Stage::Waiting(until) => ChainEnd::WaitsUntil(until),
            _ if !slot.bound => ChainEnd::Blocked(Obstacle::Unbound),
            _ => {
                let lane = event.lane(slot);
                if self.first_in_lane(&lane)? != Some(event.position) {
                    return self.end_of_lane_aside(&lane);
                }
                let waits_for_room = |queue: &Name| {
                    let handlers = self.full_aside.get(&(event.scope.clone(), queue.clone()));
                    handlers.is_some_and(|handlers| handlers.contains_key(&slot.handler))
                };
                let held = event.slot_of(slot.handler.as_str()).and_then(|index| event.held_by(index));
                match &slot.queue {
                    Some(queue) if held.is_none() && waits_for_room(queue) => ChainEnd::Blocked(Obstacle::QueueFull),
                    _ => Self::alarm(event).map_or(ChainEnd::Blocked(Obstacle::Behind), ChainEnd::WaitsUntil),
                }
            }
        })
    }
}
