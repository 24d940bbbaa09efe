//! An event as a caller gives it, before it has a version and a position.

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::json::check_json;
use super::{Timestamp, VocabularyError, check_event_type, check_name, excerpt};

/// Size limits of one event. All in bytes; what is larger is refused with [`VocabularyError::TooLarge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest data. Default 16 MiB, which is also the most it can be.
    pub max_data: usize,
    /// Longest stream id. Default 255, which is also the most it can be.
    pub max_stream_id: usize,
    /// Largest metadata. Default 64 KiB, which is also the most it can be.
    pub max_metadata: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_data: 16 << 20, max_stream_id: 255, max_metadata: 64 << 10 }
    }
}

/// The longest actor, in bytes.
pub const MAX_ACTOR_LEN: usize = 255;
/// The longest content type, in bytes.
pub const MAX_CONTENT_TYPE_LEN: usize = 127;

/// The content of an event: JSON (no content type), or other bytes with their content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// `None` says JSON.
    pub content_type: Option<String>,
    /// The bytes, kept as given.
    pub bytes: Bytes,
}

/// An event as a caller gives it: a type, a stream, data, and whatever else of the envelope the caller wants to state.
/// What isn't stated gets its default when it is appended.
///
/// ```
/// use atlas::Event;
/// let event = Event::new("LOAN_APPLICATION_SUBMITTED_COMPLETE_1", "loan-1")
///     .data(&serde_json::json!({ "amount_requested": 20000 }))
///     .actor("desk 7");
/// assert_eq!(event.stream(), "loan-1");
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) id: Option<Uuid>,
    pub(crate) event_type: String,
    pub(crate) stream: String,
    pub(crate) variant: Option<String>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) actor: Option<String>,
    pub(crate) metadata: Option<Result<Bytes, String>>,
    pub(crate) data: Result<Data, String>,
    /// The data were stated, and are not the default.
    pub(crate) data_is_stated: bool,
    /// The revision of the tree that routed it.
    pub(crate) revision: Option<u32>,
}

impl Event {
    /// An event of `event_type` for `stream`, with the data `{}`. Both are checked when the event is appended.
    pub fn new(event_type: impl Into<String>, stream: impl Into<String>) -> Self {
        Self {
            id: None,
            event_type: event_type.into(),
            stream: stream.into(),
            variant: None,
            time: None,
            correlation_id: None,
            causation_id: None,
            actor: None,
            metadata: None,
            data: Ok(Data { content_type: None, bytes: Bytes::from_static(b"{}") }),
            data_is_stated: false,
            revision: None,
        }
    }

    /// With this time, where none is stated.
    pub(crate) fn time_unless_stated(mut self, time: Timestamp) -> Self {
        self.time.get_or_insert(time);
        self
    }

    /// States the data as JSON. Data that can't be serialised are refused when the event is appended.
    #[must_use]
    pub fn data(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        self.data = serde_json::to_vec(data)
            .map(|json| Data { content_type: None, bytes: json.into() })
            .map_err(|error| error.to_string());
        self.data_is_stated = true;
        self
    }

    /// States the data as JSON text, kept byte for byte.
    #[must_use]
    pub fn json(mut self, json: impl Into<Bytes>) -> Self {
        self.data = Ok(Data { content_type: None, bytes: json.into() });
        self.data_is_stated = true;
        self
    }

    /// States data that are not JSON.
    #[must_use]
    pub fn bytes(mut self, content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.data = Ok(Data { content_type: Some(content_type.into()), bytes: bytes.into() });
        self.data_is_stated = true;
        self
    }

    /// States the id; by default the engine makes a v7 UUID. Appending the same id again writes nothing.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = Some(id);
        self
    }

    /// States when it happened; by default the time it was recorded.
    #[must_use]
    pub fn time(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// States the variant, which chooses the configuration tree.
    #[must_use]
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// States the correlation id; by default the event's own id.
    #[must_use]
    pub fn correlation_id(mut self, id: Uuid) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// States the id of the event that caused this one.
    #[must_use]
    pub fn causation_id(mut self, id: Uuid) -> Self {
        self.causation_id = Some(id);
        self
    }

    /// States who acted.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// States metadata, as JSON.
    #[must_use]
    pub fn metadata(mut self, metadata: &(impl Serialize + ?Sized)) -> Self {
        self.metadata = Some(serde_json::to_vec(metadata).map(Bytes::from).map_err(|error| error.to_string()));
        self
    }

    /// The type, as stated.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The stream id, as stated.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The id, where stated.
    pub fn stated_id(&self) -> Option<Uuid> {
        self.id
    }

    /// The variant, where stated.
    pub fn stated_variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Checks every part against the vocabulary and `limits`, and gives the data and the metadata.
    ///
    /// # Errors
    /// The first [`VocabularyError`] found.
    pub fn check(&self, limits: &Limits) -> Result<(&Data, Option<&Bytes>), VocabularyError> {
        check_event_type(&self.event_type)?;
        self.check_but_type(limits)
    }

    /// As [`check`](Self::check), of an event whose type was checked.
    pub(crate) fn check_but_type(&self, limits: &Limits) -> Result<(&Data, Option<&Bytes>), VocabularyError> {
        check_stream_id(&self.stream, limits)?;
        if let Some(variant) = &self.variant {
            check_name("variant", variant)?;
        }
        if let Some(actor) = &self.actor {
            check_size("actor", actor.len(), "MAX_ACTOR_LEN", MAX_ACTOR_LEN)?;
        }
        let data = self.data.as_ref().map_err(|why| VocabularyError::Json { what: "data", why: why.clone() })?;
        check_size("data", data.bytes.len(), "max_data", limits.max_data)?;
        match &data.content_type {
            Some(content_type) => {
                check_size("content type", content_type.len(), "MAX_CONTENT_TYPE_LEN", MAX_CONTENT_TYPE_LEN)?;
            }
            None => check_json("data", &data.bytes)?,
        }
        let metadata = match &self.metadata {
            Some(Ok(metadata)) => {
                check_size("metadata", metadata.len(), "max_metadata", limits.max_metadata)?;
                check_json("metadata", metadata)?;
                Some(metadata)
            }
            Some(Err(why)) => return Err(VocabularyError::Json { what: "metadata", why: why.clone() }),
            None => None,
        };
        Ok((data, metadata))
    }
}

/// Checks a stream id: not empty, no longer than `limits` allow, no control characters.
///
/// # Errors
/// [`VocabularyError::StreamId`], [`VocabularyError::TooLarge`].
pub fn check_stream_id(id: &str, limits: &Limits) -> Result<(), VocabularyError> {
    check_size("stream id", id.len(), "max_stream_id", limits.max_stream_id)?;
    let is_plain = id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if id.is_empty() || !is_plain && id.chars().any(char::is_control) {
        return Err(VocabularyError::StreamId { found: excerpt(id) });
    }
    Ok(())
}

fn check_size(what: &'static str, size: usize, limit_name: &'static str, limit: usize) -> Result<(), VocabularyError> {
    if size <= limit { Ok(()) } else { Err(VocabularyError::TooLarge { what, size, limit_name, limit }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::new("A_B_C_D_1", "s")
    }

    #[test]
    fn each_limit_has_a_name_in_its_error() {
        let limits = Limits { max_data: 8, max_stream_id: 4, max_metadata: 8 };
        let message = |event: Event| event.check(&limits).unwrap_err().to_string();
        assert!(message(event().json("\"123456789\"")).contains("max_data"));
        assert!(message(Event::new("A_B_C_D_1", "12345")).contains("max_stream_id"));
        assert!(message(event().metadata("123456789")).contains("max_metadata"));
        assert!(message(event().actor("x".repeat(256))).contains("MAX_ACTOR_LEN"));
        assert!(event().json("123").check(&limits).is_ok());
    }

    #[test]
    fn data_without_a_content_type_must_be_json() {
        let limits = Limits::default();
        assert!(event().json("{\"a\":").check(&limits).is_err());
        assert!(event().bytes("text/plain", "{").check(&limits).is_ok());
    }

    #[test]
    fn stream_ids_are_text_without_control_characters() {
        let limits = Limits::default();
        assert!(Event::new("A_B_C_D_1", "").check(&limits).is_err());
        assert!(Event::new("A_B_C_D_1", "a\nb").check(&limits).is_err());
        assert!(Event::new("A_B_C_D_1", "lån 7/b").check(&limits).is_ok());
    }
}
