//! One queue, as its readers use it.

use std::time::Duration;

use uuid::Uuid;

use super::Atlas;
use crate::dispatch::QueueMessage;
use crate::error::Error;
use crate::event::{Name, Scope, VocabularyError};

/// One queue.
#[derive(Clone, Debug)]
pub struct QueueHandle {
    pub(super) atlas: Atlas,
    pub(super) scope: Result<Scope, VocabularyError>,
    pub(super) name: Result<Name, VocabularyError>,
}

impl QueueHandle {
    fn checked(&self) -> Result<(&Scope, &Name), Error> {
        match (&self.scope, &self.name) {
            (Ok(scope), Ok(name)) => Ok((scope, name)),
            (Err(error), _) | (_, Err(error)) => Err(error.clone().into()),
        }
    }

    /// The first `count` messages; nothing changes.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn peek(&self, count: usize) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name) = self.checked()?;
        Ok(self.atlas.0.dispatcher.peek(scope, name, count).await?)
    }

    /// Takes up to `count` messages; for `lease` nobody else gets them.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn take(&self, count: usize, lease: Duration) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name) = self.checked()?;
        Ok(self.atlas.0.dispatcher.take(scope, name, count, lease).await?)
    }

    /// Removes a message of this queue that was worked on.
    ///
    /// # Errors
    /// [`Error::Dispatch`], also where another queue holds the message.
    pub async fn ack(&self, id: Uuid) -> Result<(), Error> {
        let (scope, name) = self.checked()?;
        Ok(self.atlas.0.dispatcher.acknowledge_in(Some(scope), Some(name), id).await?)
    }
}
