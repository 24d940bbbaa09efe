//! What the answer of an endpoint means for the delivery.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::StatusCode;

use crate::config::{HttpAnswer, HttpTarget};
use crate::dispatch::{Emit, HandlerError, MAX_ANSWER_BYTES};
use crate::event::{Envelope, Event, Timestamp, stated};

/// How much of a body an error tells, in bytes.
const BODY_TOLD: usize = 200;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<&'a str>,
    pub(super) content: Content,
}

/// The body of an answer, as far as it was read.
#[derive(Debug)]
pub(super) struct Content {
    /// At most [`MAX_ANSWER_BYTES`].
    pub(super) bytes: Vec<u8>,
    /// There was no more.
    pub(super) is_whole: bool,
    /// Why it could not be read to its end.
    pub(super) broken: Option<String>,
}

/// What an answer means; `now` in microseconds.
pub(super) fn outcome(target: &HttpTarget, answer: Answer<'_>, now: i64) -> Result<Emit, HandlerError> {
    let Answer { status, retry_after, content } = answer;
    let about = format!("POST {}: {status}", target.url_without_query());
    if !status.is_success() {
        let what = format!("{about}{}", told(&content.bytes));
        let may_wait = matches!(status.as_u16(), 429 | 503);
        return Err(match retry_after.and_then(|text| wait(text, now)).filter(|_| may_wait) {
            Some(wait) => HandlerError::RetryAfter(wait, what),
            None if matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error() => HandlerError::Retry(what),
            None => HandlerError::Fatal(what),
        });
    }
    if let Some(why) = content.broken {
        return Err(HandlerError::Retry(format!("{about}: the body breaks off: {why}")));
    }
    // 204 says that there is nothing.
    if target.answer == HttpAnswer::Ignore || status == StatusCode::NO_CONTENT {
        return Ok(Emit::none());
    }
    if !content.is_whole {
        let what = format!("{about}: the body is longer than MAX_ANSWER_BYTES = {MAX_ANSWER_BYTES} bytes");
        return Err(HandlerError::Fatal(what + &told(&content.bytes)));
    }
    let read = match target.answer {
        HttpAnswer::Output => output(&content.bytes),
        _ => events(&content.bytes),
    };
    read.map_err(|why| HandlerError::Fatal(format!("{about}: {why}{}", told(&content.bytes))))
}

/// The beginning of a body as text on one line, after a colon; nothing of an empty one.
fn told(body: &[u8]) -> String {
    let beginning = String::from_utf8_lossy(body.get(..BODY_TOLD).unwrap_or(body));
    // A character that was cut in two.
    let beginning = beginning.trim_end_matches(char::REPLACEMENT_CHARACTER);
    let line: String = beginning.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.trim() {
        "" => String::new(),
        line if body.len() > BODY_TOLD => format!(": {line}…"),
        line => format!(": {line}"),
    }
}

/// The wait that a `Retry-After` asks for: seconds, or an HTTP date in one of its three forms (RFC 9110, 5.6.7). A time
/// that has come asks for none, so the wait is that of the handler's `retry`.
fn wait(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More digits than fit: the longest, which is cut.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
        let date = forms.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
        let at = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond();
        Duration::from_micros(u64::try_from(at.saturating_sub(now)).ok()?)
    };
    (!wait.is_zero()).then_some(wait)
}

/// The output of the delivery, from the whole body.
fn output(body: &[u8]) -> Result<Emit, String> {
    let raw: &RawValue = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    Ok(emit_output(Emit::none(), raw))
}

/// As it stands: not parsed and written again.
fn emit_output(emit: Emit, raw: &RawValue) -> Emit {
    Emit { output: Some(Ok(Bytes::copy_from_slice(raw.get().as_bytes()))), ..emit }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

/// An event as an answer states it: what follows from its cause can't be stated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emitted<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    time: Option<Timestamp>,
    #[serde(borrow, default, deserialize_with = "stated")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "stated")]
    data: Option<&'a RawValue>,
}

/// Reads an object: what is derived for a struct would take an array of its fields as well.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') | None => serde_json::from_slice(json).map_err(|error| error.to_string()),
        Some(_) => Err("it is not an object".to_owned()),
    }
}

/// The events that the body states, and its output.
fn events(body: &[u8]) -> Result<Emit, String> {
    let expected = "expected {\"events\": [{\"type\": ..., \"stream\": ..., \"data\": ...}], \"output\": ...}";
    let answer: Events<'_> = object(body).map_err(|error| format!("the body: {error}; {expected}"))?;
    let mut emit = Emit::none();
    for (raw, number) in answer.events.into_iter().zip(1..) {
        let event = event(raw).map_err(|why| format!("event {number} of the body: {why}"))?;
        emit = emit.event(event);
    }
    Ok(match answer.output {
        Some(raw) => emit_output(emit, raw),
        None => emit,
    })
}

fn event(raw: &RawValue) -> Result<Event, String> {
    let emitted: Emitted<'_> = object(raw.get().as_bytes())?;
    let Emitted { event_type, stream, time, metadata, content_type, data_base64, data } = emitted;
    let (is_binary, stated) = (data_base64.is_some() || content_type.is_some(), data);
    // As in a line of NDJSON; but an event without data is one with `{}`, as that of a function is.
    let empty = (!is_binary).then(|| RawValue::from_string("{}".to_owned()).ok()).flatten();
    let envelope = Envelope {
        id: None,
        event_type,
        tenant: Cow::Borrowed(""),
        application: Cow::Borrowed(""),
        variant: None,
        stream,
        version: None,
        position: None,
        time,
        recorded_at: None,
        correlation_id: None,
        causation_id: None,
        actor: None,
        revision: None,
        metadata,
        content_type,
        data_base64,
        data: stated.or(empty.as_deref()),
    };
    envelope.to_event().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpFormat;

    fn target(answer: HttpAnswer) -> HttpTarget {
        HttpTarget {
            url: "https://a.example/b?key=secret".to_owned(),
            format: HttpFormat::Json,
            headers: Default::default(),
            answer,
        }
    }

    fn answered(answer: HttpAnswer, status: u16, retry_after: Option<&str>, body: &str) -> Result<Emit, HandlerError> {
        let content = Content { bytes: body.as_bytes().to_vec(), is_whole: true, broken: None };
        let status = StatusCode::from_u16(status).unwrap();
        outcome(&target(answer), Answer { status, retry_after, content }, 1_000_000_000_000_000)
    }

    #[test]
    fn statuses_say_whether_another_attempt_may_help() {
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 299][..], "success"),
            (&[408, 425, 429, 500, 502, 503, 504, 599], "retry"),
            (&[300, 301, 302, 307, 308, 400, 401, 403, 404, 409, 410, 422, 600], "fatal"),
        ] {
            for status in statuses {
                let found = match answered(HttpAnswer::Ignore, *status, None, "why") {
                    Ok(_) => "success",
                    Err(HandlerError::Retry(_)) => "retry",
                    Err(HandlerError::RetryAfter(..)) => "later",
                    Err(HandlerError::Fatal(_)) => "fatal",
                };
                assert_eq!(found, expected, "{status}");
            }
        }
    }

    #[test]
    fn errors_tell_method_url_without_query_status_and_the_beginning_of_the_body() {
        let why = answered(HttpAnswer::Ignore, 404, None, "no\nsuch\toffer").unwrap_err();
        assert_eq!(why.to_string(), "POST https://a.example/b: 404 Not Found: no such offer");
        // The 200th byte is within a character.
        let long = format!("{}€ and more", "x".repeat(198));
        let why = answered(HttpAnswer::Ignore, 500, None, &long).unwrap_err().to_string();
        assert_eq!(why, format!("POST https://a.example/b: 500 Internal Server Error: {}…", "x".repeat(198)));
        assert_eq!(answered(HttpAnswer::Ignore, 500, None, "").unwrap_err().to_string().matches(": ").count(), 1);
    }

    #[test]
    fn a_host_may_ask_for_a_wait() {
        // 2001-09-09T01:46:40Z is now.
        for (text, expected) in [
            ("90", Some(90)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 09 Sep 2001 01:47:40 GMT", Some(60)),
            ("Sunday, 09-Sep-01 01:47:40 GMT", Some(60)),
            ("Sun Sep  9 01:47:40 2001", Some(60)),
            ("Sun, 09 Sep 2001 01:46:40 GMT", None),
            ("Sun, 09 Sep 1990 01:46:40 GMT", None),
            ("0", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait(text, 1_000_000_000_000_000).map(|wait| wait.as_secs()), expected, "{text}");
        }
        let later = |status| answered(HttpAnswer::Ignore, status, Some("90"), "").unwrap_err();
        for status in [429, 503] {
            assert!(matches!(later(status), HandlerError::RetryAfter(wait, _) if wait.as_secs() == 90), "{status}");
        }
        assert!(matches!(later(500), HandlerError::Retry(_)));
        assert!(matches!(later(400), HandlerError::Fatal(_)));
    }

    #[test]
    fn an_output_is_the_body_as_it_stands() {
        let emit = answered(HttpAnswer::Output, 200, None, " {\"a\": 1.50}\n").unwrap();
        assert_eq!(emit.output.unwrap().unwrap(), r#"{"a": 1.50}"#);
        for body in ["", "<html>", "{\"a\": 1} x"] {
            let why = answered(HttpAnswer::Output, 200, None, body).unwrap_err();
            assert!(matches!(&why, HandlerError::Fatal(why) if why.contains("the body is not JSON")), "{why}");
        }
        assert!(answered(HttpAnswer::Ignore, 200, None, "<html>").unwrap().output.is_none());
    }

    #[test]
    fn events_of_the_wrong_form_are_fatal_and_say_where() {
        let body = r#"{"events": [{"type": "A_B_C_D_1"}, {"type": "A_B_C_D_2", "stream": "s", "data": [1.0],
            "time": "2011-10-01T00:38:44.546+02:00", "metadata": {"a": 1}}], "output": {"b": 2}}"#;
        let emit = answered(HttpAnswer::Events, 200, None, body).unwrap();
        assert_eq!(emit.output.unwrap().unwrap(), r#"{"b": 2}"#);
        let data: Vec<_> = emit.events.iter().map(|event| event.data.clone().unwrap().bytes).collect();
        assert_eq!((data[0].as_ref(), data[1].as_ref()), (&b"{}"[..], &b"[1.0]"[..]));
        assert_eq!((emit.events[0].stream(), emit.events[1].stream()), ("", "s"));

        for (body, why) in [
            ("", "the body: EOF"),
            ("[]", "the body: it is not an object"),
            ("{}", "missing field `events`"),
            (r#"{"events": [], "evnts": []}"#, "unknown field `evnts`"),
            (r#"{"events": [{"type": "A"}, {"stream": "s"}]}"#, "event 2 of the body: missing field `type`"),
            (r#"{"events": [{"type": "A", "id": "x"}]}"#, "event 1 of the body: unknown field `id`"),
            (r#"{"events": [{"type": "A", "tenant": "x"}]}"#, "event 1 of the body: unknown field `tenant`"),
            (r#"{"events": [{"type": "A", "data": 1, "data_base64": "YQ=="}]}"#, "event 1 of the body: both data"),
            (r#"{"events": [{"type": "A", "time": "now"}]}"#, "event 1 of the body: "),
            (r#"{"events": [7]}"#, "event 1 of the body: it is not an object"),
        ] {
            let error = answered(HttpAnswer::Events, 200, None, body).unwrap_err();
            assert!(matches!(&error, HandlerError::Fatal(text) if text.contains(why)), "{body}: {error}");
        }
        assert!(answered(HttpAnswer::Events, 200, None, r#"{"events": []}"#).unwrap().events.is_empty());
    }
}
