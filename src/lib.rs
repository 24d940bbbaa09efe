//! Atlas: an embedded event store and orchestration engine.

mod atlas;
pub mod config;
pub mod dispatch;
mod error;
pub mod event;
pub mod log;
pub mod routing;
pub mod storage;

pub use atlas::{Atlas, Builder, ConfigHandle, QueueHandle, Receipt, ScopeHandle, Staged};
pub use error::Error;
pub use event::{Envelope, Event, EventType, Scope, Timestamp, TreeScope, VocabularyError};
pub use log::EventStore;
pub use uuid::Uuid;
