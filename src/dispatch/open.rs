//! What is open: listed one by one, or counted once nothing goes on any more.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::dispatcher::{Dispatcher, blocking};
use super::driver::{Filter, Message, OpenEntry, OpenPage, Question};
use super::state::Stage;
use super::status::{DeliveryId, DeliveryStatus};
use super::status_reader::{delivery_records, delivery_status};
use super::{DispatchError, Obstacle};
use crate::event::{Name, Scope, Timestamp};
use crate::log::EventStore;

/// What is left when nothing goes on by itself any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// By handler and obstacle.
    pub handlers: Vec<RemainingOf>,
}

/// Deliveries of one handler that have the same obstacle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemainingOf {
    /// The scope.
    pub scope: Scope,
    /// The handler.
    pub handler: Name,
    /// What keeps them from going on; `None` where nothing does but that deliveries aren't served.
    pub obstacle: Option<Obstacle>,
    /// How many.
    pub count: u64,
}

impl Remaining {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// How many deliveries are left.
    pub fn total(&self) -> u64 {
        self.handlers.iter().map(|of| of.count).sum()
    }

    /// How many of them have an obstacle.
    pub fn count(&self, obstacle: Obstacle) -> u64 {
        self.handlers.iter().filter(|of| of.obstacle == Some(obstacle)).map(|of| of.count).sum()
    }
}

impl fmt::Display for Remaining {
    /// On one line, such as `12 of score in dutch-bank/loans: unbound`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (number, RemainingOf { scope, handler, obstacle, count }) in self.handlers.iter().enumerate() {
            let why = obstacle.map_or("not served", Obstacle::as_str);
            write!(f, "{}{count} of {handler} in {scope}: {why}", if number == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Which open deliveries are listed.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    /// Those of one scope; default all.
    pub scope: Option<Scope>,
    /// Those of one handler; default all.
    pub handler: Option<Name>,
    /// Those that are parked; default all that are open.
    pub parked: bool,
    /// At most so many. Default 1,000.
    pub limit: usize,
}

impl Default for DeliveryFilter {
    fn default() -> Self {
        Self { scope: None, handler: None, parked: false, limit: 1_000 }
    }
}

/// A delivery that isn't complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDelivery {
    /// Where it stands.
    #[serde(flatten)]
    pub delivery: DeliveryStatus,
    /// The scope.
    pub scope: Scope,
    /// The event's stream.
    pub stream: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What keeps it from going on.
    pub obstacle: Option<Obstacle>,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
}

impl Dispatcher {
    /// Waits until all deliveries that can be served are, and tells what is left. Where deliveries aren't served it
    /// tells what is open at once.
    ///
    /// # Errors
    /// What made dispatch stop.
    pub async fn settled(&self) -> Result<Remaining, DispatchError> {
        self.ask(|reply| Message::Ask(Question::Settled(reply))).await
    }

    /// Deliveries that aren't complete, by scope and position.
    ///
    /// # Errors
    /// What made dispatch stop; [`DispatchError::Read`].
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<OpenDelivery>, DispatchError> {
        let DeliveryFilter { scope, handler, parked, limit } = filter;
        let mut filter = Filter { scope, handler, parked, limit, after: None };
        let mut entries = Vec::new();
        loop {
            let page = self.open_page(filter.clone()).await?;
            entries.extend(page.entries);
            filter.limit = limit.saturating_sub(entries.len());
            match page.next {
                Some(next) if filter.limit > 0 => filter.after = Some(next),
                _ => break,
            }
        }
        entries.truncate(limit);
        let store = self.context().store.clone();
        let open = move || entries.into_iter().map(|entry| open_delivery(&store, entry)).collect();
        blocking(self.runtime(), open).await
    }
}

impl Dispatcher {
    /// A part of the deliveries that aren't complete, so that dispatch goes on between two parts.
    pub(super) async fn open_page(&self, filter: Filter) -> Result<OpenPage, DispatchError> {
        self.ask(|reply| Message::Ask(Question::Open(filter, reply))).await
    }
}

fn open_delivery(store: &EventStore, entry: OpenEntry) -> Result<OpenDelivery, DispatchError> {
    let records = delivery_records(store, &entry.scope, entry.event, &entry.handler)?;
    let id = DeliveryId { event: entry.event, handler: entry.handler };
    Ok(OpenDelivery {
        delivery: delivery_status(id, &records, entry.runs),
        scope: entry.scope,
        stream: entry.stream,
        event_type: entry.event_type,
        obstacle: entry.obstacle,
        next_attempt: match entry.state.stage {
            Stage::Waiting(until) => Some(Timestamp::from_micros(until)),
            _ => None,
        },
    })
}
