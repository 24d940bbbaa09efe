//! What one request set off, as a tree: each event under the one that caused it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::status::{Blocker, DeliveryStatus, Phase};
use super::status_reader::{StatusReader, correlated, find_event, rolled_up, tally};
use super::{DispatchError, Outcome};
use crate::event::Scope;
use crate::log::{EventStore, RecordedEvent};

/// All events with one correlation id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cascade {
    /// The correlation id.
    pub correlation_id: Uuid,
    /// The scope.
    pub scope: Scope,
    /// How all of its deliveries stand: Complete once each is, InProcess once one was begun or one event has caused another.
    pub phase: Phase,
    /// Failure where a delivery has failed; set once all are complete.
    pub outcome: Option<Outcome>,
    /// Told by [`cascade_completion`](super::Dispatcher::cascade_completion) alone: what keeps it from going on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<Blocker>,
    /// The events in the order of a walk through the tree: each behind its cause, siblings by position.
    pub events: Vec<CascadeEvent>,
}

/// An event of a cascade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CascadeEvent {
    /// How many of the cascade's events stand above it.
    pub depth: u32,
    /// Its id.
    pub id: Uuid,
    /// The event that caused it.
    pub causation_id: Option<Uuid>,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its stream.
    pub stream: String,
    /// Its version in the stream.
    pub version: u64,
    /// Its position in the log.
    pub position: u64,
    /// Its deliveries.
    pub deliveries: Vec<DeliveryStatus>,
}

/// Reads a cascade from the log.
pub(super) fn read(
    store: &EventStore,
    reader: &StatusReader<'_>,
    scope: &Scope,
    correlation: Uuid,
) -> Result<Cascade, DispatchError> {
    let events = correlated(store, scope, correlation)?;
    if events.is_empty() {
        return Err(DispatchError::NoSuchEvent { id: correlation });
    }
    let known: HashSet<Uuid> = events.iter().map(RecordedEvent::id).collect();
    let mut children: HashMap<Option<Uuid>, Vec<&RecordedEvent>> = HashMap::new();
    for event in &events {
        // A cause outside the cascade, or the event itself, makes it a root.
        let cause = event.causation_id().filter(|cause| known.contains(cause) && *cause != event.id());
        children.entry(cause).or_default().push(event);
    }
    let mut told = Vec::with_capacity(events.len());
    let mut stack: Vec<(u32, &RecordedEvent)> = Vec::new();
    let push = |stack: &mut Vec<_>, depth, of: Vec<_>| stack.extend(of.into_iter().rev().map(|event| (depth, event)));
    push(&mut stack, 0, children.remove(&None).unwrap_or_default());
    let mut rest = events.iter();
    loop {
        while let Some((depth, event)) = stack.pop() {
            told.push(CascadeEvent {
                depth,
                id: event.id(),
                causation_id: event.causation_id(),
                event_type: event.event_type().to_owned(),
                stream: event.stream().to_owned(),
                version: event.version(),
                position: event.position(),
                deliveries: reader.deliveries(event)?,
            });
            push(&mut stack, depth + 1, children.remove(&Some(event.id())).unwrap_or_default());
        }
        // Hosts state causes freely, so they may go round in a circle that no root leads to.
        match rest.find(|event| children.contains_key(&Some(event.id()))) {
            Some(of_circle) => push(&mut stack, 0, children.remove(&Some(of_circle.id())).unwrap_or_default()),
            None => break,
        }
    }
    let (mut all, mut failed, mut any) = (true, false, told.iter().any(|event| event.depth > 0));
    for (complete, failure, begun) in told.iter().map(|event| tally(&event.deliveries)) {
        (all, failed, any) = (all && complete, failed || failure, any || begun);
    }
    let (phase, outcome) = rolled_up(all, failed, any);
    Ok(Cascade {
        correlation_id: correlation,
        scope: scope.clone(),
        phase,
        outcome,
        blocked_by: Vec::new(),
        events: told,
    })
}

/// The scope that a cascade is in, where only its correlation id is known: that of its first event.
pub(super) fn scope_of(store: &EventStore, correlation: Uuid) -> Result<Scope, DispatchError> {
    Ok(find_event(store, None, correlation)?.scope().clone())
}
