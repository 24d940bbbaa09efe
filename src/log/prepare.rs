//! What callers do before they queue, in parallel and off every lock: check, look up ids, encode, compute CRCs.

use std::collections::HashSet;

use super::format::encode_room;
use super::part::{Horizon, Part};
use super::prepared::Prepared;
use super::recorded::RecordedEvent;
use super::view::View;
use super::{Append, AppendError, MAX_KEY_LEN, Written};
use crate::event::{Event, Limits, VocabularyError, same_json};
use crate::planted::{Bug, planted};
use crate::storage::Environment;
use uuid::Uuid;

/// What became of the ids of an append.
pub(crate) enum Ids {
    /// All are new (or left out as told): this is to be committed.
    New(Box<Prepared>),
    /// All are known, with the same content: these were written the first time.
    Known(Vec<Written>),
}

/// Checks and encodes an append against a view of the log.
pub(crate) fn prepare(
    append: &Append,
    view: &View,
    limits: &Limits,
    max_commit: usize,
    environment: &Environment,
    spare: Option<Box<Prepared>>,
) -> Result<Ids, AppendError> {
    if append.events.is_empty() && append.records.is_empty() {
        return Err(AppendError::Empty);
    }
    // Before the look-ups: what comes in after it is asked for again when this is committed.
    let scope = append.scope.as_ref();
    let mut prepared = match spare {
        Some(spare) => spare.renew(scope, append.durability, view),
        None => Prepared::new(scope, append.durability, view),
    };
    let left_out = match known_ids(append, view)? {
        KnownIds::None => HashSet::new(),
        KnownIds::LeftOut(left_out) => left_out,
        KnownIds::All(events) => {
            // Badly formed events are refused even so.
            for (index, (event, recorded)) in append.events.iter().zip(&events).enumerate() {
                event.check(limits).map_err(|source| AppendError::Event { index, source })?;
                same_content(event, recorded)?;
            }
            return Ok(Ids::Known(events.iter().map(written).collect()));
        }
    };
    let now = environment.clock.now_micros();
    for (index, event) in append.events.iter().enumerate() {
        let id = event.id.unwrap_or_else(|| environment.entropy.uuid_v7(now));
        if !left_out.contains(&id) {
            let known_type = prepared.find_type(&event.event_type);
            let checked = match known_type {
                // It was checked with the event that brought it.
                Some(_) => event.check_but_type(limits),
                None => event.check(limits),
            };
            let (data, metadata) = checked.map_err(|source| AppendError::Event { index, source })?;
            prepared.event(view, event, id, known_type, data, metadata.map(|bytes| &bytes[..]))?;
        }
    }
    for (stream, expected) in &append.expected {
        prepared.expect(view, stream, *expected)?;
        if planted(Bug::VersionCheckedEarly)
            && let Some(scope) = &append.scope
        {
            let actual = view.head(scope, stream, Horizon::Written)?.0;
            if !expected.allows(actual) {
                return Err(AppendError::Conflict { stream: stream.clone(), expected: *expected, actual });
            }
        }
    }
    for record in &append.records {
        let too_long = VocabularyError::TooLarge {
            what: "a record's key",
            size: record.key.len(),
            limit_name: "MAX_KEY_LEN",
            limit: MAX_KEY_LEN,
        };
        if record.key.len() > MAX_KEY_LEN {
            return Err(AppendError::Event { index: 0, source: too_long });
        }
        prepared.record(record.kind, encode_room(&record.key, &record.body));
    }
    prepared.check_size(max_commit)?;
    Ok(Ids::New(prepared))
}

enum KnownIds {
    None,
    LeftOut(HashSet<Uuid>),
    All(Vec<RecordedEvent>),
}

/// Looks the given ids up, among everything that has its place in the log.
fn known_ids(append: &Append, view: &View) -> Result<KnownIds, AppendError> {
    let Some(scope) = &append.scope else { return Ok(KnownIds::None) };
    let mut known: Vec<RecordedEvent> = Vec::new();
    let ids = || append.events.iter().filter_map(|event| event.id);
    if !view.may_know(ids())? {
        return Ok(KnownIds::None);
    }
    for id in ids() {
        let mut found = view.find_id(Some(scope), id, Horizon::Written)?;
        if planted(Bug::IdsForgotten) {
            found.retain(|(part, _)| matches!(part, Part::Memory(_)));
        }
        if let Some((part, ordinal)) = found.first() {
            known.push(part.event(*ordinal, &mut Default::default())?);
        }
    }
    let Some(first) = known.first() else { return Ok(KnownIds::None) };
    let mut seen = HashSet::new();
    if let Some(id) = ids().find(|id| !seen.insert(*id)) {
        return Err(AppendError::RepeatedId { id });
    }
    if let Some(cause) = append.known_caused_by {
        if let Some(other) = known.iter().find(|event| event.causation_id() != Some(cause)) {
            return Err(AppendError::IdReused { id: other.id(), field: "causation_id" });
        }
        return Ok(KnownIds::LeftOut(known.iter().map(RecordedEvent::id).collect()));
    }
    if known.len() < append.events.len() {
        return Err(AppendError::MixedIds { known: first.id() });
    }
    Ok(KnownIds::All(known))
}

fn written(event: &RecordedEvent) -> Written {
    Written { id: event.id(), version: event.version(), position: event.position(), recorded_at: event.recorded_at() }
}

/// Whether what the caller gives this time is what was recorded. What isn't given isn't compared.
fn same_content(event: &Event, recorded: &RecordedEvent) -> Result<(), AppendError> {
    let body = recorded.body();
    let differs = |field| AppendError::IdReused { id: body.id, field };
    let given = |same: bool, field| if same { Ok(()) } else { Err(differs(field)) };
    given(event.event_type == recorded.event_type(), "type")?;
    given(event.stream == recorded.stream(), "stream")?;
    given(event.time.is_none_or(|time| time == recorded.time()), "time")?;
    given(event.variant.is_none() || event.variant.as_deref() == body.variant, "variant")?;
    given(event.actor.is_none() || event.actor.as_deref() == body.actor, "actor")?;
    let correlation = event.correlation_id.is_none_or(|id| id == recorded.correlation_id());
    given(correlation, "correlation_id")?;
    given(event.causation_id.is_none() || event.causation_id == body.causation_id, "causation_id")?;
    if let Some(Ok(metadata)) = &event.metadata {
        given(body.metadata.is_some_and(|recorded| same_json(metadata, recorded)), "metadata")?;
    }
    if let Some(data) = event.data.as_ref().ok().filter(|_| event.data_is_stated) {
        given(data.content_type.as_deref() == body.content_type, "content_type")?;
        let same = match data.content_type {
            None => same_json(&data.bytes, body.data),
            Some(_) => data.bytes == body.data,
        };
        given(same, "data")?;
    }
    Ok(())
}
