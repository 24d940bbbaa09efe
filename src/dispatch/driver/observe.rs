//! Telling a host's observers of each step, once it is on record. Of what was recorded since the store was opened: what was
//! there before was told then.

use std::panic::{AssertUnwindSafe, catch_unwind};

use uuid::Uuid;

use super::Driver;
use crate::dispatch::DispatchError;
use crate::dispatch::open_event::OpenEvent;
use crate::dispatch::queue_record::{Origin, QueueRecord};
use crate::dispatch::record::DeliveryRecord;
use crate::dispatch::step::{Observed, Step};
use crate::dispatch::timers::TimerRecord;
use crate::event::{Name, Scope, Timestamp};
use crate::log::{Address, RecordKind, RecordedEvent, RoomRecord};

impl Driver {
    fn observes(&self, address: Address) -> bool {
        !self.context.observers.0.is_empty() && address >= self.history
    }

    fn tell(&self, event: &RecordedEvent, handler: Option<&Name>, recorded_at: i64, step: &Step) {
        let (scope, event) = (event.scope(), Some(event));
        self.tell_all(Observed { scope, event, handler, at: Timestamp::from_micros(recorded_at), step });
    }

    fn tell_all(&self, observed: Observed<'_>) {
        for observer in &self.context.observers.0 {
            if catch_unwind(AssertUnwindSafe(|| observer(observed))).is_err() {
                tracing::error!(step = ?observed.step, "an observer panicked");
            }
        }
    }

    /// Tells of an event that came in; `open` is what dispatch makes of it, where it has deliveries by its nature.
    pub(super) fn tell_of_event(&self, event: &RecordedEvent, open: Option<&OpenEvent>) -> Result<(), DispatchError> {
        if !self.observes(event.address()) {
            return Ok(());
        }
        self.tell(event, None, event.recorded_at(), &Step::Received { revision: event.revision() });
        let Some(open) = open else { return Ok(()) };
        let plan = self.context.plans.of(event.id(), open.revision, event.event_type())?;
        for handler in plan.handlers.iter().filter(|handler| open.slot_of(handler.name.as_str()).is_none()) {
            self.tell(event, Some(&handler.name), event.recorded_at(), &Step::Skipped);
        }
        Ok(())
    }

    pub(super) fn tell_of_delivery(
        &self,
        record: &RoomRecord,
        (position, handler): (u64, &Name),
        decoded: &DeliveryRecord,
    ) -> Result<(), DispatchError> {
        if self.observes(record.address)
            && let Some(event) = self.context.store.event_at(position)?
        {
            let step = Step::of_delivery(decoded.clone(), Some(self.context.options.worker.clone()));
            self.tell(&event, Some(handler), record.recorded_at, &step);
        }
        Ok(())
    }

    pub(super) fn tell_of_timer(&self, record: &RoomRecord, scope: &Scope, timer: Uuid, decoded: &TimerRecord) {
        if self.observes(record.address) {
            let (at, step) = (Timestamp::from_micros(record.recorded_at), Step::of_timer(decoded.clone(), timer));
            self.tell_all(Observed { scope, event: None, handler: None, at, step: &step });
        }
    }

    pub(super) fn tell_of_message(&self, record: &RoomRecord, id: Uuid) -> Result<(), DispatchError> {
        if !self.observes(record.address) {
            return Ok(());
        }
        let decoded = |found: &RoomRecord| {
            QueueRecord::decode(&found.body).ok_or(DispatchError::Record { address: found.address })
        };
        // The first record of a message says what it is of.
        let store = &self.context.store;
        let Some(first) = store.records_with_key(RecordKind::Queue, &record.key)?.into_iter().next() else {
            return Ok(());
        };
        let QueueRecord::Message(message) = decoded(&first)? else { return Ok(()) };
        let step = Step::of_message(decoded(record)?, id);
        match &message.origin {
            Origin::Call { event, handler, .. } => {
                if let Some(event) = store.event(&message.scope, *event)? {
                    self.tell(&event, Some(handler), record.recorded_at, &step);
                }
            }
            Origin::Outside { .. } => {
                let at = Timestamp::from_micros(record.recorded_at);
                self.tell_all(Observed { scope: &message.scope, event: None, handler: None, at, step: &step });
            }
        }
        Ok(())
    }
}
