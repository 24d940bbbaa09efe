//! The vocabulary: event types, scopes, names, times, the event and its envelope. No I/O, and no other room is known
//! here.

mod content;
mod envelope;
mod error;
mod event_type;
mod json;
mod name;
mod same_json;
mod scope;
mod timestamp;

pub use content::{Data, Event, Limits, MAX_ACTOR_LEN, MAX_CONTENT_TYPE_LEN, check_stream_id};
pub use envelope::Envelope;
#[cfg(feature = "http-client")]
pub(crate) use envelope::stated;
pub(crate) use envelope::to_base64;
pub use error::VocabularyError;
pub(crate) use error::excerpt;
pub use event_type::{EventType, MAX_PART_LEN, PART_NAMES, canonical_part, check_event_type};
pub use json::MAX_JSON_DEPTH;
pub(crate) use name::check_name;
pub use name::{DEFAULT_TENANT, MAX_NAME_LEN, Name};
pub(crate) use same_json::same_json;
pub use scope::{Scope, TreeScope};
pub use timestamp::Timestamp;
