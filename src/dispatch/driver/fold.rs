//! What the thread of dispatch makes of each entry of the log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Driver, FOLD_AT_ONCE};
use crate::dispatch::DispatchError;
use crate::dispatch::history::Gate;
use crate::dispatch::open_event::OpenEvent;
use crate::dispatch::queue_record::{Happening, Origin, QueueRecord};
use crate::dispatch::record::{
    DeliveryRecord, IMPORTED_KEY, PROGRESS_KEY, WORKER_KEY, decode_imported, parse_delivery_key,
};
use crate::log::{LogEntry, RecordKind, RecordedEvent, RoomRecord};
use crate::routing::Input;

impl Driver {
    /// Follows the log a little further. Returns whether there may be more.
    pub(super) fn fold(&mut self) -> Result<bool, DispatchError> {
        for _ in 0..FOLD_AT_ONCE {
            match self.follow.next()? {
                Some(LogEntry::Event(event)) => self.event(&event)?,
                Some(LogEntry::Record(record)) => self.record(&record)?,
                None => {
                    if self.follow.position() >= self.history {
                        self.lanes.pass(self.history_position);
                    }
                    return Ok(false);
                }
            }
            self.folded += 1;
        }
        Ok(true)
    }

    fn event(&mut self, event: &RecordedEvent) -> Result<(), DispatchError> {
        self.followed_events += 1;
        let position = event.position();
        if let Some(revision) = event.revision()
            && position > self.imported
        {
            let open = self.open_event(event, revision)?;
            self.tell_of_event(event, Some(&open))?;
            self.lanes.enter(open)?;
        } else {
            if position > self.imported {
                self.tell_of_event(event, None)?;
            }
            self.lanes.pass(position);
        }
        self.touch(position);
        Ok(())
    }

    /// The deliveries that an event has: one for each handler of its plan whose guard doesn't say no.
    fn open_event(&self, event: &RecordedEvent, revision: u32) -> Result<OpenEvent, DispatchError> {
        let plan = self.context.plans.of(event.id(), revision, event.event_type())?;
        let mut slots = Vec::with_capacity(plan.handlers.len());
        let mut input = None;
        for handler in plan.handlers.iter() {
            let mut slot = self.context.plans.slot(handler);
            if let Some(when) = &handler.when {
                let input = input.get_or_insert_with(|| Input::of(event, &plan.constants));
                // A guard that panics must not take the thread with it, at this open and each that follows.
                let guard = AssertUnwindSafe(|| input.as_ref().map(|input| when.first_is_true(input)));
                match catch_unwind(guard) {
                    Ok(Ok(Ok(true))) => {}
                    Ok(Ok(Ok(false))) => continue,
                    Ok(Ok(Err(_)) | Err(_)) | Err(_) => slot.guard_failed = true,
                }
            }
            slots.push(slot);
        }
        Ok(OpenEvent {
            position: event.position(),
            address: event.address(),
            id: event.id(),
            scope: event.scope().clone(),
            stream: event.stream().into(),
            event_type: event.event_type().into(),
            revision,
            slots,
            shelved: false,
            changed: false,
        })
    }

    fn record(&mut self, record: &RoomRecord) -> Result<(), DispatchError> {
        let unknown = DispatchError::Record { address: record.address };
        match record.kind {
            RecordKind::Delivery if record.key[..] == *PROGRESS_KEY => Ok(()),
            RecordKind::Delivery if record.key[..] == *WORKER_KEY => Ok(()),
            RecordKind::Delivery if record.key[..] == *IMPORTED_KEY => {
                self.imported = decode_imported(&record.body).ok_or(unknown)?;
                self.gate.take().into_iter().for_each(Gate::leave);
                Ok(())
            }
            RecordKind::Delivery => self.delivery(record),
            RecordKind::Queue => self.queue(record),
            RecordKind::Timer => self.timer(record),
            _ => Ok(()),
        }
    }

    fn delivery(&mut self, record: &RoomRecord) -> Result<(), DispatchError> {
        let unknown = || DispatchError::Record { address: record.address };
        let (scope, _, handler) = parse_delivery_key(&record.key).ok_or_else(unknown)?;
        let (position, decoded) = DeliveryRecord::decode(&record.body).ok_or_else(unknown)?;
        let slot = self.lanes.event(position).and_then(|event| event.slot_of(handler.as_str()));
        self.lanes.record(&scope, position, handler.as_str(), &decoded)?;
        let goes_on = matches!(
            decoded,
            DeliveryRecord::Started { .. } | DeliveryRecord::CallDone { .. } | DeliveryRecord::Released { .. }
        );
        if !goes_on && let Some(slot) = slot {
            self.ended(position, slot)?;
        }
        self.touch(position);
        self.tell_of_delivery(record, (position, &handler), &decoded)
    }

    fn queue(&mut self, record: &RoomRecord) -> Result<(), DispatchError> {
        let unknown = || DispatchError::Record { address: record.address };
        let id = uuid::Uuid::from_slice(&record.key).map_err(|_| unknown())?;
        self.tell_of_message(record, id)?;
        match QueueRecord::decode(&record.body).ok_or_else(unknown)? {
            QueueRecord::Message(message) => {
                let recorded = (record.address, record.recorded_at);
                for of in message.of_groups() {
                    let shift = self.lanes.shelf().add_message(&of, recorded, id, message.stream)?;
                    self.shift(&of, shift)?;
                    self.inputs.touch(&of);
                }
                if let Origin::Outside { .. } = message.origin {
                    self.queues.unreserve(&message.scope, &message.queue, 1);
                    // It may stand behind a dead letter, and take up none.
                    self.offer_room(&message.scope, &message.queue)?;
                }
                Ok(())
            }
            QueueRecord::Happened { of, message, what } => {
                self.queues.let_go(&of, &[message]);
                if let Happening::Refused { error } = &what
                    && record.address >= self.history
                {
                    tracing::warn!(error, scope = %of.scope, queue = %of.queue, message = %id, "a message can't come in, and is kept");
                }
                let shift = self.lanes.shelf().message_happened(&of, message, &what)?;
                self.inputs.touch(&of);
                self.shift(&of, shift)
            }
        }
    }

    /// Whoever watches the event is to be told what became of it.
    pub(super) fn touch(&mut self, position: u64) {
        if self.watches.contains_key(&position) {
            self.touched.insert(position);
        }
    }
}
