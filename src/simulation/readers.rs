//! Those who read while tasks append: subscriptions, reads that are held open, and one who looks whenever a sync is about
//! to happen, between a write and its acknowledgement.

use std::sync::Arc;

use super::checks::unexpected;
use super::model::{Check, Model, ensure};
use crate::log::{EventStore, Events, Query, ReadError, RecordedEvent, Subscription};
use crate::storage::simulated::{Fault, Rng, SimulatedDisk};
use crate::sync::Mutex;

/// A subscription, and the position after which it goes on.
struct Follower {
    subscription: Subscription,
    after: u64,
}

/// A read that was begun some time ago, and the position after which it goes on.
struct Held {
    events: Events,
    after: u64,
}

/// All of one life.
pub(super) struct Readers {
    followers: Vec<Follower>,
    held: Vec<Held>,
    onlooker: Arc<Onlooker>,
}

/// Looks at the log in the middle of a sync.
#[derive(Default)]
struct Onlooker {
    store: Mutex<Option<EventStore>>,
    sightings: Mutex<Vec<Result<RecordedEvent, ReadError>>>,
    after: Mutex<u64>,
}

impl Onlooker {
    fn look(&self) {
        let Some(store) = self.store.lock().clone() else { return };
        let mut after = self.after.lock();
        if store.last_position() <= *after {
            return;
        }
        let Ok(events) = store.read(Query::new().after(*after)) else { return };
        for event in events {
            if let Ok(event) = &event {
                *after = event.position();
            }
            self.sightings.lock().push(event);
        }
    }
}

/// Whether a fault explains that a read failed: of a read or a name, or the power is off. What becomes of writes, syncs
/// and room is nothing to a reader.
pub(super) fn is_explained(error: &ReadError) -> bool {
    let by = matches!(Fault::told_by(error), Some(Fault::Read | Fault::Name | Fault::Power));
    by && matches!(error, ReadError::Io { .. })
}

impl Readers {
    pub(super) fn new(store: &EventStore, disk: &SimulatedDisk) -> Self {
        let onlooker = Arc::new(Onlooker::default());
        *onlooker.store.lock() = Some(store.clone());
        *onlooker.after.lock() = store.last_position();
        let looks = onlooker.clone();
        disk.on_sync(Some(Arc::new(move |_| looks.look())));
        Self { followers: Vec::new(), held: Vec::new(), onlooker }
    }

    /// Lets go of the store, so that its last handle may be dropped.
    pub(super) fn end(&mut self) {
        *self.onlooker.store.lock() = None;
        self.followers.clear();
        self.held.clear();
    }

    /// Takes in what the onlooker saw.
    pub(super) fn sightings(&self, model: &mut Model) -> Check {
        for sighting in std::mem::take(&mut *self.onlooker.sightings.lock()) {
            match sighting {
                Ok(event) => model.seen(&event).map(drop)?,
                Err(error) => ensure(is_explained(&error), || format!("a read during a sync: {error}"))?,
            }
        }
        Ok(())
    }

    /// One of them does something.
    pub(super) fn step(&mut self, store: &EventStore, model: &mut Model, rng: &mut Rng) -> Check {
        match rng.below(6) {
            0 if self.followers.len() < 3 => {
                let after = rng.below(store.last_position() + 1);
                self.followers.push(Follower { subscription: store.subscribe(Query::new(), after), after });
                Ok(())
            }
            1 if self.held.len() < 3 => {
                let after = rng.below(store.last_position() + 1);
                match store.read(Query::new().after(after)) {
                    Ok(events) => self.held.push(Held { events, after }),
                    Err(error) => ensure(is_explained(&error), || format!("a read: {error}"))?,
                }
                Ok(())
            }
            2 | 3 => self.follow(model, rng),
            _ => self.read_on(model, rng),
        }
    }

    fn follow(&mut self, model: &mut Model, rng: &mut Rng) -> Check {
        let number = rng.below(self.followers.len().max(1) as u64) as usize;
        let Some(follower) = self.followers.get_mut(number) else { return Ok(()) };
        for _ in 0..1 + rng.below(40) {
            match follower.subscription.try_next() {
                Ok(Some(event)) => {
                    let position = model.seen(&event)?;
                    follower.after += 1;
                    let wanted = follower.after;
                    ensure(position == wanted, || format!("a subscription got {position} where {wanted} is next"))?;
                }
                Ok(None) => break,
                Err(error) => return ensure(is_explained(&error), || format!("a subscription: {error}")),
            }
        }
        Ok(())
    }

    fn read_on(&mut self, model: &mut Model, rng: &mut Rng) -> Check {
        let number = rng.below(self.held.len().max(1) as u64) as usize;
        let Some(held) = self.held.get_mut(number) else { return Ok(()) };
        for _ in 0..1 + rng.below(40) {
            match held.events.next() {
                Some(Ok(event)) => {
                    let position = model.seen(&event)?;
                    held.after += 1;
                    let wanted = held.after;
                    ensure(position == wanted, || format!("a read got {position} where {wanted} is next"))?;
                }
                None => {
                    self.held.remove(number);
                    return Ok(());
                }
                Some(Err(error)) => {
                    self.held.remove(number);
                    return ensure(is_explained(&error), || unexpected("a read")(error));
                }
            }
        }
        Ok(())
    }
}
