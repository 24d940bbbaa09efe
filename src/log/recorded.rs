//! Events and other records as they stand in the log: lent while a reader is where they are, or kept.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::format::EventBody;
use super::{Address, RecordKind};
use crate::event::{Envelope, Scope, Timestamp, to_base64};
use bytestring::ByteString;

const NOTHING: EventBody<'_> = EventBody {
    id: Uuid::nil(),
    time: None,
    correlation_id: None,
    causation_id: None,
    revision: None,
    variant: None,
    actor: None,
    content_type: None,
    metadata: None,
    data: &[],
};

/// Numbers of an event, and where its data begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventNumbers {
    pub(super) version: u64,
    pub(super) position: u64,
    pub(super) recorded_at: i64,
    pub(super) address: Address,
    /// Where in the body the data begin.
    pub(super) data_at: usize,
}

/// An event as it stands in the log, lent: what [`Events::next_ref`](super::Events::next_ref) gives. Nothing of it is
/// copied, and its accessors decode what is asked for.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    pub(super) scope: &'a Arc<Scope>,
    pub(super) event_type: &'a ByteString,
    pub(super) stream: &'a ByteString,
    pub(super) numbers: &'a EventNumbers,
    /// A body that decodes.
    pub(super) body: &'a [u8],
    /// What the body is a part of.
    pub(super) bytes: &'a Bytes,
}

/// An event as it stands in the log, kept. Cheap to clone; keeps the part of the log it stands in mapped or in memory as
/// long as it lives.
#[derive(Clone)]
pub struct RecordedEvent {
    scope: Arc<Scope>,
    event_type: ByteString,
    stream: ByteString,
    numbers: EventNumbers,
    /// A body that decodes.
    body: Bytes,
}

impl<'a> EventRef<'a> {
    pub(super) fn body(&self) -> EventBody<'a> {
        // It decoded when this was made.
        EventBody::decode(self.body).unwrap_or(NOTHING)
    }

    /// The same event, to be kept.
    pub fn to_recorded(&self) -> RecordedEvent {
        RecordedEvent {
            scope: self.scope.clone(),
            event_type: self.event_type.clone(),
            stream: self.stream.clone(),
            numbers: *self.numbers,
            body: self.bytes.slice_ref(self.body),
        }
    }

    /// Its id, unique in its scope.
    pub fn id(&self) -> Uuid {
        EventBody::id(self.body).unwrap_or_default()
    }

    /// Its five-part type.
    pub fn event_type(&self) -> &'a str {
        self.event_type
    }

    /// The scope it belongs to.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }

    /// The variant that chose its tree.
    pub fn variant(&self) -> Option<&'a str> {
        self.body().variant
    }

    /// Its stream.
    pub fn stream(&self) -> &'a str {
        self.stream
    }

    /// Its number in its stream, from 1.
    pub fn version(&self) -> u64 {
        self.numbers.version
    }

    /// Its number in the log, from 1.
    pub fn position(&self) -> u64 {
        self.numbers.position
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        self.body().time.unwrap_or_else(|| Timestamp::from_micros(self.numbers.recorded_at))
    }

    /// When it was recorded, in microseconds since the Unix epoch. Never runs backwards along the log.
    pub fn recorded_at(&self) -> i64 {
        self.numbers.recorded_at
    }

    /// The id of the cascade it is part of.
    pub fn correlation_id(&self) -> Uuid {
        let body = self.body();
        body.correlation_id.unwrap_or(body.id)
    }

    /// The event that caused it.
    pub fn causation_id(&self) -> Option<Uuid> {
        self.body().causation_id
    }

    /// Who acted.
    pub fn actor(&self) -> Option<&'a str> {
        self.body().actor
    }

    /// Its metadata, JSON.
    pub fn metadata(&self) -> Option<&'a [u8]> {
        self.body().metadata
    }

    /// What its data are; `None` says JSON.
    pub fn content_type(&self) -> Option<&'a str> {
        self.body().content_type
    }

    /// Its data, byte for byte as given.
    pub fn data(&self) -> &'a [u8] {
        self.body.get(self.numbers.data_at..).unwrap_or_default()
    }

    /// The revision of the tree that routed it.
    pub fn revision(&self) -> Option<u32> {
        self.body().revision
    }

    /// Where it stands.
    pub fn address(&self) -> Address {
        self.numbers.address
    }

    /// Bytes that its record takes.
    pub(crate) fn record_len(&self) -> usize {
        self.body.len() + super::format::RECORD_HEADER_LEN
    }

    /// Its envelope, for its JSON form.
    pub fn envelope(&self) -> Envelope<'a> {
        let body = self.body();
        fn json(bytes: &[u8]) -> Option<&serde_json::value::RawValue> {
            serde_json::from_slice(bytes).ok()
        }
        let (data, data_base64) = match body.content_type {
            None => (json(body.data), None),
            Some(_) => (None, Some(Cow::Owned(to_base64(body.data)))),
        };
        Envelope {
            id: Some(body.id),
            event_type: Cow::Borrowed(self.event_type),
            tenant: Cow::Borrowed(self.scope.tenant().as_str()),
            application: Cow::Borrowed(self.scope.application().as_str()),
            variant: body.variant.map(Cow::Borrowed),
            stream: Cow::Borrowed(self.stream),
            version: Some(self.numbers.version),
            position: Some(self.numbers.position),
            time: Some(self.time()),
            recorded_at: Some(Timestamp::from_micros(self.numbers.recorded_at)),
            correlation_id: Some(body.correlation_id.unwrap_or(body.id)),
            causation_id: body.causation_id,
            actor: body.actor.map(Cow::Borrowed),
            revision: body.revision,
            metadata: body.metadata.and_then(json),
            content_type: body.content_type.map(Cow::Borrowed),
            data_base64,
            data,
        }
    }
}

impl RecordedEvent {
    /// The same event, lent.
    pub fn lend(&self) -> EventRef<'_> {
        let Self { scope, event_type, stream, numbers, body } = self;
        EventRef { scope, event_type, stream, numbers, body, bytes: body }
    }

    pub(super) fn body(&self) -> EventBody<'_> {
        self.lend().body()
    }

    /// Its id, unique in its scope.
    pub fn id(&self) -> Uuid {
        self.lend().id()
    }

    /// Its five-part type.
    pub fn event_type(&self) -> &str {
        self.lend().event_type()
    }

    /// The scope it belongs to.
    pub fn scope(&self) -> &Scope {
        self.lend().scope()
    }

    /// The variant that chose its tree.
    pub fn variant(&self) -> Option<&str> {
        self.lend().variant()
    }

    /// Its stream.
    pub fn stream(&self) -> &str {
        self.lend().stream()
    }

    /// Its number in its stream, from 1.
    pub fn version(&self) -> u64 {
        self.lend().version()
    }

    /// Its number in the log, from 1.
    pub fn position(&self) -> u64 {
        self.lend().position()
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        self.lend().time()
    }

    /// When it was recorded, in microseconds since the Unix epoch. Never runs backwards along the log.
    pub fn recorded_at(&self) -> i64 {
        self.lend().recorded_at()
    }

    /// The id of the cascade it is part of.
    pub fn correlation_id(&self) -> Uuid {
        self.lend().correlation_id()
    }

    /// The event that caused it.
    pub fn causation_id(&self) -> Option<Uuid> {
        self.lend().causation_id()
    }

    /// Who acted.
    pub fn actor(&self) -> Option<&str> {
        self.lend().actor()
    }

    /// Its metadata, JSON.
    pub fn metadata(&self) -> Option<&[u8]> {
        self.lend().metadata()
    }

    /// What its data are; `None` says JSON.
    pub fn content_type(&self) -> Option<&str> {
        self.lend().content_type()
    }

    /// Its data, byte for byte as given.
    pub fn data(&self) -> &[u8] {
        self.lend().data()
    }

    /// The revision of the tree that routed it.
    pub fn revision(&self) -> Option<u32> {
        self.lend().revision()
    }

    /// Where it stands.
    pub fn address(&self) -> Address {
        self.lend().address()
    }

    /// Its envelope, for its JSON form.
    pub fn envelope(&self) -> Envelope<'_> {
        self.lend().envelope()
    }
}

impl std::fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRef")
            .field("position", &self.position())
            .field("scope", &self.scope.to_string())
            .field("stream", &self.stream())
            .field("version", &self.version())
            .field("type", &self.event_type())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lend().fmt(f)
    }
}

/// A record of another room.
#[derive(Clone, Debug)]
pub(crate) struct RoomRecord {
    pub(crate) kind: RecordKind,
    pub(crate) key: Bytes,
    pub(crate) body: Bytes,
    pub(crate) address: Address,
    pub(crate) recorded_at: i64,
}

/// An event or a record of another room.
#[derive(Clone, Debug)]
pub(crate) enum LogEntry {
    Event(RecordedEvent),
    Record(RoomRecord),
}
