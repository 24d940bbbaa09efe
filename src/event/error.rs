//! What can be wrong with words of the vocabulary.

use thiserror::Error;

/// A word of the vocabulary (a type, a name, a scope, a time, an event's content) that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VocabularyError {
    /// An event type does not have five parts.
    #[error("event type {found:?} has {count} parts; expected five parts, TYPE_FLOW_OPERATION_RESULT_VERSION")]
    TypeParts {
        /// The text found.
        found: String,
        /// How many parts it has.
        count: usize,
    },
    /// One part of an event type is not well formed.
    #[error("the {part} part {found:?} of event type {whole:?} is not valid; expected {expected}")]
    TypePart {
        /// Which part: `type`, `flow`, `operation`, `result` or `version`.
        part: &'static str,
        /// The part found.
        found: String,
        /// What a part may be.
        expected: &'static str,
        /// The whole text.
        whole: String,
    },
    /// A name of a tenant, application, variant, handler or queue is not well formed.
    #[error("{what} {found:?} is not a name; expected 1 to 64 characters of A-Z a-z 0-9 . -")]
    Name {
        /// Whose name.
        what: &'static str,
        /// The text found.
        found: String,
    },
    /// A scope is not well formed.
    #[error("{found:?} is not a scope; expected TENANT/APPLICATION, or TENANT/APPLICATION/VARIANT for a tree")]
    Scope {
        /// The text found.
        found: String,
    },
    /// A stream id is not well formed.
    #[error("stream id {found:?} is not valid; expected 1 to 255 bytes of text without control characters")]
    StreamId {
        /// The text found.
        found: String,
    },
    /// A time is not RFC 3339 with an offset.
    #[error("{found:?} is not a time; expected RFC 3339 with an offset, such as 2011-10-01T00:38:44.546+02:00")]
    Time {
        /// The text found.
        found: String,
    },
    /// Data or metadata is not JSON.
    #[error("{what} is not valid JSON: {why}")]
    Json {
        /// `data` or `metadata`.
        what: &'static str,
        /// What the parser says, with line and column.
        why: String,
    },
    /// JSON is nested too deep.
    #[error("{what} is nested deeper than the {limit} levels that are accepted")]
    JsonDepth {
        /// `data` or `metadata`.
        what: &'static str,
        /// [`MAX_JSON_DEPTH`](super::MAX_JSON_DEPTH).
        limit: usize,
    },
    /// A part of an event is larger than its limit.
    #[error("{what} is {size} bytes; {limit_name} is {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit's name, a field of [`Limits`](super::Limits).
        limit_name: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// A field that is required is missing, or two exclude each other.
    #[error("{what}")]
    Field {
        /// What is wrong and what is expected.
        what: &'static str,
    },
}

/// At most 80 characters of `text`, for an error.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
