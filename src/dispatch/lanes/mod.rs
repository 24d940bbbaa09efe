//! The scheduler of deliveries: which may start, in which order, and which events stay in memory. A state machine
//! without I/O or clock of its own: it takes events and records in the order of the log and hands out starts, and all
//! it does follows from that.
//!
//! * A *lane* is the deliveries of one handler to one stream; only its first one, the head, may run.
//! * Within an event, handlers start in the order of their weights: the next one when the first attempt of the one
//!   before has ended or cannot start.
//! * Memory holds a window of events per scope and over all. What doesn't fit stands on the [`Shelf`], in one of two
//!   ways. *Overflow*: events at or after the scope's overflow mark, which were never looked at since they came (or
//!   since the store was opened) and are taken in, in order, when there is room. *Set aside*: events before the mark
//!   whose deliveries were all waiting for something that memory isn't needed for: an operator, a function that this
//!   process doesn't have, room in a queue, a retry far away, or another delivery that waits so.
//! * What is set aside comes back when what it waits for happens, found by its lane, its handler or its alarm.

mod blocked;
mod line;
mod memory;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) use blocked::Blocked;
pub use blocked::Obstacle;
use hashbrown::HashMap as FastMap;
pub(super) use line::Class;
use line::{HandlerKey, Limits, Line};
use memory::{Dirt, Window};

use super::by_position::ByPosition;
use super::open_event::{LaneKey, OpenEvent, Run, Slot};
use super::record::DeliveryRecord;
use super::shelf::Shelf;
use super::state::Stage;
use crate::event::{Name, Scope};

/// The bounds of the scheduler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Open events in memory.
    pub(super) events: usize,
    /// Open events in memory, of one scope.
    pub(super) events_per_scope: usize,
    /// Running attempts of one handler at its function or endpoint.
    pub(super) running_per_handler: usize,
    /// Running attempts at functions of one scope, and as many at endpoints.
    pub(super) running_per_scope: usize,
}

/// An attempt to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) position: u64,
    pub(super) slot: usize,
}

/// Whether a delivery is kept from being started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    /// It runs already.
    Runs,
    /// It is kept.
    Kept(Start),
    /// There is no such open delivery.
    NotNeeded,
}

/// Handlers with deliveries that wait for a full queue and aren't in memory, and after which stream the search for them
/// goes on.
type FullHandlers = BTreeMap<Name, String>;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Lanes<S> {
    shelf: S,
    bounds: Bounds,
    events: ByPosition<u64, OpenEvent>,
    lanes: FastMap<LaneKey, BTreeSet<u64>>,
    functions: Line,
    http: Line,
    queues: Line,
    /// Attempts of functions that have returned and whose ends aren't on record.
    returned: usize,
    scopes: FastMap<Scope, Window>,
    /// Scopes with overflow, served in turn.
    overflowing: VecDeque<Scope>,
    /// Retries in memory: due time, position, slot.
    waiting: BTreeSet<(i64, u64, usize)>,
    /// How many open deliveries of each handler are set aside.
    aside: FastMap<HandlerKey, u64>,
    full: FastMap<(Scope, Name), BTreeSet<(u64, usize)>>,
    full_aside: FastMap<(Scope, Name), FullHandlers>,
    /// Reserved while they weren't in memory.
    reserved: BTreeSet<(u64, usize)>,
    /// Over all scopes.
    dirt: Dirt,
    /// Whether attempts are handed out.
    serving: bool,
    /// The last position that came in.
    last: u64,
    /// The time, as last told by [`due`](Self::due), in microseconds since the Unix epoch.
    now: i64,
    /// Something became blocked since this was last asked.
    blocked_anew: bool,
}

impl<S: Shelf> Lanes<S> {
    /// A scheduler over what the shelf holds: all of that is taken in, as overflow, by [`refill`](Self::refill). It hands
    /// out attempts from [`serve`](Self::serve) on: once all that is on record has come in.
    pub(super) fn new(mut shelf: S, bounds: Bounds, last: u64) -> Result<Self, S::Error> {
        let limits = Limits { per_handler: bounds.running_per_handler, per_scope: bounds.running_per_scope };
        let mut scopes = FastMap::new();
        let mut overflowing = VecDeque::new();
        for scope in shelf.scopes()? {
            scopes.insert(scope.clone(), Window::overflowing());
            overflowing.push_back(scope);
        }
        Ok(Self {
            shelf,
            bounds,
            events: ByPosition::default(),
            lanes: FastMap::new(),
            functions: Line::new(limits),
            http: Line::new(limits),
            queues: Line::new(Limits { per_handler: usize::MAX, per_scope: usize::MAX }),
            returned: 0,
            scopes,
            overflowing,
            waiting: BTreeSet::new(),
            aside: FastMap::new(),
            full: FastMap::new(),
            full_aside: FastMap::new(),
            reserved: BTreeSet::new(),
            dirt: Dirt::default(),
            serving: false,
            last,
            now: 0,
            blocked_anew: false,
        })
    }

    /// From now on attempts are handed out.
    pub(super) fn serve(&mut self) {
        self.serving = true;
        let mut positions: Vec<u64> = self.events.keys().copied().collect();
        positions.sort_unstable();
        for position in positions {
            self.consider(position);
        }
    }

    pub(super) fn shelf(&mut self) -> &mut S {
        &mut self.shelf
    }

    pub(super) fn event(&self, position: u64) -> Option<&OpenEvent> {
        self.events.get(&position)
    }

    /// The last position that came in, with or without deliveries.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Notes an event without deliveries.
    pub(super) fn pass(&mut self, position: u64) {
        self.last = self.last.max(position);
    }

    pub(super) fn running(&self, class: Class) -> usize {
        match class {
            Class::Function => self.functions.running(),
            Class::Http => self.http.running(),
            Class::Queue => self.queues.running(),
        }
    }

    /// Attempts of functions that have returned and whose ends aren't on record.
    pub(super) fn returned(&self) -> usize {
        self.returned
    }

    /// The function of an attempt that was handed out has returned: another may run in its place.
    pub(super) fn function_returned(&mut self, position: u64, slot: usize) {
        let Some(event) = self.events.get_mut(&position) else { return };
        let Some(slot) = event.slots.get_mut(slot) else { return };
        let class = Class::of(slot);
        if slot.run == Run::Running && class != Class::Queue {
            slot.run = Run::Returned;
            self.returned += 1;
            let key = (event.scope.clone(), slot.handler.clone());
            self.line(class).ended(key);
        }
    }

    /// Whether something became blocked since the last call.
    pub(super) fn take_blocked_anew(&mut self) -> bool {
        std::mem::take(&mut self.blocked_anew)
    }

    /// Takes in the next event of the log that has deliveries.
    pub(super) fn enter(&mut self, event: OpenEvent) -> Result<(), S::Error> {
        self.pass(event.position);
        if event.is_complete() {
            return Ok(());
        }
        let scope = event.scope.clone();
        let overflows = self.scopes.get(&scope).is_some_and(|window| window.overflow.is_some());
        if !overflows && self.make_room(&scope, false)? {
            return self.admit(event, false);
        }
        self.shelf.put(&event)?;
        let window = self.scopes.entry(scope.clone()).or_default();
        if window.overflow.is_none() {
            window.overflow = Some(event.position);
            self.overflowing.push_back(scope);
        }
        Ok(())
    }

    /// Takes in a record of a delivery. Returns whether the event is complete with it.
    pub(super) fn record(
        &mut self,
        scope: &Scope,
        position: u64,
        handler: &str,
        record: &DeliveryRecord,
    ) -> Result<bool, S::Error> {
        if !self.events.contains_key(&position) {
            let Some(mut event) = self.shelf.get(scope, position)? else { return Ok(false) };
            if self.is_overflow(scope, position) {
                let Some(slot) = event.slot_of(handler) else { return Ok(false) };
                self.forget_alarm(&event)?;
                event.apply(slot, record);
                if !event.slots.get(slot).is_some_and(Slot::is_open) {
                    self.reserved.remove(&(position, slot));
                }
                if event.is_complete() {
                    self.shelf.remove(&event)?;
                    return Ok(true);
                }
                self.shelf.put(&event)?;
                return Ok(false);
            }
            self.bring_back(event)?;
        }
        self.record_in_memory(position, handler, record)
    }

    fn record_in_memory(&mut self, position: u64, handler: &str, record: &DeliveryRecord) -> Result<bool, S::Error> {
        let Some(event) = self.events.get_mut(&position) else { return Ok(false) };
        let Some(index) = event.slot_of(handler) else { return Ok(false) };
        let Some(slot) = event.slots.get(index) else { return Ok(false) };
        if slot.state.is_complete() {
            return Ok(false);
        }
        let (before, scope_of) = (slot.state.stage, event.scope.clone());
        if matches!(record, DeliveryRecord::Released { .. }) && before != Stage::Parked {
            // Released twice: the attempt that the first release led to goes on.
            return Ok(false);
        }
        event.apply(index, record);
        if matches!(record, DeliveryRecord::CallDone { .. }) {
            return Ok(false);
        }
        if let Stage::Waiting(until) = before {
            self.waiting.remove(&(until, position, index));
        }
        if matches!(record, DeliveryRecord::Started { .. }) {
            return Ok(false);
        }
        self.stop_running(position, index);
        let Some(slot) = self.events.get(&position).and_then(|event| event.slots.get(index)) else { return Ok(false) };
        match slot.state.stage {
            Stage::Complete(_) => self.leave_lane(position, index)?,
            Stage::Waiting(until) => {
                self.waiting.insert((until, position, index));
                self.note_stuck(&scope_of, position);
            }
            Stage::Parked => {
                self.blocked_anew = true;
                self.note_stuck(&scope_of, position);
            }
            Stage::Pending | Stage::Started => {}
        }
        if self.events.get(&position).is_some_and(OpenEvent::is_complete) {
            self.forget(position)?;
            return Ok(true);
        }
        self.soil(&scope_of);
        self.consider(position);
        Ok(false)
    }

    /// Keeps a delivery from being started until it is dropped or [given back](Self::give_back).
    pub(super) fn reserve(&mut self, scope: &Scope, position: u64, handler: &str) -> Result<Reserved, S::Error> {
        let Some(event) = self.events.get(&position) else {
            // Noted for when the event comes into memory.
            let Some(event) = self.shelf.get(scope, position)? else { return Ok(Reserved::NotNeeded) };
            let Some(index) = event.slot_of(handler) else { return Ok(Reserved::NotNeeded) };
            self.reserved.insert((position, index));
            return Ok(Reserved::Kept(Start { position, slot: index }));
        };
        let Some(index) = event.slot_of(handler) else { return Ok(Reserved::NotNeeded) };
        if event.slots.get(index).is_some_and(Slot::runs) {
            return Ok(Reserved::Runs);
        }
        self.stop_running(position, index);
        if let Some(slot) = self.events.get_mut(&position).and_then(|event| event.slots.get_mut(index)) {
            slot.run = Run::Reserved;
        }
        Ok(Reserved::Kept(Start { position, slot: index }))
    }

    /// Gives back an attempt that did not take place; it may be handed out again.
    pub(super) fn give_back(&mut self, position: u64, slot: usize) {
        self.reserved.remove(&(position, slot));
        self.stop_running(position, slot);
        self.consider(position);
    }

    /// The next attempt to start of a class; `has_room` says whether a queue takes another message.
    pub(super) fn next(&mut self, class: Class, mut has_room: impl FnMut(&Scope, &Name) -> bool) -> Option<Start> {
        loop {
            let (key, position, index) = self.line(class).pop()?;
            let Some(slot) = self.events.get_mut(&position).and_then(|event| event.slots.get_mut(index)) else {
                continue;
            };
            if slot.run != Run::Ready {
                // A line may hold a delivery that was dropped, or one twice.
                continue;
            }
            match &slot.queue {
                Some(queue) if !has_room(&key.0, queue) => {
                    slot.run = Run::QueueFull;
                    self.full.entry((key.0.clone(), queue.clone())).or_default().insert((position, index));
                    self.blocked_anew = true;
                    self.soil(&key.0);
                    self.note_stuck(&key.0, position);
                    self.consider(position);
                }
                _ => {
                    slot.run = Run::Running;
                    self.line(class).started(key);
                    return Some(Start { position, slot: index });
                }
            }
        }
    }

    fn line(&mut self, class: Class) -> &mut Line {
        match class {
            Class::Function => &mut self.functions,
            Class::Http => &mut self.http,
            Class::Queue => &mut self.queues,
        }
    }

    /// Whether nothing is left that goes on by itself.
    pub(super) fn is_settled(&mut self) -> Result<bool, S::Error> {
        Ok(self.overflowing.is_empty()
            && self.functions.is_idle()
            && self.http.is_idle()
            && self.queues.is_idle()
            && self.returned == 0
            && self.waiting.is_empty()
            && self.shelf.next_alarm()?.is_none())
    }

    fn leave_members(&mut self, lane: &LaneKey, position: u64) {
        if let Some(members) = self.lanes.get_mut(lane) {
            members.remove(&position);
            if members.is_empty() {
                self.lanes.remove(lane);
            }
        }
    }

    /// A delivery in memory is complete: the next one of its lane becomes the head.
    fn leave_lane(&mut self, position: u64, index: usize) -> Result<(), S::Error> {
        let Some(event) = self.events.get_mut(&position) else { return Ok(()) };
        let Some(slot) = event.slots.get_mut(index) else { return Ok(()) };
        let was_head = std::mem::take(&mut slot.head);
        let lane = LaneKey { scope: event.scope.clone(), handler: slot.handler.clone(), stream: event.stream.clone() };
        let shelved = event.shelved;
        if shelved {
            self.shelf.leave_lane(&lane, position)?;
        }
        self.leave_members(&lane, position);
        if !was_head {
            self.note_first_stuck(&lane);
            return Ok(());
        }
        let next = self.lanes.get(&lane).and_then(|members| members.first().copied());
        if self.aside.contains_key(&(lane.scope.clone(), lane.handler.clone()))
            && let Some(first) = self.shelf.first_in_lane(&lane)?
            && next.is_none_or(|next| first < next)
            && !self.is_overflow(&lane.scope, first)
            && let Some(event) = self.shelf.get(&lane.scope, first)?
        {
            return self.bring_back(event);
        }
        if let Some(next) = next {
            if let Some(event) = self.events.get_mut(&next)
                && let Some(index) = event.slot_of(lane.handler.as_str())
                && let Some(slot) = event.slots.get_mut(index)
            {
                slot.head = true;
            }
            self.consider(next);
        }
        Ok(())
    }

    /// Takes a delivery out of where it stands or runs.
    fn stop_running(&mut self, position: u64, index: usize) {
        let Some(event) = self.events.get_mut(&position) else { return };
        let Some(slot) = event.slots.get_mut(index) else { return };
        let (run, class) = (std::mem::take(&mut slot.run), Class::of(slot));
        let (key, queue) = ((event.scope.clone(), slot.handler.clone()), slot.queue.clone());
        match run {
            Run::Running => self.line(class).ended(key),
            Run::Returned => self.returned = self.returned.saturating_sub(1),
            Run::QueueFull => {
                if let Some(queue) = queue
                    && let Some(waiting) = self.full.get_mut(&(key.0, queue))
                {
                    waiting.remove(&(position, index));
                }
            }
            Run::Held | Run::Ready | Run::Reserved => {}
        }
    }

    /// Puts in line what may start in an event.
    fn consider(&mut self, position: u64) {
        if !self.serving {
            return;
        }
        let Some(event) = self.events.get_mut(&position) else { return };
        for (index, slot) in event.slots.iter_mut().enumerate() {
            if slot.can_start() {
                slot.run = Run::Ready;
                let line = match Class::of(slot) {
                    Class::Function => &mut self.functions,
                    Class::Http => &mut self.http,
                    Class::Queue => &mut self.queues,
                };
                line.push((event.scope.clone(), slot.handler.clone()), position, index);
            }
            if slot.holds_later() {
                break;
            }
        }
    }
}
