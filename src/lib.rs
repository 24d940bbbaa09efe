//! Atlas: an embedded event store and orchestration engine.

pub mod event;
pub mod log;
pub mod storage;

pub use event::{Envelope, Event, EventType, Scope, Timestamp, TreeScope, VocabularyError};
pub use log::EventStore;
pub use uuid::Uuid;
