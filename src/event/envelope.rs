//! The envelope as JSON: one NDJSON line in and out, what jq sees, what the command line prints.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Data, Event, Scope, Timestamp, VocabularyError};

/// An event with its envelope, in the field names of its JSON form. On the way in, all but `type`, `stream`, `tenant`,
/// `application` and the data may be absent; unknown fields are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are the words of the envelope, documented in the guide")]
pub struct Envelope<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    #[serde(rename = "type", borrow)]
    pub event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    pub tenant: Cow<'a, str>,
    #[serde(borrow, default)]
    pub application: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub stream: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow, deserialize_with = "stated")]
    pub metadata: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow, deserialize_with = "stated")]
    pub data: Option<&'a RawValue>,
}

/// JSON that is there: `null` is a value, and not what is absent.
pub(crate) fn stated<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    /// Reads one NDJSON line.
    ///
    /// # Errors
    /// What serde_json says: not JSON, no object, an unknown or a missing field, a bad id or time.
    pub fn from_json(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        // What is derived for a struct would take an array of its fields as well.
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(first, Some(b'{') | None) {
            return serde_json::from_slice(line);
        }
        let value: serde_json::Value = serde_json::from_slice(line)?;
        let kind = match value {
            serde_json::Value::Null => "null",
            serde_json::Value::Bool(_) => "true or false",
            serde_json::Value::Number(_) => "a number",
            serde_json::Value::String(_) => "a string",
            // It doesn't begin as an object does.
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => "an array",
        };
        Err(serde::de::Error::custom(format_args!("it is {kind}, not an object")))
    }

    /// The scope.
    ///
    /// # Errors
    /// [`VocabularyError::Field`] where tenant or application is missing, [`VocabularyError::Name`] where one is no name.
    pub fn scope(&self) -> Result<Scope, VocabularyError> {
        if self.tenant.is_empty() {
            return Err(VocabularyError::Field { what: "the field tenant is missing; expected a name" });
        }
        if self.application.is_empty() {
            return Err(VocabularyError::Field { what: "the field application is missing; expected a name" });
        }
        Scope::new(&self.tenant, &self.application)
    }

    /// The event as a caller gives it: `version`, `position`, `recorded_at` and `revision` are left out.
    ///
    /// # Errors
    /// [`VocabularyError::Field`] where there is neither `data` nor `data_base64`, or both, or base64 without a content
    /// type; [`VocabularyError::Json`] where `data_base64` isn't base64.
    pub fn to_event(&self) -> Result<Event, VocabularyError> {
        let json = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
        let data = match (self.data, &self.data_base64, &self.content_type) {
            (Some(raw), None, None) => Data { content_type: None, bytes: json(raw) },
            (None, Some(text), Some(content_type)) => {
                let bytes = BASE64
                    .decode(text.as_bytes())
                    .map_err(|_| VocabularyError::Field { what: "data_base64 is not base64 (RFC 4648)" })?;
                Data { content_type: Some(content_type.clone().into_owned()), bytes: bytes.into() }
            }
            (None, None, _) => {
                return Err(VocabularyError::Field { what: "the field data is missing; expected data or data_base64" });
            }
            (Some(_), Some(_), _) => {
                return Err(VocabularyError::Field { what: "both data and data_base64 are given; expected one" });
            }
            (Some(_), None, Some(_)) => {
                return Err(VocabularyError::Field { what: "content_type goes with data_base64; data is always JSON" });
            }
            (None, Some(_), None) => {
                return Err(VocabularyError::Field { what: "the field content_type is missing beside data_base64" });
            }
        };
        let owned = |text: &Option<Cow<'a, str>>| text.clone().map(Cow::into_owned);
        Ok(Event {
            id: self.id,
            event_type: self.event_type.clone().into_owned(),
            stream: self.stream.clone().into_owned(),
            variant: owned(&self.variant),
            time: self.time,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: owned(&self.actor),
            metadata: self.metadata.map(|raw| Ok(json(raw))),
            data: Ok(data),
            data_is_stated: true,
            revision: None,
        })
    }
}

impl Event {
    /// The event as a line of NDJSON, of a scope; what isn't stated is left out.
    ///
    /// # Errors
    /// [`VocabularyError::Json`] where data or metadata can't be serialised.
    pub(crate) fn to_json(&self, scope: &Scope) -> Result<Vec<u8>, VocabularyError> {
        let bad = |what: String| VocabularyError::Json { what: "the event", why: what };
        let raw = |bytes: &'_ Bytes| -> Result<Box<RawValue>, VocabularyError> {
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))
        };
        let data = self.data.as_ref().map_err(|why| bad(why.clone()))?;
        let json = if data.content_type.is_none() { Some(raw(&data.bytes)?) } else { None };
        let metadata = match &self.metadata {
            Some(Ok(bytes)) => Some(raw(bytes)?),
            Some(Err(why)) => return Err(bad(why.clone())),
            None => None,
        };
        let envelope = Envelope {
            id: self.id,
            event_type: self.event_type.as_str().into(),
            tenant: scope.tenant().as_str().into(),
            application: scope.application().as_str().into(),
            variant: self.variant.as_deref().map(Into::into),
            stream: self.stream.as_str().into(),
            version: None,
            position: None,
            time: self.time,
            recorded_at: None,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: self.actor.as_deref().map(Into::into),
            revision: None,
            metadata: metadata.as_deref(),
            content_type: data.content_type.as_deref().map(Into::into),
            data_base64: data.content_type.is_some().then(|| to_base64(&data.bytes).into()),
            data: json.as_deref(),
        };
        serde_json::to_vec(&envelope).map_err(|error| bad(error.to_string()))
    }
}

/// Bytes as the text of `data_base64`.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"type":"LOAN_OFFER_SENT_COMPLETE_1","stream":"loan-1","tenant":"dutch-bank","application":"loans","time":"2011-10-01T00:38:44.546+02:00","data":{"a": 1.0}}"#;

    #[test]
    fn a_line_becomes_an_event_with_its_data_byte_for_byte() {
        let line = Envelope::from_json(LINE.as_bytes()).unwrap();
        assert_eq!(line.scope().unwrap().to_string(), "dutch-bank/loans");
        let event = line.to_event().unwrap();
        let (data, _) = event.check(&crate::event::Limits::default()).unwrap();
        assert_eq!(&data.bytes[..], br#"{"a": 1.0}"#);
        let again = serde_json::to_string(&line).unwrap();
        assert!(again.contains(r#""time":"2011-10-01T00:38:44.546+02:00""#), "{again}");
    }

    #[test]
    fn null_is_a_value() {
        let line = LINE.replace("{\"a\": 1.0}", "null, \"metadata\": null");
        let event = Envelope::from_json(line.as_bytes()).unwrap().to_event().unwrap();
        assert_eq!(event.data.as_ref().unwrap().bytes, "null");
        assert_eq!(event.metadata.as_ref().unwrap().as_ref().unwrap(), "null");
        let again = event.to_json(&"dutch-bank/loans".parse().unwrap()).unwrap();
        let again = Envelope::from_json(&again).unwrap().to_event().unwrap();
        assert_eq!((again.data.unwrap().bytes, again.metadata), (event.data.unwrap().bytes, event.metadata));
    }

    #[test]
    fn an_event_is_an_object() {
        let line = r#"[null, "A_B_C_D_1", "t", "a", null, "s", null, null, null, null, null, null, null, null, null, null, null, {}]"#;
        for (line, kind) in [(line, "an array"), ("7", "a number"), (" null", "null"), ("\"x\"", "a string")] {
            let error = Envelope::from_json(line.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("it is {kind}, not an object")), "{error}");
        }
    }

    #[test]
    fn bad_lines_say_what_is_missing() {
        let message = |line: &str| {
            let line = match Envelope::from_json(line.as_bytes()) {
                Ok(line) => line,
                Err(error) => return error.to_string(),
            };
            match line.scope().and_then(|_| line.to_event()) {
                Ok(_) => panic!("accepted"),
                Err(error) => error.to_string(),
            }
        };
        assert!(message(&LINE.replace("\"tenant\":\"dutch-bank\",", "")).contains("tenant"));
        assert!(message(&LINE.replace("\"stream\":\"loan-1\",", "")).contains("stream"));
        assert!(message(&LINE.replace(r#","data":{"a": 1.0}"#, "")).contains("data"));
        assert!(message(&LINE.replace("\"data\"", "\"Data\"")).contains("Data"));
        assert!(message(&LINE.replace("\"data\"", "\"content_type\":\"x\",\"data\"")).contains("content_type"));
        assert!(message("{").contains("EOF"));
    }
}
