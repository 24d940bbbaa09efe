//! What can go wrong in dispatch.

use thiserror::Error;
use uuid::Uuid;

use crate::event::{Name, Scope, VocabularyError};
use crate::log::{Address, AppendError, ReadError};
use crate::routing::RouteError;
use crate::storage::DatabaseError;

/// Dispatch can't do what was asked, or has stopped. Cheap to clone: one failure is told to all who wait.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log can't be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// `dispatch.redb` can't be read or written; it is derived, and made anew from the log where it is missing.
    #[error(
        "{0}; the file is derived from the log: open the store again, and where it is damaged `atlas rebuild` makes it anew"
    )]
    Database(std::sync::Arc<DatabaseError>),
    /// A row of `dispatch.redb` isn't what was written.
    #[error("dispatch.redb: a row of table {table} can't be read; `atlas rebuild` makes the file anew")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// `dispatch.redb` tells of more than the log holds: the log has lost data.
    #[error("dispatch.redb reflects the log up to {reflects}, which ends at {end}: the log has lost data")]
    AheadOfLog {
        /// The address that the file reflects.
        reflects: Address,
        /// The durable end of the log.
        end: Address,
    },
    /// A record of dispatch in the log isn't one that this version of Atlas reads.
    #[error("log record at {address}: not a record of dispatch that this version of Atlas reads")]
    Record {
        /// Where it stands.
        address: Address,
    },
    /// The plan of a recorded event can't be had.
    #[error("the plan of event {event}: {source}")]
    Plan {
        /// The event.
        event: Uuid,
        /// What routing says.
        #[source]
        source: std::sync::Arc<RouteError>,
    },
    /// An option can't be used.
    #[error("option {name}: {what}")]
    Option {
        /// Its name.
        name: &'static str,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// The schema of a queue can't be had.
    #[error("the schema of a queue: {source}")]
    Schema {
        /// What routing says.
        #[source]
        source: std::sync::Arc<RouteError>,
    },
    /// The scope has no such queue.
    #[error("{scope} has no queue {queue}; expected {}", if queues.is_empty() { "a queue of an active tree, and no tree in use gives it any".to_owned() } else { format!("one of its queues: {}", names(queues)) })]
    NoSuchQueue {
        /// The scope.
        scope: Scope,
        /// The queue.
        queue: Name,
        /// The queues that it has.
        queues: Vec<Name>,
    },
    /// There is no room in the queue.
    #[error(
        "queue {queue} of {scope} has room for {left} of its max_depth of {max_depth}, not for {count}; expected fewer messages, or some of it taken and acknowledged first"
    )]
    QueueFull {
        /// The scope.
        scope: Scope,
        /// The queue.
        queue: Name,
        /// How many messages were to be put.
        count: u64,
        /// How many it has room for.
        left: u64,
        /// The most that it may hold.
        max_depth: u64,
    },
    /// A message can't be put.
    #[error("message {number}: {what}")]
    Put {
        /// Which of those that were to be put, from 1.
        number: usize,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// The id of a message that is to be put is that of a message with other data, or of another queue.
    #[error(
        "message {number}: the id {id} is that of a message of queue {queue} with other data, or of a message that a handler put; expected the same queue and data, or a new id"
    )]
    MessageIdReused {
        /// Which of those that were to be put, from 1.
        number: usize,
        /// The id.
        id: Uuid,
        /// The queue of the message that has it.
        queue: Name,
    },
    /// A name, id or scope isn't well formed.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// There is no such event.
    #[error("no event has the id {id}")]
    NoSuchEvent {
        /// The id.
        id: Uuid,
    },
    /// Events of several scopes have the id.
    #[error("events of {} scopes have the id {id}: {}; expected one of these scopes with the id", scopes.len(), list(scopes))]
    Ambiguous {
        /// The id.
        id: Uuid,
        /// The scopes.
        scopes: Vec<Scope>,
    },
    /// A delivery id isn't well formed.
    #[error("{found:?} is not a delivery id; expected EVENT-ID/HANDLER")]
    DeliveryId {
        /// The text found.
        found: String,
    },
    /// The event has no delivery of that handler.
    #[error("event {event} has no delivery {handler}; it has {}", if deliveries.is_empty() { "none".to_owned() } else { deliveries.join(", ") })]
    NoSuchDelivery {
        /// The event.
        event: Uuid,
        /// The handler asked for.
        handler: String,
        /// The handlers that it has deliveries of.
        deliveries: Vec<String>,
    },
    /// Only a delivery that is parked can be released.
    #[error("delivery {delivery} is {found}; only a parked one can be released")]
    NotParked {
        /// The delivery.
        delivery: String,
        /// Its phase.
        found: String,
    },
    /// A delivery that is complete or in process can't be dropped.
    #[error("delivery {delivery} is {found}; only a pending or parked one can be dropped")]
    NotDroppable {
        /// The delivery.
        delivery: String,
        /// Its phase.
        found: String,
    },
    /// A cascade has more events than can be told at once.
    #[error("the cascade has more than {limit} events (MAX_CASCADE_EVENTS)")]
    CascadeTooLarge {
        /// The limit.
        limit: usize,
    },
    /// No queue of the scope holds the message.
    #[error("no message {id}; it was never there, or is acknowledged or dropped")]
    NoSuchMessage {
        /// The message id.
        id: Uuid,
    },
    /// A timer can't be set.
    #[error("the timer can't be set: {what}")]
    Timer {
        /// What is wrong, and what was expected.
        what: String,
    },
    /// No timer of the scope is set under the id.
    #[error("no timer {id} is set; it never was, has fired or is firing, or was cancelled")]
    NoSuchTimer {
        /// The timer's id.
        id: Uuid,
    },
    /// Somebody else has taken the message since.
    #[error("the lease {receipt} of message {id} is lost: {}", newest.map_or("it was never given".to_owned(), |newest| format!("it was taken again since, under receipt {newest}")))]
    LeaseLost {
        /// The message id.
        id: Uuid,
        /// The receipt given.
        receipt: u64,
        /// That of its newest lease.
        newest: Option<u64>,
    },
    /// Only a message that somebody took can be given back; only one whose lease runs can be extended.
    #[error("message {id} is {found}; expected one that is leased")]
    NotLeased {
        /// The message id.
        id: Uuid,
        /// What it is.
        found: super::MessageState,
    },
    /// Only a dead letter can be requeued.
    #[error("message {id} is {found}; only a dead letter can be requeued, and what stands behind it follows")]
    NotDead {
        /// The message id.
        id: Uuid,
        /// What it is.
        found: super::MessageState,
    },
    /// A lease or a delay is longer than it may be.
    #[error("{what} of {found:?}; expected at most {limit:?} ({name})")]
    TooLong {
        /// A lease, or a delay.
        what: &'static str,
        /// How long it would be.
        found: std::time::Duration,
        /// The longest.
        limit: std::time::Duration,
        /// The limit's name.
        name: &'static str,
    },
    /// The queue has consumer groups, and none was named.
    #[error("queue {queue} of {scope} has groups; expected one of them: {}", names(groups))]
    GroupMissing {
        /// The scope.
        scope: Scope,
        /// The queue.
        queue: Name,
        /// Its groups.
        groups: Vec<Name>,
    },
    /// The queue has no such consumer group, nor messages left for it.
    #[error("queue {queue} of {scope} has no group {group:?}; expected {}", if groups.is_empty() { "none: it has no groups".to_owned() } else { format!("one of {}", names(groups)) })]
    NoSuchGroup {
        /// The scope.
        scope: Scope,
        /// The queue.
        queue: Name,
        /// The group asked for.
        group: String,
        /// Its groups.
        groups: Vec<Name>,
    },
    /// Deliveries aren't served here, so waiting for them would never end.
    #[error("deliveries are not served: the store was opened with dispatch(false)")]
    NotServing,
    /// What is ingested while history is imported would count as history.
    #[error("an import of history is under way; expected events only after its end")]
    ImportUnderWay,
    /// The runtime on which handlers ran is gone, and dispatch with it; the store goes on.
    #[error("the runtime that dispatch ran on is shut down; open the store again to serve deliveries")]
    RuntimeGone,
    /// The thread of dispatch could not be started.
    #[error("the thread of dispatch can't be started: {0}")]
    Thread(std::sync::Arc<std::io::Error>),
    /// The thread of dispatch panicked, which is a fault of Atlas; the store goes on.
    #[error("the thread of dispatch has panicked; open the store again to serve deliveries")]
    Panicked,
    /// Dispatch was stopped.
    #[error("dispatch is stopped")]
    Stopped,
}

impl DispatchError {
    /// Whether `dispatch.redb` found the disk full.
    pub(super) fn is_full_disk(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let redb::Error::Io(error) = &*error.source else { return false };
        matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }
}

fn list(scopes: &[Scope]) -> String {
    scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(", ")
}

fn names(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

impl From<DatabaseError> for DispatchError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(std::sync::Arc::new(error))
    }
}
