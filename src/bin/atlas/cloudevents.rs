//! An event as a CloudEvent 1.0 in JSON. The id is unique in its source, as the standard asks: the source is the scope.
//! Numbers that may outgrow 32 bits stand as text, because a CloudEvents integer has no more.

use std::borrow::Cow;

use atlas::event::Envelope;
use atlas::{Timestamp, Uuid};
use serde::Serialize;
use serde_json::value::RawValue;

/// The attributes of the standard, then the extensions `sequence`, `partitionkey` and `correlationid`, `causationid`
/// as it documents them, then our own.
#[derive(Serialize)]
pub(crate) struct CloudEvent<'a> {
    specversion: &'static str,
    id: Option<Uuid>,
    source: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    datacontenttype: &'a str,
    /// The position, padded so that it sorts as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
    partitionkey: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streamversion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recordedat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    /// JSON, as text: an attribute can't be an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<&'a str>,
}

impl<'a> CloudEvent<'a> {
    pub(crate) fn of(envelope: &'a Envelope<'a>) -> Self {
        let text = |text: &'a Option<Cow<'a, str>>| text.as_deref();
        Self {
            specversion: "1.0",
            id: envelope.id,
            source: format!("/{}/{}", envelope.tenant, envelope.application),
            event_type: &envelope.event_type,
            subject: &envelope.stream,
            time: envelope.time,
            datacontenttype: text(&envelope.content_type).unwrap_or("application/json"),
            sequence: envelope.position.map(|position| format!("{position:020}")),
            partitionkey: &envelope.stream,
            correlationid: envelope.correlation_id,
            causationid: envelope.causation_id,
            streamversion: envelope.version.map(|version| version.to_string()),
            recordedat: envelope.recorded_at,
            revision: envelope.revision.map(|revision| revision.to_string()),
            variant: text(&envelope.variant),
            actor: text(&envelope.actor),
            metadata: envelope.metadata.map(RawValue::get),
            data: envelope.data,
            data_base64: text(&envelope.data_base64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(line: &str) -> serde_json::Value {
        let envelope = Envelope::from_json(line.as_bytes()).unwrap();
        serde_json::to_value(CloudEvent::of(&envelope)).unwrap()
    }

    #[test]
    fn an_event_is_a_cloudevent() {
        let id = "01932f6e-0000-7000-8000-000000000001";
        let event = converted(&format!(
            r#"{{"id":"{id}","type":"A_B_C_D_1","tenant":"bank","application":"loans","stream":"loan-1","version":3,
               "position":4294967296,"time":"2011-10-01T00:38:44.546+02:00","correlation_id":"{id}","revision":2,
               "metadata":{{"a":1}},"data":{{"b":1.50}}}}"#
        ));
        let expected = serde_json::json!({
            "specversion": "1.0", "id": id, "source": "/bank/loans", "type": "A_B_C_D_1", "subject": "loan-1",
            "time": "2011-10-01T00:38:44.546+02:00", "datacontenttype": "application/json",
            "sequence": "00000000004294967296", "partitionkey": "loan-1", "correlationid": id, "streamversion": "3",
            "revision": "2", "metadata": "{\"a\":1}", "data": {"b": 1.5},
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn attribute_names_are_lower_case_letters_and_digits() {
        let event = converted(
            r#"{"type":"A_B_C_D_1","tenant":"t","application":"a","stream":"s","version":1,"position":1,"variant":"v",
               "actor":"me","recorded_at":"2011-10-01T00:38:44Z","content_type":"text/plain","data_base64":"aGk="}"#,
        );
        let members = event.as_object().unwrap();
        assert_eq!(members["datacontenttype"], "text/plain");
        assert_eq!(members["data_base64"], "aGk=");
        for name in members.keys().filter(|name| *name != "data_base64") {
            assert!(name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        }
    }
}
