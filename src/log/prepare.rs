//! What callers do before they queue, in parallel and off every lock: check, look up ids, encode, compute CRCs.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use uuid::Uuid;

use super::format::{RECORD_HEADER_LEN, crc_of_body, encode_event, encode_room};
use super::part::{Horizon, Part};
use super::recorded::RecordedEvent;
use super::view::View;
use super::{Append, AppendError, Durability, ExpectedVersion, MAX_KEY_LEN, RecordKind, Written};
use crate::event::{Event, Limits, Scope, VocabularyError};
use crate::planted::{Bug, planted};
use crate::storage::Environment;

/// A stream that an append writes to or expects something of.
#[derive(Debug)]
pub(crate) struct PreparedStream {
    pub(crate) id: String,
    pub(crate) expected: Vec<ExpectedVersion>,
    /// Its version and newest segment among the parts before the active one, as of [`Prepared::tail`].
    pub(crate) head: (u64, u32),
}

/// An event, encoded.
#[derive(Debug)]
pub(crate) struct PreparedEvent {
    pub(crate) id: Uuid,
    pub(crate) event_type: String,
    /// Index into [`Prepared::streams`].
    pub(crate) stream: usize,
    pub(crate) body: Vec<u8>,
    pub(crate) body_crc: u32,
}

/// A record of another room, encoded.
#[derive(Debug)]
pub(crate) struct PreparedRecord {
    pub(crate) kind: RecordKind,
    pub(crate) body: Vec<u8>,
    pub(crate) body_crc: u32,
}

/// A keyframe, encoded.
#[derive(Debug)]
pub(crate) struct PreparedKeyframe {
    /// Index into [`Prepared::streams`].
    pub(crate) stream: usize,
    pub(crate) version: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) body_crc: u32,
}

/// History that is written as it was recorded elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsRecorded {
    pub(crate) first_position: u64,
    pub(crate) recorded_at: i64,
}

/// An append, ready to be committed.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) scope: Option<Scope>,
    pub(crate) streams: Vec<PreparedStream>,
    stream_numbers: HashMap<String, usize>,
    pub(crate) events: Vec<PreparedEvent>,
    pub(crate) records: Vec<PreparedRecord>,
    pub(crate) keyframes: Vec<PreparedKeyframe>,
    pub(crate) as_recorded: Option<AsRecorded>,
    pub(crate) durability: Durability,
    /// The active segment when the look-ups were made; what was sealed since must be asked again.
    pub(crate) tail: u32,
    /// Bytes it takes at most, symbols included.
    pub(crate) size: usize,
}

/// What became of the ids of an append.
pub(crate) enum Ids {
    /// All are new (or left out as told): this is to be committed.
    New(Prepared),
    /// All are known, with the same content: these were written the first time.
    Known(Vec<Written>),
}

fn room_for(body: usize) -> usize {
    body + RECORD_HEADER_LEN
}

impl Prepared {
    /// An empty one.
    pub(crate) fn new(scope: Option<Scope>, durability: Durability, tail: u32) -> Self {
        Self {
            scope,
            streams: Vec::new(),
            stream_numbers: HashMap::new(),
            events: Vec::new(),
            records: Vec::new(),
            keyframes: Vec::new(),
            as_recorded: None,
            durability,
            tail,
            size: super::format::FRAME_HEADER_LEN + 8,
        }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.records.is_empty() && self.keyframes.is_empty()
    }

    /// The number of a stream, added where it is new; its head is looked up in the parts before the active one.
    pub(crate) fn stream(&mut self, view: &View, id: &str) -> Result<usize, AppendError> {
        if let Some(known) = self.stream_numbers.get(id) {
            return Ok(*known);
        }
        let head = match &self.scope {
            Some(scope) => view.head_before_tail(scope, id)?,
            None => (0, 0),
        };
        self.stream_numbers.insert(id.to_owned(), self.streams.len());
        self.streams.push(PreparedStream { id: id.to_owned(), expected: Vec::new(), head });
        // Its symbol, and perhaps its scope's.
        self.size += 2 * room_for(16) + id.len() + 2 * crate::event::MAX_NAME_LEN;
        Ok(self.streams.len() - 1)
    }

    pub(crate) fn keyframe(
        &mut self,
        view: &View,
        stream: &str,
        version: u64,
        body: Vec<u8>,
    ) -> Result<(), AppendError> {
        let stream = self.stream(view, stream)?;
        self.size += room_for(body.len());
        let body_crc = crc_of_body(&body);
        self.keyframes.push(PreparedKeyframe { stream, version, body, body_crc });
        Ok(())
    }

    fn event(&mut self, view: &View, event: &Event, id: Uuid, limits: &Limits) -> Result<(), AppendError> {
        let index = self.events.len();
        let (data, metadata) = event.check(limits).map_err(|source| AppendError::Event { index, source })?;
        let stream = self.stream(view, &event.stream)?;
        let body = encode_event(event, id, data, metadata.map(|bytes| &bytes[..]));
        self.push(stream, &event.event_type, id, body);
        Ok(())
    }

    fn push(&mut self, stream: usize, event_type: &str, id: Uuid, body: Vec<u8>) {
        let event_type = event_type.to_owned();
        self.size += room_for(body.len()) + room_for(event_type.len() + 1);
        let body_crc = crc_of_body(&body);
        self.events.push(PreparedEvent { id, event_type, stream, body, body_crc });
    }

    /// Adds an event that is encoded already.
    pub(crate) fn add_event(
        &mut self,
        view: &View,
        stream: &str,
        event_type: &str,
        id: Uuid,
        body: Vec<u8>,
    ) -> Result<(), AppendError> {
        let stream = self.stream(view, stream)?;
        self.push(stream, event_type, id, body);
        Ok(())
    }

    /// Whether it holds an event with this id.
    pub(crate) fn holds(&self, id: Uuid) -> bool {
        self.events.iter().any(|event| event.id == id)
    }
}

/// Checks and encodes an append against a view of the log.
pub(crate) fn prepare(
    append: &Append,
    view: &View,
    limits: &Limits,
    max_commit: usize,
    environment: &Environment,
) -> Result<Ids, AppendError> {
    if append.events.is_empty() && append.records.is_empty() {
        return Err(AppendError::Empty);
    }
    let left_out = match known_ids(append, view)? {
        KnownIds::None => Vec::new(),
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
    let mut prepared = Prepared::new(append.scope.clone(), append.durability, view.tail());
    let now = environment.clock.now_micros();
    for event in &append.events {
        let id = event.id.unwrap_or_else(|| environment.entropy.uuid_v7(now));
        if !left_out.contains(&id) {
            prepared.event(view, event, id, limits)?;
        }
    }
    for (stream, expected) in &append.expected {
        let number = prepared.stream(view, stream)?;
        if planted(Bug::VersionCheckedEarly)
            && let Some(scope) = &append.scope
        {
            let actual = view.head(scope, stream, Horizon::Written)?.0;
            if !expected.allows(actual) {
                return Err(AppendError::Conflict { stream: stream.clone(), expected: *expected, actual });
            }
        }
        if let Some(stream) = prepared.streams.get_mut(number) {
            stream.expected.push(*expected);
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
        let body = encode_room(&record.key, &record.body);
        prepared.size += room_for(body.len());
        let body_crc = crc_of_body(&body);
        prepared.records.push(PreparedRecord { kind: record.kind, body, body_crc });
    }
    check_size(&prepared, max_commit)?;
    Ok(Ids::New(prepared))
}

pub(crate) fn check_size(prepared: &Prepared, max_commit: usize) -> Result<(), AppendError> {
    if prepared.size > max_commit {
        return Err(AppendError::TooLarge { size: prepared.size, limit: max_commit });
    }
    Ok(())
}

enum KnownIds {
    None,
    LeftOut(Vec<Uuid>),
    All(Vec<RecordedEvent>),
}

/// Looks the given ids up, among everything that has its place in the log.
fn known_ids(append: &Append, view: &View) -> Result<KnownIds, AppendError> {
    let Some(scope) = &append.scope else { return Ok(KnownIds::None) };
    let mut seen = HashSet::new();
    let mut known: Vec<RecordedEvent> = Vec::new();
    for event in &append.events {
        let Some(id) = event.id else { continue };
        if !seen.insert(id) {
            return Err(AppendError::RepeatedId { id });
        }
        let mut found = view.find_id(Some(scope), id, Horizon::Written)?;
        if planted(Bug::IdsForgotten) {
            found.retain(|(part, _)| matches!(part, Part::Memory(_)));
        }
        if let Some((part, ordinal)) = found.first() {
            known.push(part.event(*ordinal, &mut Default::default())?);
        }
    }
    let Some(first) = known.first() else { return Ok(KnownIds::None) };
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

fn same_json(a: &Bytes, b: &[u8]) -> bool {
    let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).ok();
    *a == *b || value(a).is_some_and(|a| Some(a) == value(b))
}
