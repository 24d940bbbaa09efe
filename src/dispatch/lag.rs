//! How far each handler is behind: in deliveries and in time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DispatchError;
use super::dispatcher::{Dispatcher, blocking};
use super::driver::{Message, Place, Question};
use crate::event::{Name, Scope, Timestamp};

/// How far a handler of a scope is behind. One with nothing open isn't told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerLag {
    /// The scope.
    pub scope: Scope,
    /// The handler.
    pub handler: Name,
    /// Deliveries that aren't complete.
    pub open: u64,
    /// Those of them that are parked.
    pub parked: u64,
    /// When the event of the oldest of them was recorded.
    pub oldest: Timestamp,
    /// How long ago that is, in microseconds.
    pub lag_micros: i64,
}

/// What is counted of a handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) open: u64,
    pub(super) parked: u64,
    /// The position of the first.
    pub(super) oldest: u64,
}

/// What is counted of all handlers.
pub(super) type Counts = BTreeMap<(Scope, Name), Count>;

/// A part of the counts, and where the next one begins; `None` where this was the last.
#[derive(Clone, Debug)]
pub(super) struct CountsPage {
    pub(super) counts: Counts,
    pub(super) next: Option<Place>,
}

impl Dispatcher {
    /// How far each handler is behind, by scope and handler. Reads each open event once, a page at a time, between which
    /// dispatch goes on: a long backlog takes a while.
    ///
    /// # Errors
    /// What made dispatch stop; [`DispatchError::Read`].
    pub async fn lag(&self, scope: Option<&Scope>) -> Result<Vec<HandlerLag>, DispatchError> {
        let (mut all, mut after) = (Counts::new(), None);
        loop {
            let (scope, from) = (scope.cloned(), after);
            let page = self.ask(|reply| Message::Ask(Question::Counts { scope, after: from, reply })).await?;
            for (key, count) in page.counts {
                let of = all.entry(key).or_insert(Count { open: 0, parked: 0, ..count });
                of.open += count.open;
                of.parked += count.parked;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let (store, now) = (self.context().store.clone(), self.context().now());
        let told = move |((scope, handler), count): ((Scope, Name), Count)| {
            let oldest = store.event_at(count.oldest)?.map_or(now, |event| event.recorded_at());
            Ok(HandlerLag {
                scope,
                handler,
                open: count.open,
                parked: count.parked,
                oldest: Timestamp::from_micros(oldest),
                lag_micros: now.saturating_sub(oldest).max(0),
            })
        };
        blocking(self.runtime(), move || all.into_iter().map(told).collect()).await
    }
}
