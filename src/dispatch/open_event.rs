//! An event with deliveries that are not complete, as the scheduler sees it.

use std::sync::Arc;

use uuid::Uuid;

use super::record::DeliveryRecord;
use super::state::{DeliveryState, Stage};
use crate::event::{Name, Scope};
use crate::log::Address;

/// Deliveries of one handler to one stream: they run one at a time, in the order of their events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneKey {
    pub(super) scope: Scope,
    pub(super) handler: Name,
    pub(super) stream: Arc<str>,
}

/// What the scheduler does with a delivery at the moment. Not recorded: after a restart it is worked out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Run {
    /// Nothing: it waits for something or somebody.
    #[default]
    Held,
    /// It stands in line for a start.
    Ready,
    /// An attempt was handed out.
    Running,
    /// Its function has returned; how the attempt ended is about to be on record.
    Returned,
    /// Its queue is full.
    QueueFull,
    /// An operator is about to give it up; no attempt starts meanwhile.
    Reserved,
}

/// One delivery of an open event.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) handler: Name,
    /// The queue, where the target is one.
    pub(super) queue: Option<Name>,
    /// Whether the target is an http endpoint.
    pub(super) is_http: bool,
    /// Whether this process has what the target names.
    pub(super) bound: bool,
    pub(super) stop_on_failure: bool,
    /// Its guard could not be worked out: the attempt fails for good.
    pub(super) guard_failed: bool,
    pub(super) state: DeliveryState,
    pub(super) run: Run,
    /// It is the first in its lane.
    pub(super) head: bool,
}

impl Slot {
    pub(super) fn new(handler: Name) -> Self {
        Self {
            handler,
            queue: None,
            is_http: false,
            bound: true,
            stop_on_failure: false,
            guard_failed: false,
            state: DeliveryState::default(),
            run: Run::Held,
            head: false,
        }
    }

    /// An attempt was handed out whose end isn't on record.
    pub(super) fn runs(&self) -> bool {
        matches!(self.run, Run::Running | Run::Returned)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.state.is_complete()
    }

    /// Whether an attempt may be handed out, as far as the delivery itself is concerned.
    pub(super) fn can_start(&self) -> bool {
        self.head && self.bound && self.run == Run::Held && self.is_waiting_for_its_turn()
    }

    /// Whether its records say nothing against an attempt.
    pub(super) fn is_waiting_for_its_turn(&self) -> bool {
        matches!(self.state.stage, Stage::Pending | Stage::Started)
    }
}

/// An event with its deliveries, in the order of their weights; guards that said no have none.
#[derive(Clone, Debug)]
pub(super) struct OpenEvent {
    pub(super) position: u64,
    pub(super) address: Address,
    pub(super) id: Uuid,
    pub(super) scope: Scope,
    pub(super) stream: Arc<str>,
    pub(super) event_type: Arc<str>,
    pub(super) revision: u32,
    pub(super) slots: Vec<Slot>,
    /// A row of it stands on the shelf.
    pub(super) shelved: bool,
    /// It differs from that row.
    pub(super) changed: bool,
}

impl OpenEvent {
    pub(super) fn is_complete(&self) -> bool {
        !self.slots.iter().any(Slot::is_open)
    }

    pub(super) fn slot_of(&self, handler: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.handler.as_str() == handler)
    }

    pub(super) fn lane(&self, slot: &Slot) -> LaneKey {
        LaneKey { scope: self.scope.clone(), handler: slot.handler.clone(), stream: self.stream.clone() }
    }

    /// Takes a record of one of its deliveries in.
    pub(super) fn apply(&mut self, slot: usize, record: &DeliveryRecord) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.state.apply(record);
            self.changed = true;
        }
    }

    /// For a slot that waits within its event: the earlier one that it waits for.
    pub(super) fn held_by(&self, slot: usize) -> Option<usize> {
        self.slots.iter().take(slot).position(Slot::holds_later)
    }
}

impl Slot {
    /// Whether later handlers of the event wait for this one: for its success, where it stops on failure; else for
    /// the end of its first attempt, unless that can't start.
    pub(super) fn holds_later(&self) -> bool {
        use super::Outcome;
        if self.stop_on_failure {
            return self.state.stage != Stage::Complete(Outcome::Success);
        }
        self.is_open() && !self.state.attempted && self.bound && self.head && self.run != Run::QueueFull
    }
}
