//! Waiting until an event, and all that it caused, is complete or can't go on.
//!
//! The walk goes from an event to what it caused only once nothing of the event itself goes on any more: what it has
//! caused by then is all that it will, short of an operator. So each event is looked at once, and no change of another
//! event wakes the walk.

use std::collections::{BTreeSet, VecDeque};

use tokio::runtime::Handle;
use uuid::Uuid;

use super::dispatcher::{Dispatcher, blocking};
use super::driver::Message;
use super::lanes::Blocked;
use super::status::{Blocker, DeliveryId};
use super::status_reader::MAX_CASCADE_EVENTS;
use super::{DispatchError, EventStatus};
use crate::event::Scope;
use crate::log::{EventStore, RecordedEvent};

/// An event that can't go on, and why.
struct Stuck {
    event: RecordedEvent,
    blocked: Vec<Blocked>,
}

impl Dispatcher {
    /// Waits until an event and all that it caused is complete, or until nothing of that goes on but what is
    /// [blocked](EventStatus::blocked_by), and tells what became of it. Give it a timeout of your own where you need one:
    /// dropping the future changes nothing.
    ///
    /// # Errors
    /// [`DispatchError::NotServing`] where deliveries aren't served, [`DispatchError::NoSuchEvent`],
    /// [`DispatchError::Ambiguous`], and what made dispatch stop.
    pub async fn completion(&self, scope: Option<&Scope>, id: Uuid) -> Result<EventStatus, DispatchError> {
        if !self.is_serving() {
            return Err(DispatchError::NotServing);
        }
        let event = self.find_event(scope, id).await?;
        let mut stuck = Vec::new();
        let mut seen = BTreeSet::from([event.id()]);
        let mut open = VecDeque::from([event.clone()]);
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
                break;
            }
        }
        let mut status = self.status_of(event).await?;
        status.blocked_by = stuck.iter().flat_map(blockers).collect();
        Ok(status)
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
