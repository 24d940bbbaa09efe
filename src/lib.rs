//! Atlas: an embedded event store and orchestration engine.

mod atlas;
pub mod config;
pub mod dispatch;
mod error;
pub mod event;
pub mod log;
#[cfg(not(planted_bugs))]
mod planted;
#[cfg(planted_bugs)]
#[doc(hidden)]
pub mod planted;
pub mod routing;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod storage;
mod sync;

pub use atlas::{
    Atlas, Builder, ConfigHandle, QueueHandle, Rebuilt, Receipt, ScopeHandle, Staged, rebuild, rebuild_with, verify,
};
pub use error::Error;
pub use event::{Envelope, Event, EventType, Scope, Timestamp, TreeScope, VocabularyError};
pub use log::EventStore;
pub use uuid::Uuid;

// The code in the README and in the guide is checked with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
mod guide {}
