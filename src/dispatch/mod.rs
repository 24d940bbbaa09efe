//! Deliveries: what an event's plan has called, when, and what came of it.
//!
//! The log is the truth. That a delivery is Pending follows from its event and its plan; what happens to it is recorded
//! in the log, and everything here is a fold of that. How it fits together stands in `docs/dispatch.md`.

mod arrivals;
mod attempt;
mod batch;
mod by_position;
mod cascade;
mod changes;
mod check;
mod claims;
mod codec;
mod completion;
mod context;
mod database;
mod delivery;
mod dispatcher;
mod driver;
mod emitted;
mod error;
mod history;
mod hold;
#[cfg(feature = "http-client")]
mod http;
#[cfg(not(feature = "http-client"))]
#[path = "no_http.rs"]
mod http;
mod inputs;
mod lag;
mod lanes;
mod mailbox;
mod open;
mod open_event;
mod operators;
mod options;
mod prepare;
mod puts;
mod queue_acts;
mod queue_record;
mod queues;
mod record;
mod retry;
mod shelf;
mod state;
mod stateful;
mod status;
mod status_reader;
mod step;
mod timers;
mod trail;

use serde::{Deserialize, Serialize};

pub use cascade::{Cascade, CascadeEvent};
pub use changes::StatusChanges;
pub(crate) use check::{DISPATCH_FILE, dispatch_reflects, dispatch_table_that_differs, rebuild};
pub(crate) use delivery::Functions;
pub use delivery::{Delivery, Emit, HandlerError};
pub use dispatcher::Dispatcher;
pub(crate) use dispatcher::Rooms;
pub use error::DispatchError;
pub use history::HistoryImport;
pub use lag::HandlerLag;
pub use lanes::Obstacle;
pub use open::{DeliveryFilter, OpenDelivery, Remaining, RemainingOf};
pub use options::{HttpBreaker, MAX_ANSWER_BYTES, Options};
pub use puts::NewMessage;
pub use queue_acts::{MAX_LEASE, MAX_NACK_DELAY, MAX_TAKE};
pub use queues::{MessageRef, MessageState, QueueInfo, QueueMessage};
pub use stateful::StatefulFunction;
pub use status::{Blocker, DeliveryId, DeliveryStatus, EventStatus, Phase};
pub use status_reader::{MAX_CASCADE_EVENTS, StatusReader};
pub(crate) use step::Observers;
pub use step::{Observed, Step};
pub use timers::{MAX_TIMER_AHEAD, ScheduleInfo, TimerInfo};
pub use trail::{Trail, TrailStep};

/// How a delivery or an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// It did not, and is given up.
    Failure,
}
