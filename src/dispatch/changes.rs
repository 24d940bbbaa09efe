//! How an event stands, told again whenever that has changed.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use uuid::Uuid;

use super::dispatcher::Dispatcher;
use super::{DispatchError, EventStatus, Phase};
use crate::event::Scope;
use crate::log::RecordedEvent;

/// How long at least lies between two looks at an event.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// After which time it is looked at though nothing has come.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(250);

/// How an event stands, from [`Dispatcher::changes`].
#[derive(Debug)]
pub struct StatusChanges {
    dispatcher: Dispatcher,
    event: RecordedEvent,
    told: Option<EventStatus>,
}

impl Dispatcher {
    /// How an event and all that it caused stands: at once, and again whenever that has changed, until it is complete.
    ///
    /// ```no_run
    /// # async fn doc(atlas: atlas::Atlas, id: atlas::Uuid) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut changes = atlas.dispatcher().changes(None, id).await?;
    /// while let Some(status) = changes.next().await? {
    ///     println!("{}", status.phase);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Ambiguous`], [`DispatchError::Read`].
    pub async fn changes(&self, scope: Option<&Scope>, id: Uuid) -> Result<StatusChanges, DispatchError> {
        let event = self.find_event(scope, id).await?;
        Ok(StatusChanges { dispatcher: self.clone(), event, told: None })
    }
}

impl StatusChanges {
    /// How it stands once that is other than what was told last; `None` once it was told to be complete. What comes and goes
    /// between two looks, of which deliveries that are served here get at most 50 a second, isn't told. May be dropped and asked again.
    ///
    /// # Errors
    /// [`DispatchError::CascadeTooLarge`], [`DispatchError::Read`].
    pub async fn next(&mut self) -> Result<Option<EventStatus>, DispatchError> {
        if self.told.as_ref().is_some_and(|told| told.phase == Phase::Complete) {
            return Ok(None);
        }
        loop {
            let context = self.dispatcher.context().clone();
            // Before it is looked, so that nothing that comes meanwhile is missed.
            let end = context.store.durable_end();
            let status = self.dispatcher.status_of(self.event.clone()).await?;
            if self.told.as_ref() != Some(&status) {
                self.told = Some(status.clone());
                return Ok(Some(status));
            }
            let mut grown = pin!(context.store.beyond(end));
            if !self.dispatcher.is_serving() {
                grown.await?;
                continue;
            }
            // That an attempt starts makes nothing durable: it is looked for now and then.
            let mut time_is_up = pin!(context.sleep(LOOKED_FOR_EVERY));
            let grown = poll_fn(|waker| match grown.as_mut().poll(waker) {
                Poll::Ready(grown) => Poll::Ready(grown),
                Poll::Pending => time_is_up.as_mut().poll(waker).map(Ok),
            });
            grown.await?;
            context.sleep(BETWEEN_LOOKS).await;
        }
    }
}
