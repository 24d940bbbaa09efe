//! What happens to an event on its way through dispatch, step by step: told to a host's observer as it comes, and by `trail`
//! from what is on record.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Outcome;
use super::queue_record::{Happening, Origin, QueueRecord, Then};
use super::record::DeliveryRecord;
use super::timers::{TimerRecord, What};
use crate::event::{Name, Scope, Timestamp};
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
    /// Somebody outside put a message into a queue.
    Put {
        /// The queue.
        queue: Name,
        /// The message.
        message: Uuid,
        /// Who.
        #[serde(skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
    },
    /// The message was one of an input queue, and came in as an event.
    Ingested {
        /// The message.
        message: Uuid,
        /// The event.
        event: Uuid,
    },
    /// The message is one of an input queue and can't come in: it is a dead letter.
    Refused {
        /// The queue.
        queue: Name,
        /// The message.
        message: Uuid,
        /// Why.
        error: String,
    },
    /// Somebody took the message.
    Leased {
        /// The message.
        message: Uuid,
        /// Until when it is theirs.
        until: Timestamp,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
    },
    /// Whoever took the message is done with it.
    Acknowledged {
        /// The message.
        message: Uuid,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
    },
    /// Whoever took the message gave it back.
    Nacked {
        /// The message.
        message: Uuid,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
        /// Why.
        reason: String,
        /// From when on it can be taken; `None`: at once, or not at all.
        not_before: Option<Timestamp>,
        /// It was taken as often as it may be, and is a dead letter.
        dead: bool,
    },
    /// Whoever took the message has it until another time.
    Extended {
        /// The message.
        message: Uuid,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
        /// Until when it is theirs.
        until: Timestamp,
    },
    /// The message was taken as often as it may be, its last lease ran out, and it is a dead letter.
    Dead {
        /// The message.
        message: Uuid,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
    },
    /// An operator has a dead letter given out again, with receives from nought.
    Requeued {
        /// The message.
        message: Uuid,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
        /// Who.
        actor: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// An operator removed the message.
    MessageDropped {
        /// The message.
        message: Uuid,
        /// For which group of the queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Name>,
        /// Who.
        actor: Option<String>,
        /// Why.
        reason: String,
    },
    /// A timer was set: its event comes in when it is due.
    TimerSet {
        /// The timer, and its event.
        timer: Uuid,
        /// When.
        due: Timestamp,
    },
    /// The timer's event came in.
    TimerFired {
        /// The timer, and its event.
        timer: Uuid,
    },
    /// The timer was taken back.
    TimerCancelled {
        /// The timer.
        timer: Uuid,
        /// Who.
        actor: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// The timer was due, and its event was refused.
    TimerFailed {
        /// The timer.
        timer: Uuid,
        /// Why.
        error: String,
    },
    /// A schedule has occurred: its event came in, or was refused.
    Occurred {
        /// The schedule: its name, or `variant/name`.
        schedule: String,
        /// When it was due.
        due: Timestamp,
        /// Why its event was refused.
        error: Option<String>,
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
        let (queue, group, what) = match record {
            QueueRecord::Message(queued) => {
                let queue = queued.queue;
                return match queued.origin {
                    Origin::Call { call, .. } => Self::Queued { queue, message, call },
                    Origin::Outside { actor } => Self::Put { queue, message, actor },
                };
            }
            QueueRecord::Happened { of, what, .. } => (of.queue, of.group, what),
        };
        match what {
            Happening::Leased { until } => Self::Leased { message, until: Timestamp::from_micros(until), group },
            Happening::Acknowledged => Self::Acknowledged { message, group },
            Happening::Nacked { then, reason } => {
                let not_before = match then {
                    Then::Waits(until) => Some(Timestamp::from_micros(until)),
                    Then::Free | Then::Dead => None,
                };
                Self::Nacked { message, group, reason, not_before, dead: then == Then::Dead }
            }
            Happening::Extended { until } => Self::Extended { message, group, until: Timestamp::from_micros(until) },
            Happening::Dead => Self::Dead { message, group },
            Happening::Requeued { actor, reason } => Self::Requeued { message, group, actor, reason },
            Happening::Ingested { event } => Self::Ingested { message, event },
            Happening::Refused { error } => Self::Refused { queue, message, error },
            Happening::Dropped { actor, reason } => Self::MessageDropped { message, group, actor, reason },
        }
    }
}

impl Step {
    /// What a record tells of a timer, or of a schedule.
    pub(super) fn of_timer(record: TimerRecord, timer: Uuid) -> Self {
        let due = Timestamp::from_micros(record.due);
        match record.what {
            What::Set { .. } => Self::TimerSet { timer, due },
            What::Fired => Self::TimerFired { timer },
            What::Cancelled { actor, reason } => Self::TimerCancelled { timer, actor, reason },
            What::Failed { error } => Self::TimerFailed { timer, error },
            What::Occurred { schedule, error, .. } => Self::Occurred { schedule, due, error },
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
    /// The scope.
    pub scope: &'a Scope,
    /// The event that it is a step of; `None` where it is one of a message that was put into a queue from outside, of a
    /// timer, or of a schedule.
    pub event: Option<&'a RecordedEvent>,
    /// The handler, where it is a step of a delivery.
    pub handler: Option<&'a Name>,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub step: &'a Step,
}
