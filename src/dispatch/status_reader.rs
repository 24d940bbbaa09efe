//! Reading status from the log and the plan alone, so that it needs no running dispatch.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::record::{DeliveryRecord, delivery_key};
use super::state::{DeliveryState, Stage};
use super::status::{DeliveryId, DeliveryStatus, EventStatus, Phase};
use super::{DispatchError, Outcome};
use crate::event::{Name, Scope};
use crate::log::{EventStore, RecordKind, RecordedEvent};
use crate::routing::{Input, Plan, Router};

/// The most events of one cascade that are told at once.
pub const MAX_CASCADE_EVENTS: usize = 100_000;

/// What status is read from.
pub struct StatusReader<'a> {
    pub(super) store: &'a EventStore,
    pub(super) router: &'a Router,
    pub(super) imported: u64,
    pub(super) runs: &'a dyn Fn(u64, &Name) -> bool,
}

impl fmt::Debug for StatusReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusReader").field("imported", &self.imported).finish_non_exhaustive()
    }
}

/// One event's own part of its status, without what it caused.
struct Own {
    deliveries: Vec<DeliveryStatus>,
    skipped: Vec<Name>,
}

impl<'a> StatusReader<'a> {
    /// A reader of `store`; `runs` says which deliveries run in this process at the moment, by the event's position and
    /// handler.
    ///
    /// # Errors
    /// [`DispatchError::Read`] where the log can't be read.
    pub fn new(
        store: &'a EventStore,
        router: &'a Router,
        runs: &'a dyn Fn(u64, &Name) -> bool,
    ) -> Result<Self, DispatchError> {
        Ok(Self { store, router, imported: super::history::imported(store)?, runs })
    }

    /// The event with an id, in a scope or in the only one that has it.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Ambiguous`], [`DispatchError::Read`].
    pub fn event(&self, scope: Option<&Scope>, id: Uuid) -> Result<RecordedEvent, DispatchError> {
        find_event(self.store, scope, id)
    }

    /// What became of an event and all that it caused.
    ///
    /// # Errors
    /// [`DispatchError::CascadeTooLarge`], [`DispatchError::Plan`], [`DispatchError::Read`].
    pub fn status(&self, event: &RecordedEvent) -> Result<EventStatus, DispatchError> {
        let own = self.own(event)?;
        let (mut all, mut failed, mut any) = tally(&own.deliveries);
        let mut caused = 0;
        let mut seen = BTreeSet::from([event.id()]);
        let mut open = VecDeque::from([event.id()]);
        while let Some(cause) = open.pop_front() {
            for child in self.store.caused_by(event.scope(), cause)? {
                if !seen.insert(child.id()) {
                    continue;
                }
                caused += 1;
                if seen.len() > MAX_CASCADE_EVENTS {
                    return Err(DispatchError::CascadeTooLarge { limit: MAX_CASCADE_EVENTS });
                }
                let (complete, failure, _) = tally(&self.own(&child)?.deliveries);
                all &= complete;
                failed |= failure;
                any = true;
                open.push_back(child.id());
            }
        }
        let (phase, outcome) = rolled_up(all, failed, any);
        Ok(EventStatus {
            id: event.id(),
            phase,
            outcome,
            revision: event.revision(),
            deliveries: own.deliveries,
            skipped: own.skipped,
            imported: self.is_imported(event),
            scope: event.scope().clone(),
            caused,
            blocked_by: Vec::new(),
        })
    }

    /// The deliveries of one event.
    ///
    /// # Errors
    /// [`DispatchError::Plan`], [`DispatchError::Read`].
    pub fn deliveries(&self, event: &RecordedEvent) -> Result<Vec<DeliveryStatus>, DispatchError> {
        self.own(event).map(|own| own.deliveries)
    }

    pub(super) fn is_imported(&self, event: &RecordedEvent) -> bool {
        event.position() <= self.imported
    }

    /// The plan of an event; `None` where it has no deliveries by its nature.
    pub(super) fn plan(&self, event: &RecordedEvent) -> Result<Option<Arc<Plan>>, DispatchError> {
        match event.revision() {
            Some(revision) if !self.is_imported(event) => {
                let plan = self.router.plan_of(revision, event.event_type());
                let failed = |source| DispatchError::Plan { event: event.id(), source: Arc::new(source) };
                plan.map(Some).map_err(failed)
            }
            _ => Ok(None),
        }
    }

    fn own(&self, event: &RecordedEvent) -> Result<Own, DispatchError> {
        let mut own = Own { deliveries: Vec::new(), skipped: Vec::new() };
        let Some(plan) = self.plan(event)? else { return Ok(own) };
        let mut input = None;
        for handler in plan.handlers.iter() {
            let records = self.records(event, &handler.name)?;
            if records.is_empty()
                && let Some(when) = &handler.when
            {
                let input = input.get_or_insert_with(|| Input::of(event, &plan.constants));
                if let Ok(Ok(false)) = input.as_ref().map(|input| when.first_is_true(input)) {
                    own.skipped.push(handler.name.clone());
                    continue;
                }
            }
            let runs = (self.runs)(event.position(), &handler.name);
            let id = DeliveryId { event: event.id(), handler: handler.name.clone() };
            own.deliveries.push(delivery_status(id, &records, runs));
        }
        Ok(own)
    }

    fn records(&self, event: &RecordedEvent, handler: &Name) -> Result<Vec<DeliveryRecord>, DispatchError> {
        delivery_records(self.store, event.scope(), event.id(), handler)
    }
}

/// How all of some deliveries stand: whether all are complete, one has failed, and anything was begun.
pub(super) fn rolled_up(all: bool, failed: bool, any: bool) -> (Phase, Option<Outcome>) {
    let phase = match (all, any) {
        (true, _) => Phase::Complete,
        (false, true) => Phase::InProcess,
        (false, false) => Phase::Pending,
    };
    (phase, all.then_some(if failed { Outcome::Failure } else { Outcome::Success }))
}

/// All that is on record about a delivery.
pub(super) fn delivery_records(
    store: &EventStore,
    scope: &Scope,
    event: Uuid,
    handler: &Name,
) -> Result<Vec<DeliveryRecord>, DispatchError> {
    let key = delivery_key(scope, event, handler.as_str());
    let records = store.records_with_key(RecordKind::Delivery, &key)?;
    let decode = |found: crate::log::RoomRecord| {
        let decoded = DeliveryRecord::decode(&found.body).map(|(_, record)| record);
        decoded.ok_or(DispatchError::Record { address: found.address })
    };
    records.into_iter().map(decode).collect()
}

pub(super) fn find_event(store: &EventStore, scope: Option<&Scope>, id: Uuid) -> Result<RecordedEvent, DispatchError> {
    let mut found = match scope {
        Some(scope) => store.event(scope, id)?.into_iter().collect(),
        None => store.events_with_id(id)?,
    };
    if found.len() > 1 {
        let scopes = found.iter().map(|event| event.scope().clone()).collect();
        return Err(DispatchError::Ambiguous { id, scopes });
    }
    found.pop().ok_or(DispatchError::NoSuchEvent { id })
}

/// Whether all are complete, one failed, and anything has happened at all.
pub(super) fn tally(deliveries: &[DeliveryStatus]) -> (bool, bool, bool) {
    let all = deliveries.iter().all(|delivery| delivery.phase == Phase::Complete);
    let failed = deliveries.iter().any(|delivery| delivery.outcome == Some(Outcome::Failure));
    let any = deliveries.iter().any(|delivery| delivery.phase != Phase::Pending || delivery.attempts > 0);
    (all, failed, any)
}

/// What the records of a delivery tell. `runs` says whether an attempt runs now: one that was started and doesn't run
/// died with its process, and waits to be made again.
pub(super) fn delivery_status(id: DeliveryId, records: &[DeliveryRecord], runs: bool) -> DeliveryStatus {
    let mut state = DeliveryState::default();
    let (mut error, mut outputs, mut last_output) = (None, Vec::new(), None);
    for record in records {
        if state.is_complete() {
            break;
        }
        state.apply(record);
        match record {
            DeliveryRecord::Retry { error: why, .. } | DeliveryRecord::Parked { error: why, .. } => {
                error = Some(why.clone());
            }
            DeliveryRecord::Released { .. } => error = None,
            DeliveryRecord::Dropped { reason, .. } => error = Some(reason.clone()),
            DeliveryRecord::CallDone { call, output, .. } => {
                let calls_before = usize::try_from(call.saturating_sub(1)).unwrap_or_default();
                outputs.truncate(calls_before);
                outputs.push(json(output.as_deref()));
            }
            DeliveryRecord::Completed { output, error: why, .. } => {
                last_output = json(output.as_deref());
                error.clone_from(why);
            }
            DeliveryRecord::Started { .. } => {}
        }
    }
    let output = if outputs.is_empty() {
        last_output
    } else {
        if state.stage == Stage::Complete(Outcome::Success) {
            outputs.push(last_output);
        }
        let some = outputs.iter().any(Option::is_some);
        some.then(|| Value::Array(outputs.into_iter().map(Option::unwrap_or_default).collect()))
    };
    let (phase, outcome) = match state.stage {
        Stage::Complete(outcome) => (Phase::Complete, Some(outcome)),
        _ if runs => (Phase::InProcess, None),
        _ => (Phase::Pending, None),
    };
    let parked = state.stage == Stage::Parked;
    DeliveryStatus { handler: id.handler.clone(), id, phase, outcome, attempts: state.attempts, parked, output, error }
}

fn json(output: Option<&[u8]>) -> Option<Value> {
    output.and_then(|output| serde_json::from_slice(output).ok())
}

/// The events of a cascade, for its tree.
pub(super) fn correlated(
    store: &EventStore,
    scope: &Scope,
    correlation: Uuid,
) -> Result<Vec<RecordedEvent>, DispatchError> {
    let events = store.correlated(scope, correlation)?;
    if events.len() > MAX_CASCADE_EVENTS {
        return Err(DispatchError::CascadeTooLarge { limit: MAX_CASCADE_EVENTS });
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::record::Calls;
    use bytes::Bytes;

    fn id() -> DeliveryId {
        "00000000-0000-7000-8000-000000000001/score".parse().unwrap()
    }

    fn completed(output: Option<&'static str>) -> DeliveryRecord {
        let output = output.map(|text| Bytes::from_static(text.as_bytes()));
        DeliveryRecord::Completed { outcome: Outcome::Success, attempts: 1, output, error: None, emitted: vec![] }
    }

    #[test]
    fn no_record_means_pending() {
        let status = delivery_status(id(), &[], false);
        assert_eq!((status.phase, status.attempts, status.outcome), (Phase::Pending, 0, None));
    }

    #[test]
    fn what_was_in_process_is_pending_again_with_its_attempt_counted() {
        let calls = Calls { count: 1, data_hash: [0; 32] };
        let started = [DeliveryRecord::Started { attempt: 2, calls }];
        assert_eq!(delivery_status(id(), &started, true).phase, Phase::InProcess);
        let status = delivery_status(id(), &started, false);
        assert_eq!((status.phase, status.attempts), (Phase::Pending, 2));
    }

    #[test]
    fn outputs_of_several_calls_stand_in_their_order() {
        let done = |call, output: Option<&'static str>| DeliveryRecord::CallDone {
            call,
            output: output.map(|text| Bytes::from_static(text.as_bytes())),
            emitted: vec![],
        };
        let status = delivery_status(id(), &[done(1, Some("7")), done(2, None), completed(Some("\"x\""))], false);
        assert_eq!(status.output, Some(serde_json::json!([7, null, "x"])));
        assert_eq!(delivery_status(id(), &[completed(Some("7"))], false).output, Some(serde_json::json!(7)));
        assert_eq!(delivery_status(id(), &[done(1, None), completed(None)], false).output, None);
    }
}
