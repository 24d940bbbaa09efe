//! Events and other records as they stand in the log.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::format::EventBody;
use super::{Address, RecordKind};
use crate::event::{Envelope, Scope, Timestamp, to_base64};
use bytestring::ByteString;

/// An event as it stands in the log: a view of its record, which the accessors decode. Cheap to clone; keeps the part of
/// the log it stands in mapped or in memory as long as it lives.
#[derive(Clone)]
pub struct RecordedEvent {
    pub(super) scope: Arc<Scope>,
    pub(super) event_type: ByteString,
    pub(super) stream: ByteString,
    pub(super) version: u64,
    pub(super) position: u64,
    pub(super) recorded_at: i64,
    pub(super) address: Address,
    /// A body that decodes.
    pub(super) body: Bytes,
}

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

impl RecordedEvent {
    pub(super) fn body(&self) -> EventBody<'_> {
        // It decoded when this was made.
        EventBody::decode(&self.body).unwrap_or(NOTHING)
    }

    /// Its id, unique in its scope.
    pub fn id(&self) -> Uuid {
        EventBody::id(&self.body).unwrap_or_default()
    }

    /// Its five-part type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The scope it belongs to.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The variant that chose its tree.
    pub fn variant(&self) -> Option<&str> {
        self.body().variant
    }

    /// Its stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Its number in its stream, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its number in the log, from 1.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        self.body().time.unwrap_or_else(|| Timestamp::from_micros(self.recorded_at))
    }

    /// When it was recorded, in microseconds since the Unix epoch. Never runs backwards along the log.
    pub fn recorded_at(&self) -> i64 {
        self.recorded_at
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
    pub fn actor(&self) -> Option<&str> {
        self.body().actor
    }

    /// Its metadata, JSON.
    pub fn metadata(&self) -> Option<&[u8]> {
        self.body().metadata
    }

    /// What its data are; `None` says JSON.
    pub fn content_type(&self) -> Option<&str> {
        self.body().content_type
    }

    /// Its data, byte for byte as given.
    pub fn data(&self) -> &[u8] {
        self.body().data
    }

    /// The revision of the tree that routed it.
    pub fn revision(&self) -> Option<u32> {
        self.body().revision
    }

    /// Where it stands.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Bytes that its record takes.
    pub(crate) fn record_len(&self) -> usize {
        self.body.len() + super::format::RECORD_HEADER_LEN
    }

    /// Its envelope, for its JSON form.
    pub fn envelope(&self) -> Envelope<'_> {
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
            event_type: Cow::Borrowed(self.event_type()),
            tenant: Cow::Borrowed(self.scope.tenant().as_str()),
            application: Cow::Borrowed(self.scope.application().as_str()),
            variant: body.variant.map(Cow::Borrowed),
            stream: Cow::Borrowed(self.stream()),
            version: Some(self.version),
            position: Some(self.position),
            time: Some(self.time()),
            recorded_at: Some(Timestamp::from_micros(self.recorded_at)),
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

impl std::fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.position)
            .field("scope", &self.scope.to_string())
            .field("stream", &self.stream())
            .field("version", &self.version)
            .field("type", &self.event_type())
            .field("id", &self.id())
            .finish_non_exhaustive()
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
