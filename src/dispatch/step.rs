//! What happens to an event on its way through dispatch, step by step: told to a host's observer as it comes, and by `trail`
//! from what is on record.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Outcome;
use super::queue_record::QueueRecord;
use super::record::DeliveryRecord;
use crate::event::{Name, Timestamp};
use crate::log::RecordedEvent;

/// Something that happened to an event, or to one of its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The event came in, and was routed by a revision; `None` of one that was appended without routing.
    Received {
        /// The revision.
        revision: Option<u32>,
    },
    /// The guard of the handler says no: there is no delivery.
    Skipped,
    /// An attempt starts.
    Started {
        /// Which, from 1; a release starts anew.
        attempt: u32,
        /// How many calls the delivery makes.
        calls: u32,
        /// Where: [`Options::worker`](super::Options::worker) of the process that makes it.
        #[serde(skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
    },
    /// One of several calls succeeded; the last one is told by `Completed`.
    CallDone {
        /// Which, from 1.
        call: u32,
        /// What the function gave as output.
        output: Option<Value>,
        /// The events that it emitted.
        emitted: Vec<Uuid>,
    },
    /// An attempt failed, and another one follows.
    Failed {
        /// Which, from 1.
        attempt: u32,
        /// Why.
        error: String,
        /// When the next one is due.
        next_attempt: Timestamp,
    },
    /// It is out of attempts and waits for an operator.
    Parked {
        /// How many there were.
        attempts: u32,
        /// Why the last one failed.
        error: String,
    },
    /// An operator has it tried again, with attempts from nought.
    Released {
        /// Who.
        actor: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// An operator gave it up: Complete, Failure.
    Dropped {
        /// Who.
        actor: Option<String>,
        /// Why.
        reason: String,
    },
    /// A message is in its queue.
    Queued {
        /// The queue.
        queue: Name,
        /// The message.
        message: Uuid,
        /// The call that it is of, from 1.
        call: u32,
    },
    /// Somebody took the message.
    Leased {
        /// The message.
        message: Uuid,
        /// Until when it is theirs.
        until: Timestamp,
    },
    /// Whoever took the message is done with it.
    Acknowledged {
        /// The message.
        message: Uuid,
    },
    /// The delivery has ended.
    Completed {
        /// How.
        outcome: Outcome,
        /// Attempts since the beginning or the last release.
        attempts: u32,
        /// What the function gave as output at its last call.
        output: Option<Value>,
        /// Why it failed.
        error: Option<String>,
        /// The events that the last call emitted.
        emitted: Vec<Uuid>,
    },
}

impl Step {
    /// What a record of a delivery tells; `worker` is where its attempts were made.
    pub(super) fn of_delivery(record: DeliveryRecord, worker: Option<String>) -> Self {
        let json = |output: Option<bytes::Bytes>| output.and_then(|output| serde_json::from_slice(&output).ok());
        match record {
            DeliveryRecord::Started { attempt, calls } => Self::Started { attempt, calls: calls.count, worker },
            DeliveryRecord::CallDone { call, output, emitted } => {
                Self::CallDone { call, output: json(output), emitted }
            }
            DeliveryRecord::Retry { attempt, next_at, error } => {
                Self::Failed { attempt, error, next_attempt: Timestamp::from_micros(next_at) }
            }
            DeliveryRecord::Parked { attempts, error } => Self::Parked { attempts, error },
            DeliveryRecord::Released { actor, reason } => Self::Released { actor, reason },
            DeliveryRecord::Dropped { actor, reason } => Self::Dropped { actor, reason },
            DeliveryRecord::Completed { outcome, attempts, output, error, emitted } => {
                Self::Completed { outcome, attempts, output: json(output), error, emitted }
            }
        }
    }

    /// What a record of a queue tells of a message.
    pub(super) fn of_message(record: QueueRecord, message: Uuid) -> Self {
        match record {
            QueueRecord::Message { queue, call, .. } => Self::Queued { queue, message, call },
            QueueRecord::Leased { until, .. } => Self::Leased { message, until: Timestamp::from_micros(until) },
            QueueRecord::Acknowledged { .. } => Self::Acknowledged { message },
        }
    }
}

type Observer = Box<dyn Fn(Observed<'_>) + Send + Sync>;

/// A host's functions that are told of steps.
#[derive(Default)]
pub(crate) struct Observers(pub(crate) Vec<Observer>);

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

/// A step, as an observer is told of it once it is on record.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The event that it is a step of.
    pub event: &'a RecordedEvent,
    /// The handler, where it is a step of a delivery.
    pub handler: Option<&'a Name>,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub step: &'a Step,
}
