//! One queue, as its readers use it.

use std::time::Duration;

use uuid::Uuid;

use super::Atlas;
use crate::dispatch::{MessageRef, NewMessage, QueueMessage};
use crate::error::Error;
use crate::event::{Name, Scope, VocabularyError};

/// One queue, or what one consumer group has of it.
///
/// What acts on a message takes the message itself as `take` gave it, with its receipt, or its id alone: see [`MessageRef`].
#[derive(Clone, Debug)]
pub struct QueueHandle {
    pub(super) atlas: Atlas,
    pub(super) scope: Result<Scope, VocabularyError>,
    pub(super) name: Result<Name, VocabularyError>,
    pub(super) group: Option<String>,
}

impl QueueHandle {
    /// The queue as a consumer group has it: a queue that has groups needs one named. `""` is the group without a name, of
    /// messages that were put before the queue had groups.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    fn checked(&self) -> Result<(&Scope, &Name, Option<&str>), Error> {
        match (&self.scope, &self.name) {
            (Ok(scope), Ok(name)) => Ok((scope, name, self.group.as_deref())),
            (Err(error), _) | (_, Err(error)) => Err(error.clone().into()),
        }
    }

    /// A message of this queue.
    fn own(&self, message: MessageRef) -> Result<MessageRef, Error> {
        let (scope, name, group) = self.checked()?;
        let group = group.map(str::to_owned).or(message.group);
        Ok(MessageRef { scope: Some(scope.clone()), queue: Some(name.clone()), group, ..message })
    }

    /// Puts messages into the queue, all or none: see [`Dispatcher::put`](crate::dispatch::Dispatcher::put). Gives their ids.
    /// Every group of the queue gets them.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::put`](crate::dispatch::Dispatcher::put).
    pub async fn put(&self, messages: impl IntoIterator<Item = NewMessage>) -> Result<Vec<Uuid>, Error> {
        let (scope, name, _) = self.checked()?;
        Ok(self.atlas.0.dispatcher.put(scope, name, messages).await?)
    }

    /// The first `count` messages, whatever their state; nothing changes.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::peek`](crate::dispatch::Dispatcher::peek).
    pub async fn peek(&self, count: usize) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name, group) = self.checked()?;
        Ok(self.atlas.0.dispatcher.peek(scope, name, group, count).await?)
    }

    /// Takes up to `count` messages; for `lease` nobody else gets them.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::take`](crate::dispatch::Dispatcher::take).
    pub async fn take(&self, count: usize, lease: Duration) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name, group) = self.checked()?;
        Ok(self.atlas.0.dispatcher.take(scope, name, group, count, lease).await?)
    }

    /// Removes a message of this queue that was worked on.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::acknowledge`](crate::dispatch::Dispatcher::acknowledge); also where another
    /// queue holds the message.
    pub async fn ack(&self, message: impl Into<MessageRef>) -> Result<(), Error> {
        Ok(self.atlas.0.dispatcher.acknowledge(self.own(message.into())?).await?)
    }

    /// Gives a message back, to be taken again after `delay`; `reason` is kept.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::nack`](crate::dispatch::Dispatcher::nack).
    pub async fn nack(&self, message: impl Into<MessageRef>, delay: Duration, reason: &str) -> Result<(), Error> {
        Ok(self.atlas.0.dispatcher.nack(self.own(message.into())?, delay, reason).await?)
    }

    /// Has a lease that still runs end `lease` from now.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::extend`](crate::dispatch::Dispatcher::extend).
    pub async fn extend(&self, message: impl Into<MessageRef>, lease: Duration) -> Result<(), Error> {
        Ok(self.atlas.0.dispatcher.extend(self.own(message.into())?, lease).await?)
    }

    /// The first `count` dead letters, each followed by those behind it in its stream.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::dead_letters`](crate::dispatch::Dispatcher::dead_letters).
    pub async fn dead_letters(&self, count: usize) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name, group) = self.checked()?;
        Ok(self.atlas.0.dispatcher.dead_letters(scope, name, group, count).await?)
    }

    /// Has a dead letter given out again, with receives from nought.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::requeue`](crate::dispatch::Dispatcher::requeue).
    pub async fn requeue(&self, message: impl Into<MessageRef>, reason: Option<&str>) -> Result<(), Error> {
        Ok(self.atlas.0.dispatcher.requeue(self.own(message.into())?, reason).await?)
    }

    /// Has all dead letters given out again; says how many.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::requeue_all`](crate::dispatch::Dispatcher::requeue_all).
    pub async fn requeue_all(&self, reason: Option<&str>) -> Result<u64, Error> {
        let (scope, name, group) = self.checked()?;
        Ok(self.atlas.0.dispatcher.requeue_all(scope, name, group, reason).await?)
    }

    /// Removes a message for good, whatever its state.
    ///
    /// # Errors
    /// [`Error::Dispatch`], as [`Dispatcher::drop_message`](crate::dispatch::Dispatcher::drop_message).
    pub async fn drop_message(&self, message: impl Into<MessageRef>, reason: &str) -> Result<(), Error> {
        Ok(self.atlas.0.dispatcher.drop_message(self.own(message.into())?, reason).await?)
    }
}
