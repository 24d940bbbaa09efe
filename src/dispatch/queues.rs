//! Queues as their readers see them: what there is, and what stands in one. What is done with messages is in `queue_acts`.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::database::{MessageEntry, State};
use super::dispatcher::{Dispatcher, blocking};
use super::driver::{Message as ToDriver, Question, QueueQuestion, Reply};
use super::queue_record::{Happening, Origin, QueueGroup, QueueRecord};
use super::{DispatchError, queue_record};
use crate::event::{Name, Scope, Timestamp};
use crate::log::{Address, EventStore, RecordKind};

/// A queue that holds messages, as one of its groups has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueInfo {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// How many messages it holds, leased ones included, dead letters and those behind them not.
    pub depth: u64,
    /// How many of them somebody holds at the moment.
    pub leased: u64,
    /// How many dead letters it has, with those behind them.
    pub dead: u64,
    /// When the oldest message that isn't dead was put there.
    pub oldest: Option<Timestamp>,
    /// The consumer group, where the queue has groups.
    pub group: Option<Name>,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It can be taken.
    Ready,
    /// Somebody holds it.
    Leased,
    /// It was given back, and the delay isn't over.
    Delayed,
    /// The queue is ordered, and an earlier message of its stream is still there.
    Behind,
    /// It is a dead letter.
    Dead,
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Delayed => "delayed",
            Self::Behind => "behind another of its stream",
            Self::Dead => "a dead letter",
        })
    }
}

/// A message of a queue, as one group has it.
#[derive(Clone, Debug, Serialize)]
pub struct QueueMessage {
    /// Its id, by which it is acknowledged.
    pub id: Uuid,
    /// The scope.
    pub scope: Scope,
    /// The queue.
    pub queue: Name,
    /// The event that it comes from; `None` of one that was put from outside, as handler and call then are.
    pub event: Option<Uuid>,
    /// The handler that put it here.
    pub handler: Option<Name>,
    /// Which call of the delivery it is, from 1.
    pub call: Option<u32>,
    /// Who put it here from outside, where they say.
    pub actor: Option<String>,
    /// When it was put here.
    pub recorded_at: Timestamp,
    /// Until when somebody holds it.
    pub leased_until: Option<Timestamp>,
    /// What the handler's `data` made of the event, or what was put.
    pub data: Box<RawValue>,
    /// What `take` gave it under: proof of being the one who holds it. `None` of a message that was only looked at.
    pub receipt: Option<u64>,
    /// How often it was taken, this time included; from nought since it was last requeued.
    pub receives: u32,
    /// What it waits for.
    pub state: MessageState,
    /// From when on it can be taken, where it was given back with a delay.
    pub delayed_until: Option<Timestamp>,
    /// Why it was last given back, or can't come in, where that is asked for: of dead letters.
    pub reason: Option<String>,
    /// The consumer group, where the queue has groups.
    pub group: Option<Name>,
}

/// Which message is meant, and by what right.
///
/// From a [`QueueMessage`] it names all of it, with the receipt of its lease: so only whoever holds the message can act on
/// it. From an id alone it is an operator's word, for whom receipts don't count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRef {
    /// Its id.
    pub id: Uuid,
    /// What `take` gave it under; `None`: whoever holds it.
    pub receipt: Option<u64>,
    /// Its scope; may be left out where only one scope has a message of that id.
    pub scope: Option<Scope>,
    /// Its queue; may be left out.
    pub queue: Option<Name>,
    /// The consumer group; `Some("")` is the group without a name, of messages that were put before the queue had groups.
    pub group: Option<String>,
}

impl MessageRef {
    /// The message of an id.
    pub fn new(id: Uuid) -> Self {
        Self { id, receipt: None, scope: None, queue: None, group: None }
    }
}

impl From<Uuid> for MessageRef {
    fn from(id: Uuid) -> Self {
        Self::new(id)
    }
}

impl From<&QueueMessage> for MessageRef {
    fn from(message: &QueueMessage) -> Self {
        Self {
            id: message.id,
            receipt: message.receipt,
            scope: Some(message.scope.clone()),
            queue: Some(message.queue.clone()),
            group: Some(message.group.as_ref().map_or("", Name::as_str).to_owned()),
        }
    }
}

impl Dispatcher {
    /// The queues that hold messages, dead letters included, of one scope or of all: once for each group.
    ///
    /// # Errors
    /// [`DispatchError`] where dispatch has stopped.
    pub async fn queues(&self, scope: Option<&Scope>) -> Result<Vec<QueueInfo>, DispatchError> {
        let scope = scope.cloned();
        self.ask(|reply| ToDriver::Ask(Question::Queues(scope, reply))).await
    }

    /// The first `count` messages of a queue in the order in which they were put, whatever their state; nothing changes.
    /// `group` names a consumer group where the queue has any; `Some("")` is the one without a name, of messages that were
    /// put before it had.
    ///
    /// # Errors
    /// [`DispatchError::GroupMissing`], [`DispatchError::NoSuchGroup`]; others where dispatch has stopped or the log can't
    /// be read.
    pub async fn peek(
        &self,
        scope: &Scope,
        queue: &Name,
        group: Option<&str>,
        count: usize,
    ) -> Result<Vec<QueueMessage>, DispatchError> {
        let of = self.group_of(scope, queue, group).await?;
        let entries = self.ask_queue(&of, |reply| QueueQuestion::Peek { count, reply }).await?;
        self.read_messages(of, entries, false).await
    }

    /// The first `count` dead letters of a queue; in an ordered one each is followed by those that stand behind it in its
    /// stream. They tell why they were last given back.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    pub async fn dead_letters(
        &self,
        scope: &Scope,
        queue: &Name,
        group: Option<&str>,
        count: usize,
    ) -> Result<Vec<QueueMessage>, DispatchError> {
        let of = self.group_of(scope, queue, group).await?;
        let after = Address::from_u64(0);
        let entries = self.ask_queue(&of, |reply| QueueQuestion::Dead { after, count, reply }).await?;
        self.read_messages(of, entries, true).await
    }

    pub(super) async fn ask_queue<T>(
        &self,
        of: &QueueGroup,
        question: impl FnOnce(Reply<T>) -> QueueQuestion,
    ) -> Result<T, DispatchError> {
        self.ask(|reply| ToDriver::Ask(Question::Queue(of.clone(), question(reply)))).await
    }

    /// The group of a queue that is meant. One that the configuration doesn't name is there as long as it has messages.
    pub(super) async fn group_of(
        &self,
        scope: &Scope,
        queue: &Name,
        group: Option<&str>,
    ) -> Result<QueueGroup, DispatchError> {
        let options = self.context().catalog.queue_options(scope, queue.as_str()).unwrap_or_default();
        let of = |group| QueueGroup { scope: scope.clone(), queue: queue.clone(), group };
        let (of, is_known) = match group {
            None if options.groups.is_empty() => (of(None), true),
            None => {
                let (scope, queue) = (scope.clone(), queue.clone());
                return Err(DispatchError::GroupMissing { scope, queue, groups: options.groups });
            }
            Some("") => (of(None), options.groups.is_empty()),
            Some(name) => {
                let name = Name::parse("group", name)?;
                let is_known = options.groups.contains(&name);
                (of(Some(name)), is_known)
            }
        };
        if is_known || self.ask_queue(&of, QueueQuestion::HasMessages).await? {
            return Ok(of);
        }
        Err(DispatchError::NoSuchGroup {
            scope: of.scope,
            queue: of.queue,
            group: of.group.map(|group| group.to_string()).unwrap_or_default(),
            groups: options.groups,
        })
    }

    pub(super) async fn read_messages(
        &self,
        of: QueueGroup,
        entries: Vec<MessageEntry>,
        with_reason: bool,
    ) -> Result<Vec<QueueMessage>, DispatchError> {
        let (store, now) = (self.context().store.clone(), self.context().now());
        let read =
            move || entries.into_iter().map(|entry| read_message(&store, &of, &entry, now, with_reason)).collect();
        blocking(self.runtime(), read).await
    }
}

impl MessageEntry {
    /// What the message waits for at `now`.
    pub(super) fn state_at(&self, now: i64) -> MessageState {
        match self.state {
            State::Dead => MessageState::Dead,
            _ if self.behind => MessageState::Behind,
            State::Leased(until) if until > now => MessageState::Leased,
            State::Waiting(until) if until > now => MessageState::Delayed,
            State::Ready | State::Leased(_) | State::Waiting(_) => MessageState::Ready,
        }
    }
}

fn read_message(
    store: &EventStore,
    of: &QueueGroup,
    entry: &MessageEntry,
    now: i64,
    with_reason: bool,
) -> Result<QueueMessage, DispatchError> {
    let bad = || DispatchError::Record { address: entry.address };
    let records = store.records_with_key(RecordKind::Queue, entry.id.as_bytes())?;
    let record = records.iter().find(|record| record.address == entry.address).ok_or_else(bad)?;
    let Some(QueueRecord::Message(message)) = QueueRecord::decode(&record.body) else { return Err(bad()) };
    let mut reason = None;
    for record in records.iter().filter(|_| with_reason) {
        reason = match QueueRecord::decode(&record.body) {
            Some(QueueRecord::Happened { of: found, what, .. }) if found == *of => match what {
                Happening::Nacked { reason, .. } | Happening::Refused { error: reason } => Some(reason),
                Happening::Requeued { .. } => None,
                _ => reason,
            },
            _ => reason,
        };
    }
    let queue_record::Message { scope, queue, origin, data, .. } = message;
    let (event, handler, call, actor) = match origin {
        Origin::Call { event, handler, call } => (Some(event), Some(handler), Some(call), None),
        Origin::Outside { actor } => (None, None, None, actor),
    };
    let data = serde_json::from_slice::<Box<RawValue>>(&data).map_err(|_| bad())?;
    let until = |at: i64| Some(Timestamp::from_micros(at)).filter(|_| at > now);
    Ok(QueueMessage {
        id: entry.id,
        scope,
        queue,
        event,
        handler,
        call,
        actor,
        recorded_at: Timestamp::from_micros(record.recorded_at),
        leased_until: if let State::Leased(at) = entry.state { until(at) } else { None },
        data,
        receipt: None,
        receives: entry.receives,
        state: entry.state_at(now),
        delayed_until: if let State::Waiting(at) = entry.state { until(at) } else { None },
        reason,
        group: of.group.clone(),
    })
}
