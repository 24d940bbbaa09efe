//! Waiting until an event, and all that it caused, is complete or can't go on.
//!
//! The walk goes from an event to what it caused only once nothing of the event itself goes on any more: what it has
//! caused by then is all that it will, short of an operator. So each event is looked at once, and no change of another
//! event wakes the walk.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use uuid::Uuid;

use super::dispatcher::{Dispatcher, blocking};
use super::driver::Message;
use super::lanes::Blocked;
use super::status::{Blocker, DeliveryId};
use super::status_reader::MAX_CASCADE_EVENTS;
use super::{Cascade, DispatchError, EventStatus};
use crate::event::Scope;
use crate::log::{EventStore, RecordedEvent};

/// An event that can't go on, and why.
struct Stuck {
    event: RecordedEvent,
    blocked: Vec<Blocked>,
}

impl Dispatcher {
    /// Waits until an event and all that it caused is complete, or until nothing of that goes on but what is
    /// [blocked](EventStatus::blocked_by), and tells what became of it. A timer counts once it has fired, and a message that a
    /// handler put into an input queue once it has come in. Dropping the future changes nothing.
    ///
    /// # Errors
    /// [`DispatchError::NotServing`] where deliveries aren't served, [`DispatchError::NoSuchEvent`],
    /// [`DispatchError::Ambiguous`], and what made dispatch stop.
    pub async fn completion(&self, scope: Option<&Scope>, id: Uuid) -> Result<EventStatus, DispatchError> {
        let event = self.find_event(scope, id).await?;
        let stuck = self.walk(vec![event.clone()]).await?;
        let mut status = self.status_of(event).await?;
        status.blocked_by = stuck.iter().flat_map(blockers).collect();
        Ok(status)
    }

    /// As [`completion`](Self::completion), but for so long: then how it stands, without what blocks it. Needs no timer of the
    /// runtime; while dispatch waits for room on a full disk the time stands still.
    ///
    /// # Errors
    /// As [`completion`](Self::completion).
    pub async fn completion_within(
        &self,
        scope: Option<&Scope>,
        id: Uuid,
        within: Duration,
    ) -> Result<EventStatus, DispatchError> {
        let event = self.find_event(scope, id).await?;
        let scope = event.scope().clone();
        let mut completion = pin!(self.completion(Some(&scope), id));
        let mut time_is_up = pin!(self.context().sleep(within));
        let completed = poll_fn(|waker| match completion.as_mut().poll(waker) {
            Poll::Ready(completed) => Poll::Ready(Some(completed)),
            Poll::Pending => time_is_up.as_mut().poll(waker).map(|()| None),
        });
        match completed.await {
            Some(completed) => completed,
            None => self.status_of(event).await,
        }
    }

    /// Waits until all events with a correlation id are complete, or nothing of them goes on but what is
    /// [blocked](Cascade::blocked_by). An event that comes in with the id later is not waited for.
    ///
    /// # Errors
    /// As [`completion`](Self::completion), and as [`cascade`](Self::cascade).
    pub async fn cascade_completion(&self, scope: Option<&Scope>, correlation: Uuid) -> Result<Cascade, DispatchError> {
        let mut seen = 0;
        let mut stuck = Vec::new();
        loop {
            let mut cascade = self.cascade(scope, correlation).await?;
            if cascade.events.len() == seen {
                cascade.blocked_by = stuck.iter().flat_map(blockers).collect();
                return Ok(cascade);
            }
            seen = cascade.events.len();
            let mut events = Vec::with_capacity(seen);
            for event in &cascade.events {
                events.push(self.find_event(Some(&cascade.scope), event.id).await?);
            }
            stuck = self.walk(events).await?;
        }
    }

    /// Waits until nothing of some events, and of all that they caused, goes on; tells what is stuck.
    async fn walk(&self, events: Vec<RecordedEvent>) -> Result<Vec<Stuck>, DispatchError> {
        if !self.is_serving() {
            return Err(DispatchError::NotServing);
        }
        let mut stuck = Vec::new();
        let mut seen: BTreeSet<Uuid> = events.iter().map(RecordedEvent::id).collect();
        let mut open = VecDeque::from(events);
        loop {
            while let Some(next) = open.pop_front() {
                let blocked = self.watch(&next).await?;
                let caused = caused_by(self.runtime(), &self.context().store, &next).await?;
                open.extend(caused.into_iter().filter(|event| seen.insert(event.id())));
                if seen.len() > MAX_CASCADE_EVENTS {
                    return Err(DispatchError::CascadeTooLarge { limit: MAX_CASCADE_EVENTS });
                }
                if !blocked.is_empty() {
                    stuck.push(Stuck { event: next, blocked });
                }
            }
            // While the walk went on, an operator or room in a queue may have set going what was stuck.
            let before = std::mem::take(&mut stuck);
            let mut changed = false;
            for Stuck { event, blocked } in before {
                let now = self.watch(&event).await?;
                if now == blocked {
                    stuck.push(Stuck { event, blocked });
                } else {
                    changed = true;
                    open.push_back(event);
                }
            }
            if !changed {
                return Ok(stuck);
            }
        }
    }

    /// Waits until nothing of an event itself goes on; tells what is blocked.
    async fn watch(&self, event: &RecordedEvent) -> Result<Vec<Blocked>, DispatchError> {
        let (scope, position) = (event.scope().clone(), event.position());
        self.ask(|reply| Message::Watch { scope, position, reply }).await
    }
}

fn blockers(stuck: &Stuck) -> impl Iterator<Item = Blocker> {
    stuck.blocked.iter().map(|blocked| Blocker {
        id: DeliveryId { event: stuck.event.id(), handler: blocked.handler.clone() },
        obstacle: blocked.obstacle,
    })
}

async fn caused_by(
    runtime: &Handle,
    store: &EventStore,
    event: &RecordedEvent,
) -> Result<Vec<RecordedEvent>, DispatchError> {
    let (store, scope, id) = (store.clone(), event.scope().clone(), event.id());
    let read = move || Ok(store.caused_by(&scope, id)?);
    blocking(runtime, read).await
}
