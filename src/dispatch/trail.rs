//! The trail of an event: how it was routed, what its guards said and its transforms gave, and every step that is on record.
//! All from the log and the configuration, so that it needs no running dispatch and can be told of any event of any age.

use serde::Serialize;
use uuid::Uuid;

use super::emitted::derived_id;
use super::queue_record::QueueRecord;
use super::record::{DeliveryRecord, WORKER_KEY, decode_worker, delivery_key};
use super::status_reader::StatusReader;
use super::step::Step;
use super::timers::{TimerRecord, timer_key};
use super::{DispatchError, Outcome};
use crate::config::Target;
use crate::event::{Name, Scope, Timestamp};
use crate::log::{Address, RecordKind, RecordedEvent};
use crate::routing::{ExplainedHandler, Explanation};

/// Everything that is known of an event: how it was routed, and every step that is on record.
#[derive(Clone, Debug, Serialize)]
pub struct Trail {
    /// The event.
    pub id: Uuid,
    /// Its scope.
    pub scope: Scope,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its stream.
    pub stream: String,
    /// Its number in the stream.
    pub version: u64,
    /// Its number in the log.
    pub position: u64,
    /// What caused it.
    pub causation_id: Option<Uuid>,
    /// How it was routed: tree, revision, document, and for each handler what its guard says and its transform gives. `None`
    /// of an event that has no deliveries by its nature: imported as history, or appended without routing.
    pub routing: Option<Explanation>,
    /// What is on record, in the order of the log.
    pub steps: Vec<TrailStep>,
}

/// A step of a [`Trail`].
#[derive(Clone, Debug, Serialize)]
pub struct TrailStep {
    /// When it was recorded.
    pub at: Timestamp,
    /// The handler, where it is a step of a delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<Name>,
    /// What happened.
    #[serde(flatten)]
    pub step: Step,
}

impl StatusReader<'_> {
    /// Everything that is known of an event and its deliveries.
    ///
    /// # Errors
    /// [`DispatchError::Plan`], [`DispatchError::Record`], [`DispatchError::Read`].
    pub fn trail(&self, event: &RecordedEvent) -> Result<Trail, DispatchError> {
        let routing = match event.revision() {
            Some(revision) if !self.is_imported(event) => {
                let explained = self.router.explain_recorded(event, revision);
                let failed = |source| DispatchError::Plan { event: event.id(), source: std::sync::Arc::new(source) };
                Some(explained.map_err(failed)?)
            }
            _ => None,
        };
        let received = TrailStep {
            at: Timestamp::from_micros(event.recorded_at()),
            handler: None,
            step: Step::Received { revision: event.revision() },
        };
        let mut steps = vec![(event.address(), received)];
        let workers = self.workers()?;
        for handler in routing.iter().flat_map(|routing| &routing.handlers) {
            self.steps_of(event, handler, &workers, &mut steps)?;
        }
        self.steps_of_input(event, &mut steps)?;
        self.steps_of_timer(event.scope(), event.id(), None, &mut steps)?;
        steps.sort_by_key(|(address, _)| *address);
        Ok(Trail {
            id: event.id(),
            scope: event.scope().clone(),
            event_type: event.event_type().to_owned(),
            stream: event.stream().to_owned(),
            version: event.version(),
            position: event.position(),
            causation_id: event.causation_id(),
            routing,
            steps: steps.into_iter().map(|(_, step)| step).collect(),
        })
    }

    /// The steps of one delivery, with those of its messages.
    fn steps_of(
        &self,
        event: &RecordedEvent,
        handler: &ExplainedHandler,
        workers: &[(Address, String)],
        steps: &mut Vec<(Address, TrailStep)>,
    ) -> Result<(), DispatchError> {
        let name = &handler.spec.name;
        let mut take = |address: Address, recorded_at: i64, step: Step| {
            steps.push((
                address,
                TrailStep { at: Timestamp::from_micros(recorded_at), handler: Some(name.clone()), step },
            ));
        };
        let key = delivery_key(event.scope(), event.id(), name.as_str());
        let (mut calls, mut done) = (1, Vec::new());
        for found in self.store.records_with_key(RecordKind::Delivery, &key)? {
            let unknown = DispatchError::Record { address: found.address };
            let (_, record) = DeliveryRecord::decode(&found.body).ok_or(unknown)?;
            match &record {
                DeliveryRecord::Started { calls: of, .. } => calls = of.count,
                DeliveryRecord::CallDone { call, emitted, .. } => done.push((*call, emitted.len())),
                DeliveryRecord::Completed { outcome: Outcome::Success, emitted, .. } => {
                    done.push((calls, emitted.len()));
                }
                _ => {}
            }
            let worker = workers.iter().rev().find(|(since, _)| *since < found.address).map(|(_, name)| name.clone());
            take(found.address, found.recorded_at, Step::of_delivery(record, worker));
        }
        // A call numbers the timers that it sets behind the events that it emits.
        for (call, emitted) in done {
            let mut numbers = emitted.saturating_add(1)..;
            while let Some(number) = numbers.next()
                && self.steps_of_timer(event.scope(), derived_id(event, name, call, number), Some(name), steps)?
            {
            }
        }
        let (Target::Queue(_), Some(trial)) = (&handler.spec.target, &handler.trial) else { return Ok(()) };
        let mut take = |address: Address, recorded_at: i64, step: Step| {
            let at = Timestamp::from_micros(recorded_at);
            steps.push((address, TrailStep { at, handler: Some(name.clone()), step }));
        };
        for call in (1..).take(trial.calls()) {
            let message = derived_id(event, name, call, 1);
            for found in self.store.records_with_key(RecordKind::Queue, message.as_bytes())? {
                let unknown = DispatchError::Record { address: found.address };
                let record = QueueRecord::decode(&found.body).ok_or(unknown)?;
                take(found.address, found.recorded_at, Step::of_message(record, message));
            }
        }
        Ok(())
    }

    /// The steps of a timer. Returns whether there is one.
    fn steps_of_timer(
        &self,
        scope: &Scope,
        id: Uuid,
        handler: Option<&Name>,
        steps: &mut Vec<(Address, TrailStep)>,
    ) -> Result<bool, DispatchError> {
        let found = self.store.records_with_key(RecordKind::Timer, &timer_key(scope, id))?;
        for found in &found {
            let record = TimerRecord::decode(&found.body).ok_or(DispatchError::Record { address: found.address })?;
            let (at, step) = (Timestamp::from_micros(found.recorded_at), Step::of_timer(record, id));
            steps.push((found.address, TrailStep { at, handler: handler.cloned(), step }));
        }
        Ok(!found.is_empty())
    }

    /// The steps of the message of an input queue that an event was, where it has the event's id.
    fn steps_of_input(
        &self,
        event: &RecordedEvent,
        steps: &mut Vec<(Address, TrailStep)>,
    ) -> Result<(), DispatchError> {
        let mut found_steps = Vec::new();
        for found in self.store.records_with_key(RecordKind::Queue, event.id().as_bytes())? {
            let record = QueueRecord::decode(&found.body).ok_or(DispatchError::Record { address: found.address })?;
            if record.scope() == event.scope() {
                let at = Timestamp::from_micros(found.recorded_at);
                let step = Step::of_message(record, event.id());
                found_steps.push((found.address, TrailStep { at, handler: None, step }));
            }
        }
        // Another message may have the id, and no event come of it.
        let is_it =
            |(_, step): &(_, TrailStep)| matches!(step.step, Step::Ingested { event: of, .. } if of == event.id());
        if found_steps.iter().any(is_it) {
            steps.extend(found_steps);
        }
        Ok(())
    }

    /// Who has made attempts, from which address of the log on.
    fn workers(&self) -> Result<Vec<(Address, String)>, DispatchError> {
        let decoded = |found: crate::log::RoomRecord| {
            let worker = decode_worker(&found.body).ok_or(DispatchError::Record { address: found.address })?;
            Ok((found.address, worker))
        };
        self.store.records_with_key(RecordKind::Delivery, WORKER_KEY)?.into_iter().map(decoded).collect()
    }
}
