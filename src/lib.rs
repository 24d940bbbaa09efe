//! Atlas: an embedded event store and orchestration engine.

pub mod event;
pub mod storage;

pub use event::{Event, EventType, Scope, Timestamp, TreeScope, VocabularyError};
pub use uuid::Uuid;
