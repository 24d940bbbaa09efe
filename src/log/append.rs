//! What is appended, under which conditions, and what the caller gets back.

use bytes::Bytes;
use uuid::Uuid;

use super::RecordKind;
use crate::event::{Event, Scope};

/// What a stream must be like for an append to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Anything.
    #[default]
    Any,
    /// The stream has no events yet.
    NoStream,
    /// The stream has at least one event.
    Exists,
    /// The stream's last event has this version; 0 is the same as [`NoStream`](Self::NoStream).
    Exact(u64),
}

impl ExpectedVersion {
    /// Whether a stream at `version` is as expected.
    pub fn allows(self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => version == 0,
            Self::Exists => version > 0,
            Self::Exact(expected) => version == expected,
        }
    }
}

impl std::fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::Exists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}

/// When an append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on disk: after fdatasync.
    #[default]
    Sync,
    /// Once it is ordered; the receipt says that it is not durable yet. [`EventStore::sync`](super::EventStore::sync)
    /// or the next append with [`Sync`](Self::Sync) makes it so.
    Deferred,
}

/// A record of another room, opaque to the log: a kind, a key to look it up by, bytes.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    pub(crate) kind: RecordKind,
    /// At most [`MAX_KEY_LEN`](super::MAX_KEY_LEN) bytes.
    pub(crate) key: Bytes,
    pub(crate) body: Bytes,
}

/// One append: events for streams of one scope, all of them or none.
///
/// ```
/// use atlas::{Event, log::{Append, ExpectedVersion}};
/// let scope = "bank/loans".parse()?;
/// let append = Append::to(&scope)
///     .event(Event::new("LOAN_OFFER_SENT_COMPLETE_1", "loan-1"))
///     .expect_version("loan-1", ExpectedVersion::NoStream);
/// # Ok::<(), atlas::VocabularyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Append {
    pub(crate) scope: Option<Scope>,
    pub(crate) events: Vec<Event>,
    pub(crate) expected: Vec<(String, ExpectedVersion)>,
    pub(crate) records: Vec<NewRecord>,
    pub(crate) known_caused_by: Option<Uuid>,
    pub(crate) durability: Durability,
}

impl Append {
    /// An append to streams of `scope`; nothing in it yet.
    pub fn to(scope: &Scope) -> Self {
        Self { scope: Some(scope.clone()), ..Self::of_records() }
    }

    /// An append of records of other rooms, without events.
    pub(crate) fn of_records() -> Self {
        Self {
            scope: None,
            events: Vec::new(),
            expected: Vec::new(),
            records: Vec::new(),
            known_caused_by: None,
            durability: Durability::Sync,
        }
    }

    /// Adds an event. Events get positions in the order in which they are added.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Adds events.
    #[must_use]
    pub fn events(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// States what a stream must be like before this append.
    #[must_use]
    pub fn expect_version(mut self, stream: impl Into<String>, expected: ExpectedVersion) -> Self {
        self.expected.push((stream.into(), expected));
        self
    }

    /// States when the append returns. Default [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Adds a record of another room.
    #[must_use]
    pub(crate) fn record(mut self, kind: RecordKind, key: impl Into<Bytes>, body: impl Into<Bytes>) -> Self {
        self.records.push(NewRecord { kind, key: key.into(), body: body.into() });
        self
    }

    /// Events whose ids are known already and that `cause` caused are left out instead of refused.
    #[must_use]
    pub(crate) fn leave_out_known_caused_by(mut self, cause: Uuid) -> Self {
        self.known_caused_by = Some(cause);
        self
    }
}

/// What became of one event of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its id, given or made.
    pub id: Uuid,
    /// Its version in its stream.
    pub version: u64,
    /// Its position in the log.
    pub position: u64,
    /// When it was recorded, in microseconds since the Unix epoch.
    pub recorded_at: i64,
}

/// The answer to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// One for each event, in order.
    pub events: Vec<Written>,
    /// Whether it is on disk: always with [`Durability::Sync`].
    pub durable: bool,
    /// The ids were known, nothing was written, and `events` tells what was written the first time.
    pub repeated: bool,
}
