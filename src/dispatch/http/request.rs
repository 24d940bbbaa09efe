//! What is sent to an endpoint: the headers and the body of a call.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::{HttpFormat, HttpTarget};
use crate::dispatch::Delivery;
use crate::event::Timestamp;

const JSON: &str = "application/json";

/// A call, ready to be sent.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Bytes,
}

/// The attributes of the call as a CloudEvent 1.0, named as `export` names them.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    /// Of the call: each call of each handler is an event of its own to who receives it.
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    correlationid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// The request of a call.
pub(super) fn of<'a>(delivery: &'a Delivery, target: &'a HttpTarget) -> Request<'a> {
    let key = delivery.idempotency_key();
    let mut headers: Vec<(&'a str, String)> =
        target.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    if let Some(parent) = trace_parent(delivery.event().correlation_id(), &key, delivery.attempt()) {
        headers.push(("traceparent", parent));
    }
    headers.push(("idempotency-key", key));
    let data = Bytes::copy_from_slice(delivery.json());
    let (content_type, body) = match target.format {
        HttpFormat::Json => (JSON, data),
        HttpFormat::CloudEventsBinary => {
            headers.extend(attribute_headers(&cloud_event(delivery)));
            (JSON, data)
        }
        HttpFormat::CloudEvents => {
            let event = CloudEvent { data: serde_json::from_slice(delivery.json()).ok(), ..cloud_event(delivery) };
            // Strings, and JSON as it stands: nothing in it can't be serialised.
            ("application/cloudevents+json", serde_json::to_vec(&event).unwrap_or_default().into())
        }
    };
    headers.push(("content-type", content_type.to_owned()));
    Request { headers, body }
}

/// The context of a trace (W3C Trace Context): the trace is the cascade, the span is the attempt. A trace id of zeros is
/// invalid, so the correlation id of zeros has none.
fn trace_parent(correlation: Uuid, key: &str, attempt: u32) -> Option<String> {
    let mut parent = format!("00-{}-", correlation.simple());
    let digest = Sha256::new().chain_update(key).chain_update(format!("#{attempt}")).finalize();
    for byte in digest.iter().take(8) {
        // Writing to a string doesn't fail.
        let _ = write!(parent, "{byte:02x}");
    }
    parent.push_str("-01");
    (!correlation.is_nil()).then_some(parent)
}

fn cloud_event(delivery: &Delivery) -> CloudEvent<'_> {
    let event = delivery.event();
    CloudEvent {
        specversion: "1.0",
        id: format!("{}/{}/{}", event.id(), delivery.handler(), delivery.call()),
        source: format!("/{}/{}", event.scope().tenant(), event.scope().application()),
        event_type: event.event_type(),
        subject: event.stream(),
        time: event.time(),
        datacontenttype: JSON,
        correlationid: event.correlation_id(),
        causationid: event.causation_id(),
        data: None,
    }
}

/// The attributes as headers; `datacontenttype` is the content type.
fn attribute_headers(event: &CloudEvent<'_>) -> Vec<(&'static str, String)> {
    let attributes = [
        ("ce-specversion", Some(event.specversion.to_owned())),
        ("ce-id", Some(event.id.clone())),
        ("ce-source", Some(event.source.clone())),
        ("ce-type", Some(event.event_type.to_owned())),
        ("ce-subject", Some(in_header(event.subject))),
        ("ce-time", Some(event.time.to_string())),
        ("ce-correlationid", Some(event.correlationid.to_string())),
        ("ce-causationid", event.causationid.map(|id| id.to_string())),
    ];
    attributes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A value as the HTTP binding of CloudEvents writes it (3.1.3.2): what isn't printable ASCII, spaces, quotes and percent
/// signs as `%` and two digits for each byte.
fn in_header(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => drop(write!(text, "%{byte:02X}")),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who receives calls finds them again by these.
    #[test]
    fn the_context_of_a_trace_stays() {
        let correlation = Uuid::from_u128(0x0193_2f6e_0000_7000_8000_0000_0000_0001);
        let parent = |key: &str, attempt| trace_parent(correlation, key, attempt).unwrap();
        // From: printf 'k#1' | sha256sum
        assert_eq!(parent("k", 1), "00-01932f6e000070008000000000000001-8d706a3e83216102-01");
        assert_ne!(parent("k", 1), parent("k", 2));
        assert_eq!(trace_parent(Uuid::nil(), "k", 1), None);
    }

    #[test]
    fn a_stream_of_any_letters_goes_into_a_header() {
        assert_eq!(in_header("loan-1/a"), "loan-1/a");
        assert_eq!(in_header("a b\"%€\n"), "a%20b%22%25%E2%82%AC%0A");
    }
}
