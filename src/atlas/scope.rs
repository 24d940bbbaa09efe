//! Events of one scope: in, and what became of them.

use std::time::Duration;

use uuid::Uuid;

use super::{Atlas, ConfigHandle, QueueHandle};
use crate::dispatch::{Cascade, EventStatus, TimerInfo};
use crate::error::Error;
use crate::event::{Event, Name, Scope, Timestamp, TreeScope, VocabularyError};
use crate::log::{self, Append, RecordedEvent};

/// The answer to an ingested event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id, given or made.
    pub id: Uuid,
    /// Its version in its stream.
    pub version: u64,
    /// Its position in the log.
    pub position: u64,
    /// Whether it is on disk.
    pub durable: bool,
    /// The id was known with the same content: nothing was written, and the rest tells of the first time.
    pub repeated: bool,
    /// When it was recorded, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// The revision that it was routed by; `None` of a known event that was appended without routing.
    pub revision: Option<u32>,
}

/// Events of one scope. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ScopeHandle {
    pub(super) atlas: Atlas,
    pub(super) scope: Result<Scope, VocabularyError>,
}

impl ScopeHandle {
    fn checked(&self) -> Result<&Scope, Error> {
        self.scope.as_ref().map_err(|error| error.clone().into())
    }

    /// The configuration tree of this scope.
    pub fn config(&self) -> ConfigHandle {
        ConfigHandle { atlas: self.atlas.clone(), tree: self.scope.clone().map(TreeScope::from) }
    }

    /// A queue of this scope. The name is checked at the first use.
    pub fn queue(&self, name: &str) -> QueueHandle {
        let name = Name::parse("queue", name);
        QueueHandle { atlas: self.atlas.clone(), scope: self.scope.clone(), name, group: None }
    }

    /// Routes an event, appends it, and returns once it is durable; its handlers are called behind. An id that is known
    /// with the same content gives the first receipt, also where its type has been retired since.
    ///
    /// Events take their places in the log in the order in which the futures are first polled. A future that is dropped
    /// after that doesn't take the event back.
    ///
    /// # Errors
    /// [`Error::Route`] where the event has no configuration or its data break the schema of its type, [`Error::Append`], [`Error::Dispatch`] while history is
    /// imported; nothing is written then but where that says so.
    pub fn ingest(&self, event: Event) -> impl Future<Output = Result<Receipt, Error>> + Send + use<> {
        let this = self.clone();
        async move {
            let receipts = this.append(vec![event]).await?;
            receipts.into_iter().next().ok_or(Error::Append(log::AppendError::Empty))
        }
    }

    /// Routes and appends events in one piece: all of them or none. Either all ids are new (or not stated) or all are
    /// known.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest); the error of the first event that has one.
    pub fn ingest_all(&self, events: Vec<Event>) -> impl Future<Output = Result<Vec<Receipt>, Error>> + Send + use<> {
        let this = self.clone();
        async move { this.append(events).await }
    }

    async fn append(&self, mut events: Vec<Event>) -> Result<Vec<Receipt>, Error> {
        let scope = self.checked()?;
        let _ingesting = self.atlas.0.dispatcher.may_ingest().await?;
        let store = &self.atlas.0.store;
        let mut revisions = Vec::with_capacity(events.len());
        for event in &mut events {
            // Known ids come before routing: what was accepted once stays accepted.
            let known = match event.id {
                Some(id) => store.event(scope, id)?,
                None => None,
            };
            event.revision = match known {
                Some(known) => known.revision(),
                None => Some(self.atlas.0.router.admit(scope, event)?.revision),
            };
            revisions.push(event.revision);
        }
        let receipt = store.append_async(Append::to(scope).events(events)).await?;
        let mut receipts = Vec::with_capacity(revisions.len());
        for (written, revision) in receipt.events.iter().zip(revisions) {
            // An event that became known meanwhile was routed by what was active then.
            let revision = match receipt.repeated {
                true => store.event(scope, written.id)?.and_then(|event: RecordedEvent| event.revision()),
                false => revision,
            };
            receipts.push(Receipt {
                id: written.id,
                version: written.version,
                position: written.position,
                durable: receipt.durable,
                repeated: receipt.repeated,
                recorded_at: written.recorded_at,
                revision,
            });
        }
        Ok(receipts)
    }

    /// Has an event come in at a time, or at once where that is over: see [`Dispatcher::set_timer`](crate::dispatch::Dispatcher::set_timer). Gives the id of the
    /// timer, which its event will have.
    ///
    /// # Errors
    /// [`Error::Dispatch`] where the event can't be routed, or isn't set.
    pub async fn at(&self, due: Timestamp, event: Event) -> Result<Uuid, Error> {
        Ok(self.atlas.0.dispatcher.set_timer(self.checked()?, due, event).await?)
    }

    /// As [`at`](Self::at), a while from now; at most [`MAX_TIMER_AHEAD`](crate::dispatch::MAX_TIMER_AHEAD).
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub async fn after(&self, wait: Duration, event: Event) -> Result<Uuid, Error> {
        let now = self.atlas.0.store.environment().clock.now_micros();
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.at(Timestamp::from_micros(now.saturating_add(wait)), event).await
    }

    /// Takes a timer back: see [`Dispatcher::cancel_timer`](crate::dispatch::Dispatcher::cancel_timer).
    ///
    /// # Errors
    /// [`Error::Dispatch`] where no such timer is set.
    pub async fn cancel_timer(&self, id: Uuid) -> Result<(), Error> {
        Ok(self.atlas.0.dispatcher.cancel_timer(self.checked()?, id, None).await?)
    }

    /// The timers that are set, by time; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn timers(&self, limit: usize) -> Result<Vec<TimerInfo>, Error> {
        Ok(self.atlas.0.dispatcher.timers(Some(self.checked()?), limit).await?)
    }

    /// As [`Atlas::completion`], for an id of this scope.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn completion(&self, id: Uuid) -> Result<EventStatus, Error> {
        Ok(self.atlas.0.dispatcher.completion(Some(self.checked()?), id).await?)
    }

    /// As [`Atlas::status`], for an id of this scope.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn status(&self, id: Uuid) -> Result<EventStatus, Error> {
        Ok(self.atlas.0.dispatcher.status(Some(self.checked()?), id).await?)
    }

    /// As [`Atlas::cascade`], in this scope.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn cascade(&self, correlation_id: Uuid) -> Result<Cascade, Error> {
        Ok(self.atlas.0.dispatcher.cascade(Some(self.checked()?), correlation_id).await?)
    }
}
