//! SKELETON: signatures only, the real log replaces this file.
#![allow(unused_variables, clippy::unimplemented, missing_docs)]
mod address;
mod append;
mod error;
mod kind;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

pub use address::Address;
pub(crate) use append::NewRecord;
pub use append::{Append, Durability, ExpectedVersion, Receipt, Written};
pub use error::{AppendError, OpenError, ReadError};
pub use kind::RecordKind;

use crate::event::{Envelope, Scope, Timestamp};
use crate::storage::Environment;

pub(crate) const MAX_KEY_LEN: usize = 1024;

/// Options of a store (segment_size, limits, max_queue_bytes ...).
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub segment_size: u64,
}

/// The log of one directory. Cheap to clone (an Arc inside).
#[derive(Clone, Debug)]
pub struct EventStore;

/// An event as it stands in the log: a view of its record's bytes; cheap to clone, accessors decode.
#[derive(Clone, Debug)]
pub struct RecordedEvent;
impl RecordedEvent {
    pub fn id(&self) -> Uuid {
        unimplemented!()
    }
    pub fn event_type(&self) -> &str {
        unimplemented!()
    }
    pub fn scope(&self) -> &Scope {
        unimplemented!()
    }
    pub fn variant(&self) -> Option<&str> {
        unimplemented!()
    }
    pub fn stream(&self) -> &str {
        unimplemented!()
    }
    pub fn version(&self) -> u64 {
        unimplemented!()
    }
    pub fn position(&self) -> u64 {
        unimplemented!()
    }
    pub fn time(&self) -> Timestamp {
        unimplemented!()
    }
    /// micros
    pub fn recorded_at(&self) -> i64 {
        unimplemented!()
    }
    pub fn correlation_id(&self) -> Uuid {
        unimplemented!()
    }
    pub fn causation_id(&self) -> Option<Uuid> {
        unimplemented!()
    }
    pub fn actor(&self) -> Option<&str> {
        unimplemented!()
    }
    /// JSON
    pub fn metadata(&self) -> Option<&[u8]> {
        unimplemented!()
    }
    /// None: JSON
    pub fn content_type(&self) -> Option<&str> {
        unimplemented!()
    }
    pub fn data(&self) -> &[u8] {
        unimplemented!()
    }
    /// revision of the tree that routed it
    pub fn revision(&self) -> Option<u32> {
        unimplemented!()
    }
    pub fn address(&self) -> Address {
        unimplemented!()
    }
    /// For serde_json::to_string(&event.envelope()).
    pub fn envelope(&self) -> Envelope<'_> {
        unimplemented!()
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

#[derive(Clone, Debug)]
pub(crate) enum LogEntry {
    Event(RecordedEvent),
    Record(RoomRecord),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// Which events of the log (builder): all by default.
#[derive(Clone, Debug, Default)]
pub struct Query;
impl Query {
    pub fn new() -> Self {
        unimplemented!()
    }
    /// Events after this position (forwards), before it (backwards).
    #[must_use]
    pub fn after(self, position: u64) -> Self {
        unimplemented!()
    }
    #[must_use]
    pub fn backward(self) -> Self {
        unimplemented!()
    }
    #[must_use]
    pub fn scope(self, scope: &Scope) -> Self {
        unimplemented!()
    }
    #[must_use]
    pub fn stream(self, stream: &str) -> Self {
        unimplemented!()
    }
    #[must_use]
    pub fn type_prefix(self, prefix: &str) -> Self {
        unimplemented!()
    }
    /// recorded_at range in micros, half open
    #[must_use]
    pub fn recorded(self, from: Option<i64>, before: Option<i64>) -> Self {
        unimplemented!()
    }
}

pub type EventIter = Box<dyn Iterator<Item = Result<RecordedEvent, ReadError>> + Send>;

/// A state from a keyframe and the events after it.
#[derive(Clone, Debug)]
pub struct State {
    pub version: u64,
    pub state: serde_json::Value,
    pub keyframe: Option<u64>,
    pub events_read: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum At {
    Now,
    Version(u64),
    RecordedBefore(i64),
    OccurredBefore(i64),
}

#[derive(Clone, Debug)]
pub struct StreamInfo {
    pub scope: Scope,
    pub stream: String,
    pub version: u64,
}

#[derive(Clone, Debug)]
pub struct Stats {
    pub events: u64,
    pub streams: u64,
    pub segments: u64,
    pub sealed: u64,
    pub tail_bytes: u64,
    pub open_us: u64,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub file: String,
    pub offset: u64,
    pub what: String,
}

impl EventStore {
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        unimplemented!()
    }
    pub fn open_with(environment: Environment, options: Options) -> Result<Self, OpenError> {
        unimplemented!()
    }
    /// Blocking.
    pub fn append(&self, append: Append) -> Result<Receipt, AppendError> {
        unimplemented!()
    }
    /// The append goes on even if the future is dropped. Needs no tokio runtime.
    pub fn append_async(&self, append: Append) -> impl Future<Output = Result<Receipt, AppendError>> + Send + 'static {
        async { unimplemented!() }
    }
    pub fn sync(&self) -> Result<(), AppendError> {
        unimplemented!()
    }
    pub fn version(&self, scope: &Scope, stream: &str) -> Result<u64, ReadError> {
        unimplemented!()
    }
    pub fn read_stream(
        &self,
        scope: &Scope,
        stream: &str,
        from: u64,
        direction: Direction,
    ) -> Result<EventIter, ReadError> {
        unimplemented!()
    }
    pub fn read(&self, query: Query) -> Result<EventIter, ReadError> {
        unimplemented!()
    }
    pub fn event(&self, scope: &Scope, id: Uuid) -> Result<Option<RecordedEvent>, ReadError> {
        unimplemented!()
    }
    /// In all scopes.
    pub fn events_with_id(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        unimplemented!()
    }
    pub fn event_at(&self, position: u64) -> Result<Option<RecordedEvent>, ReadError> {
        unimplemented!()
    }
    /// All events of a cascade, by position.
    pub fn correlated(&self, scope: &Scope, correlation_id: Uuid) -> Result<EventIter, ReadError> {
        unimplemented!()
    }
    /// Events directly caused by an event.
    pub fn caused_by(&self, scope: &Scope, causation_id: Uuid) -> Result<EventIter, ReadError> {
        unimplemented!()
    }
    pub fn streams(
        &self,
        scope: Option<&Scope>,
        prefix: &str,
    ) -> Result<Box<dyn Iterator<Item = Result<StreamInfo, ReadError>> + Send>, ReadError> {
        unimplemented!()
    }
    /// Merge fold (RFC 7396) over JSON data.
    pub fn state(&self, scope: &Scope, stream: &str, at: At, use_keyframes: bool) -> Result<State, ReadError> {
        unimplemented!()
    }
    pub fn stats(&self) -> Result<Stats, ReadError> {
        unimplemented!()
    }
    /// Blocking; drops nothing that was acknowledged. Further calls fail with Closed.
    pub fn close(&self) -> Result<(), AppendError> {
        unimplemented!()
    }
    /// Position of the newest durable event.
    pub fn last_position(&self) -> u64 {
        unimplemented!()
    }

    // For other rooms.
    pub(crate) fn environment(&self) -> &Environment {
        unimplemented!()
    }
    /// The end of what is durable: no durable record stands at or after it.
    pub(crate) fn durable_end(&self) -> Address {
        unimplemented!()
    }
    /// Events and room records in log order, of those at or after `from`. Yields None at the durable end; call again later.
    pub(crate) fn follow(&self, from: Address) -> Follow {
        unimplemented!()
    }
    /// Records of one kind at or after `from`, in log order, up to the durable end; skips segments that hold none.
    pub(crate) fn records(
        &self,
        kind: RecordKind,
        from: Address,
    ) -> Result<Box<dyn Iterator<Item = Result<RoomRecord, ReadError>> + Send>, ReadError> {
        unimplemented!()
    }
    /// Records with a key, in log order.
    pub(crate) fn records_with_key(&self, kind: RecordKind, key: &[u8]) -> Result<Vec<RoomRecord>, ReadError> {
        unimplemented!()
    }
    /// Resolves once durable_end() > end, or the store is closed (then Err). No polling, no timer.
    pub(crate) fn beyond(&self, end: Address) -> impl Future<Output = Result<(), ReadError>> + Send + 'static {
        async { unimplemented!() }
    }
}

/// Iterator-like; next() gives Ok(None) at the durable end.
pub(crate) struct Follow;
impl Follow {
    pub(crate) fn next(&mut self) -> Result<Option<LogEntry>, ReadError> {
        unimplemented!()
    }
    /// Where the next entry would stand: store this to go on later.
    pub(crate) fn position(&self) -> Address {
        unimplemented!()
    }
}
type _Unused = Arc<()>;
