//! The target `http`: what a document says about an endpoint, and reading it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::json::{Node, Source, Value};
use super::nearest::nearest;
use super::read::{object, string, wrong_kind};
use crate::event::excerpt;

/// The longest URL, in bytes.
pub const MAX_URL_LEN: usize = 2_048;
/// The most headers of a target.
pub const MAX_HTTP_HEADERS: usize = 32;
/// The longest name and the longest value of a header, in bytes.
pub const MAX_HEADER_LEN: usize = 4_096;

const KEYS: [&str; 4] = ["url", "format", "headers", "answer"];
/// Headers that follow from the call or from the connection. So do all that begin with [`CE`].
pub(super) const HEADERS_OF_ATLAS: [&str; 12] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
/// How the headers of a CloudEvent begin.
pub(super) const CE: &str = "ce-";

const EXPECTED_URL: &str = "http:// or https://, a host, and at most a port, a path and a query, such as \
                            \"https://mail.example/offers\"";

/// An endpoint that a handler calls by POST.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct HttpTarget {
    /// Where it is: an `http` or `https` URL with a host, without user info and fragment.
    pub url: String,
    /// What is sent. Default: the data as JSON.
    pub format: HttpFormat,
    /// Further headers, by name.
    pub headers: BTreeMap<String, String>,
    /// What the body of an answer is. Default: nothing that counts.
    pub answer: HttpAnswer,
}

impl HttpTarget {
    /// Scheme, host and port: what a limit of calls to one host holds for.
    pub fn host(&self) -> &str {
        let authority = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let end = self.url.get(authority..).and_then(|rest| rest.find(['/', '?']));
        end.and_then(|end| self.url.get(..authority + end)).unwrap_or(&self.url)
    }

    /// The URL without its query, which may hold what isn't for a log.
    pub fn url_without_query(&self) -> &str {
        self.url.split_once('?').map_or(&self.url, |(url, _)| url)
    }
}

/// What is sent to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum HttpFormat {
    /// The data as the body.
    #[default]
    #[serde(rename = "json")]
    Json,
    /// A CloudEvent 1.0 in structured mode: one JSON object with the data in it.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// A CloudEvent 1.0 in binary mode: attributes in headers, the data as the body.
    #[serde(rename = "cloudevents-binary")]
    CloudEventsBinary,
}

/// What the body of a successful answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HttpAnswer {
    /// Nothing that counts.
    #[default]
    Ignore,
    /// The output of the delivery, as JSON.
    Output,
    /// The events that the call emits, and perhaps its output.
    Events,
}

impl HttpFormat {
    /// With the word for each.
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("json", Self::Json), ("cloudevents", Self::CloudEvents), ("cloudevents-binary", Self::CloudEventsBinary)];
}

impl HttpAnswer {
    /// With the word for each.
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("ignore", Self::Ignore), ("output", Self::Output), ("events", Self::Events)];
}

impl fmt::Display for HttpFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, of)| of == self).map_or("", |(word, _)| word))
    }
}

impl fmt::Display for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, of)| of == self).map_or("", |(word, _)| word))
    }
}

/// Reads what stands behind the key `http`: a URL, or an object with one.
pub(super) fn read(source: &mut Source<'_>, node: &Node) -> Option<HttpTarget> {
    if let Value::String(text) = &node.value {
        let url = url(source, node, text)?;
        let (format, answer) = (HttpFormat::default(), HttpAnswer::default());
        return Some(HttpTarget { url, format, headers: BTreeMap::new(), answer });
    }
    if !matches!(node.value, Value::Object(_)) {
        wrong_kind(source, node, "http", "a URL, or an object with one");
        return None;
    }
    let entries = object(source, node, "http", &KEYS)?;
    if entries.get("url").is_none() {
        source.fault(node.offset, "the key \"url\" of http is missing", "\"url\": \"https://...\"");
    }
    let url = entries.get("url").and_then(|node| {
        let text = string(source, node, "url")?;
        url(source, node, text)
    });
    let format = entries.get("format").map(|node| word(source, node, "format", &HttpFormat::ALL));
    let headers = entries.get("headers").map(|node| headers(source, node));
    let answer = entries.get("answer").map(|node| word(source, node, "answer", &HttpAnswer::ALL));
    Some(HttpTarget {
        url: url?,
        format: format.unwrap_or_else(|| Some(HttpFormat::default()))?,
        headers: headers.unwrap_or_else(|| Some(BTreeMap::new()))?,
        answer: answer.unwrap_or_else(|| Some(HttpAnswer::default()))?,
    })
}

/// One of a few words.
fn word<T: Copy>(source: &mut Source<'_>, node: &Node, key: &str, words: &[(&str, T)]) -> Option<T> {
    let text = string(source, node, key)?;
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*found);
    }
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let near = nearest(text, words.iter().copied());
    let near = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    let expected = format!("one of {}{near}", words.join(", "));
    source.fault(node.offset, format!("{key} is {:?}", excerpt(text)), expected);
    None
}

fn url(source: &mut Source<'_>, node: &Node, text: &str) -> Option<String> {
    match url_fault(text) {
        None => Some(text.to_owned()),
        Some(why) => {
            source.fault(node.offset, format!("the URL {:?} {why}", excerpt(text)), EXPECTED_URL);
            None
        }
    }
}

/// What is wrong with a URL.
fn url_fault(text: &str) -> Option<&'static str> {
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}');
    if text.len() > MAX_URL_LEN {
        return Some("is longer than MAX_URL_LEN = 2048 bytes");
    }
    if text.contains(odd) {
        return Some("has a character that isn't for URLs; write it as % and two digits");
    }
    if text.contains('#') {
        return Some("has a fragment, which isn't sent");
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return Some("has another scheme, or none");
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("holds user info; use a header");
    }
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, port))) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Some("has a host in brackets that is no IPv6 address");
            }
            (address, port.strip_prefix(':').or((!port.is_empty()).then_some("")))
        }
        Some(None) => return Some("has a host with one bracket"),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty()
        || !host.contains(|c: char| c.is_ascii_alphanumeric() || c == ':')
        || !host.chars().all(is_of_host)
    {
        return Some("has no host");
    }
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    match port {
        Some(port) if !is_port(port) => Some("has a port that isn't from 1 to 65535"),
        _ => None,
    }
}

fn headers(source: &mut Source<'_>, node: &Node) -> Option<BTreeMap<String, String>> {
    let Value::Object(entries) = &node.value else {
        wrong_kind(source, node, "headers", "an object of names and values");
        return None;
    };
    if entries.len() > MAX_HTTP_HEADERS {
        let what = format!("http has {} headers", entries.len());
        source.fault(node.offset, what, format!("at most MAX_HTTP_HEADERS = {MAX_HTTP_HEADERS}"));
        return None;
    }
    let (mut headers, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut whole = true;
    for (key, value) in entries {
        let lower = key.text.to_ascii_lowercase();
        let named = excerpt(&key.text);
        if !is_header_name(&key.text) {
            let expected = format!("1 to {MAX_HEADER_LEN} characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~");
            source.fault(key.offset, format!("{named:?} is not the name of a header"), expected);
            whole = false;
        } else if HEADERS_OF_ATLAS.contains(&lower.as_str()) || lower.starts_with(CE) {
            source.fault(key.offset, format!("the header {named:?} is set by Atlas"), "a header of your own");
            whole = false;
        } else if !seen.insert(lower) {
            source.fault(
                key.offset,
                format!("the header {named:?} stands twice"),
                "each name once; case doesn't count",
            );
            whole = false;
        }
        match string(source, value, &format!("the header {named:?}")) {
            Some(text) if is_header_value(text) => drop(headers.insert(key.text.clone(), text.to_owned())),
            Some(_) => {
                let what = format!("the value of the header {named:?} can't be sent");
                let expected = format!("1 to {MAX_HEADER_LEN} visible ASCII characters, with spaces only between them");
                source.fault(value.offset, what, expected);
                whole = false;
            }
            None => whole = false,
        }
    }
    whole.then_some(headers)
}

fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=MAX_HEADER_LEN).contains(&name.len()) && name.bytes().all(is_token)
}

fn is_header_value(value: &str) -> bool {
    let is_visible = |b: u8| b.is_ascii_graphic() || b == b' ';
    (1..=MAX_HEADER_LEN).contains(&value.len())
        && value.bytes().all(is_visible)
        && !value.starts_with(' ')
        && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Result<HttpTarget, Vec<String>> {
        let mut source = Source::new("f", text.as_bytes()).unwrap();
        let node = source.parse().unwrap();
        let read = read(&mut source, &node);
        match read {
            Some(target) if source.faults.is_empty() => Ok(target),
            _ => Err(source.faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn urls_that_can_be_called_are_accepted() {
        for (url, host) in [
            ("https://mail.example", "https://mail.example"),
            ("http://localhost:8080/a/b?c=d&e=%20", "http://localhost:8080"),
            ("https://10.0.0.7?x", "https://10.0.0.7"),
            ("https://[::1]:65535/", "https://[::1]:65535"),
            ("http://my_host-1.a./~x;(y),!$'*+=:@", "http://my_host-1.a."),
        ] {
            let target = target(&format!("{url:?}")).unwrap();
            assert_eq!((target.host(), target.format, target.answer), (host, HttpFormat::Json, HttpAnswer::Ignore));
        }
    }

    #[test]
    fn urls_that_can_not_be_called_are_faults_that_say_why() {
        for (url, why) in [
            ("ftp://a/", "another scheme"),
            ("a.example/x", "another scheme"),
            ("https://", "no host"),
            ("https:///x", "no host"),
            ("https://:80/", "no host"),
            ("https://.-/", "no host"),
            ("https://me:secret@a/", "user info"),
            ("https://a:0/", "port"),
            ("https://a:65536/", "port"),
            ("https://a:+1/", "port"),
            ("https://a:/", "port"),
            ("https://[::1]x/", "port"),
            ("https://[::g]/", "no IPv6"),
            ("https://[::1/", "one bracket"),
            ("https://a/#x", "fragment"),
            ("https://a/ b", "a character"),
            ("https://ä/", "a character"),
            ("https://a/{b}", "a character"),
        ] {
            let faults = target(&format!("{url:?}")).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].starts_with("f:1:1: ") && faults[0].contains(why),
                "{url}: {faults:?}"
            );
        }
        let long = format!("\"https://a/{}\"", "x".repeat(MAX_URL_LEN));
        assert!(target(&long).unwrap_err()[0].contains("MAX_URL_LEN"));
    }

    #[test]
    fn all_faults_of_a_target_at_once_each_with_its_place() {
        let full = r#"{"url": "https://a/b?c", "format": "cloudevents-binary", "answer": "events",
            "headers": {"X-Name": "a value", "Authorization": "Bearer x"}}"#;
        let whole = target(full).unwrap();
        assert_eq!((whole.format, whole.answer), (HttpFormat::CloudEventsBinary, HttpAnswer::Events));
        assert_eq!((whole.headers["X-Name"].as_str(), whole.url_without_query()), ("a value", "https://a/b"));

        let faults = target(
            r#"{"ulr": "x", "format": "cloudevent", "answer": 1,
"headers": {"a b": "x", "Content-Type": "x", "CE-Id": "x", "X": "a", "x": "b", "Y": " a", "Z": 1, "W": "a\nb"}}"#,
        )
        .unwrap_err();
        let expected = [
            "f:1:2: unknown key \"ulr\" in http; expected one of url, format, headers, answer (did you mean \"url\"?)",
            "f:1:1: the key \"url\" of http is missing",
            "f:1:24: format is \"cloudevent\"; expected one of json, cloudevents, cloudevents-binary (did you mean \"cloudevents\"?)",
            "f:2:13: \"a b\" is not the name of a header",
            "f:2:25: the header \"Content-Type\" is set by Atlas",
            "f:2:46: the header \"CE-Id\" is set by Atlas",
            "f:2:70: the header \"x\" stands twice",
            "f:2:85: the value of the header \"Y\" can't be sent",
            "f:2:96: the header \"Z\" is a number; expected a string",
            "f:2:104: the value of the header \"W\" can't be sent",
            "f:1:48: answer is a number",
        ];
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{expected}\nnot\n{fault}");
        }
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        let many: Vec<String> = (0..=MAX_HTTP_HEADERS).map(|n| format!("\"x{n}\": \"a\"")).collect();
        let many = format!("{{\"url\": \"https://a\", \"headers\": {{{}}}}}", many.join(","));
        assert!(target(&many).unwrap_err()[0].contains("MAX_HTTP_HEADERS"));
        assert!(target("7").unwrap_err()[0].contains("http is a number; expected a URL, or an object with one"));
    }

    proptest! {
        /// The client refuses nothing that is accepted here, and calls the host that is counted.
        #[test]
        #[cfg(feature = "http-client")]
        fn what_is_accepted_can_be_called(url in "https?://[a-c0-9.:@_\\[\\]-]{1,6}[/?]?[ -~]{0,8}") {
            if url_fault(&url).is_none() {
                let uri: ureq::http::Uri = url.parse().unwrap();
                let called = format!("{}://{}", uri.scheme_str().unwrap(), uri.authority().unwrap());
                let (headers, format, answer) = Default::default();
                let target = HttpTarget { url, format, headers, answer };
                prop_assert_eq!(target.host(), called);
                prop_assert!(!uri.host().unwrap().is_empty());
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = url_fault(&text);
        }
    }
}
