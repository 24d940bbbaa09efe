//! Queues as their readers see them: what stands in one, taking with a lease, acknowledging.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::database::MessageEntry;
use super::dispatcher::Dispatcher;
use super::driver::{Message as ToDriver, Question, Taken};
use super::queue_record::QueueRecord;
use super::{DispatchError, dispatcher::blocking};
use crate::event::{Name, Scope, Timestamp};
use crate::log::{Address, Append, EventStore, RecordKind};

/// A queue that holds messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueInfo {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// How many messages it holds, leased ones included.
    pub depth: u64,
    /// How many of them somebody holds at the moment.
    pub leased: u64,
}

/// A message of a queue.
#[derive(Clone, Debug, Serialize)]
pub struct QueueMessage {
    /// Its id, by which it is acknowledged.
    pub id: Uuid,
    /// The scope.
    pub scope: Scope,
    /// The queue.
    pub queue: Name,
    /// The event that it comes from.
    pub event: Uuid,
    /// The handler that put it here.
    pub handler: Name,
    /// Which call of the delivery it is, from 1.
    pub call: u32,
    /// When it was put here.
    pub recorded_at: Timestamp,
    /// Until when somebody holds it.
    pub leased_until: Option<Timestamp>,
    /// What the handler's `data` made of the event.
    pub data: Box<RawValue>,
}

/// Messages that are being taken; those that don't get leased go back.
struct Taking<'a> {
    dispatcher: &'a Dispatcher,
    scope: Scope,
    queue: Name,
    addresses: Vec<Address>,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if !self.addresses.is_empty() {
            let messages = std::mem::take(&mut self.addresses);
            self.dispatcher.tell(ToDriver::Return { scope: self.scope.clone(), queue: self.queue.clone(), messages });
        }
    }
}

impl Dispatcher {
    /// The queues that hold messages, of one scope or of all.
    ///
    /// # Errors
    /// [`DispatchError`] where dispatch has stopped.
    pub async fn queues(&self, scope: Option<&Scope>) -> Result<Vec<QueueInfo>, DispatchError> {
        let scope = scope.cloned();
        self.ask(|reply| ToDriver::Ask(Question::Queues(scope, reply))).await
    }

    /// The first `count` messages of a queue, leased ones included; nothing changes.
    ///
    /// # Errors
    /// [`DispatchError`] where dispatch has stopped or the log can't be read.
    pub async fn peek(&self, scope: &Scope, queue: &Name, count: usize) -> Result<Vec<QueueMessage>, DispatchError> {
        let (of, name) = (scope.clone(), queue.clone());
        let question = |reply| ToDriver::Ask(Question::Peek { scope: of, queue: name, count, reply });
        let entries = self.ask(question).await?;
        self.read_messages(entries).await
    }

    /// Takes up to `count` messages, oldest first, that nobody holds: for `lease` nobody else gets them. Those that aren't
    /// [acknowledged](Self::acknowledge) by then can be taken again.
    ///
    /// # Errors
    /// [`DispatchError`] where dispatch has stopped or the lease can't be recorded; then nothing is taken.
    pub async fn take(
        &self,
        scope: &Scope,
        queue: &Name,
        count: usize,
        lease: Duration,
    ) -> Result<Vec<QueueMessage>, DispatchError> {
        let (of, name) = (scope.clone(), queue.clone());
        let question = |reply| ToDriver::Ask(Question::Take { scope: of, queue: name, count, reply });
        let Taken { mut messages } = self.ask(question).await?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let addresses = messages.iter().map(|message| message.address).collect();
        let mut taking = Taking { dispatcher: self, scope: scope.clone(), queue: queue.clone(), addresses };
        let until = self.context().after(lease);
        let mut append = Append::of_records();
        for message in &mut messages {
            message.leased_until = Some(until);
            let record =
                QueueRecord::Leased { scope: scope.clone(), queue: queue.clone(), message: message.address, until };
            append = append.record(RecordKind::Queue, message.id.as_bytes().to_vec(), record.encode());
        }
        self.context().store.append_async(append).await?;
        // The records of the leases take them out of being taken.
        taking.addresses.clear();
        self.read_messages(messages).await
    }

    /// Removes a message that was worked on. `scope` may be left out where only one scope has a message of that id.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchMessage`], [`DispatchError::Append`].
    pub async fn acknowledge(&self, scope: Option<&Scope>, id: Uuid) -> Result<(), DispatchError> {
        self.acknowledge_in(scope, None, id).await
    }

    /// As [`acknowledge`](Self::acknowledge), for a message of one queue where that is given.
    pub(crate) async fn acknowledge_in(
        &self,
        scope: Option<&Scope>,
        queue: Option<&Name>,
        id: Uuid,
    ) -> Result<(), DispatchError> {
        let store = self.context().store.clone();
        let wanted = scope.cloned();
        let found = blocking(self.runtime(), move || find(&store, wanted.as_ref(), id)).await?;
        let found = found.filter(|(_, found, _)| queue.is_none_or(|queue| queue == found));
        let (scope, queue, message) = found.ok_or(DispatchError::NoSuchMessage { id })?;
        let record = QueueRecord::Acknowledged { scope, queue, message };
        let append = Append::of_records().record(RecordKind::Queue, id.as_bytes().to_vec(), record.encode());
        self.context().store.append_async(append).await?;
        Ok(())
    }

    async fn read_messages(&self, entries: Vec<MessageEntry>) -> Result<Vec<QueueMessage>, DispatchError> {
        let store = self.context().store.clone();
        let read = move || entries.into_iter().map(|entry| read_message(&store, entry)).collect();
        blocking(self.runtime(), read).await
    }
}

/// The queue that holds a message, and its address; `None` where it is acknowledged or was never there.
fn find(store: &EventStore, wanted: Option<&Scope>, id: Uuid) -> Result<Option<(Scope, Name, Address)>, DispatchError> {
    let mut found = None;
    for record in store.records_with_key(RecordKind::Queue, id.as_bytes())? {
        match QueueRecord::decode(&record.body).ok_or(DispatchError::Record { address: record.address })? {
            QueueRecord::Message { scope, queue, .. } if wanted.is_none_or(|wanted| *wanted == scope) => {
                found = Some((scope, queue, record.address));
            }
            QueueRecord::Acknowledged { message, .. } if found.as_ref().is_some_and(|(.., at)| *at == message) => {
                return Ok(None);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn read_message(store: &EventStore, entry: MessageEntry) -> Result<QueueMessage, DispatchError> {
    let bad = || DispatchError::Record { address: entry.address };
    let records = store.records_with_key(RecordKind::Queue, entry.id.as_bytes())?;
    let record = records.iter().find(|record| record.address == entry.address).ok_or_else(bad)?;
    let Some(QueueRecord::Message { scope, queue, event, handler, call, data }) = QueueRecord::decode(&record.body)
    else {
        return Err(bad());
    };
    let data = serde_json::from_slice::<Box<RawValue>>(&data).map_err(|_| bad())?;
    Ok(QueueMessage {
        id: entry.id,
        scope,
        queue,
        event,
        handler,
        call,
        recorded_at: Timestamp::from_micros(record.recorded_at),
        leased_until: entry.leased_until.map(Timestamp::from_micros),
        data,
    })
}
