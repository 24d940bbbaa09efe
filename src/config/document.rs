//! The document of one event type: what it says, and its defaults.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::declaration::SchemaRef;
use super::duration;
use super::http_target::HttpTarget;
use crate::event::{Name, excerpt};

/// The largest document, and the largest other file of a tree, in bytes.
pub const MAX_FILE_LEN: u64 = 1 << 20;
/// The most handlers that a document may have.
pub const MAX_HANDLERS: usize = 256;

/// The name of a document: the SHA-256 of its bytes. Printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub(crate) [u8; 32]);

impl DocumentId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DocumentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{:?} names no document; expected 64 hexadecimal digits", excerpt(text));
        let mut id = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(id))
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for DocumentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What configuration says about one event type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// What the event means, for people.
    pub description: Option<String>,
    /// The handlers, in the order of the file. None is a statement: nothing handles this.
    pub handlers: Vec<HandlerSpec>,
}

/// A handler as a document states it, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HandlerSpec {
    /// Its name, one of its kind in the document.
    pub name: Name,
    /// Lower first; ties by name. Default 100.
    pub weight: i64,
    /// The guard, in jq. `None`: always.
    pub when: Option<String>,
    /// The transform, in jq. `None`: the whole envelope.
    pub data: Option<String>,
    /// What it calls.
    pub target: Target,
    /// When a failed attempt is made again.
    pub retry: Retry,
    /// How long one attempt may take. Default 30 s.
    #[serde(serialize_with = "duration::serialize")]
    pub timeout: Duration,
    /// Whether later handlers wait for its success. Default false.
    pub stop_on_failure: bool,
    /// What becomes of a delivery that is out of attempts. Default: it is parked.
    pub out_of_attempts: OutOfAttempts,
}

/// What a handler calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Target {
    /// A function that the host registered under this name.
    Function(String),
    /// A queue of the scope.
    Queue(Name),
    /// An endpoint, by POST.
    Http(HttpTarget),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(name) => write!(f, "function {name}"),
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::Http(target) => write!(f, "http {}", target.url),
        }
    }
}

/// When a failed attempt is made again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retry {
    /// How many attempts there are at most. 1 to [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS); default 5.
    pub attempts: u32,
    /// The wait before the second attempt. Default 200 ms.
    #[serde(serialize_with = "duration::serialize")]
    pub initial: Duration,
    /// By what each further wait grows. 1 to [`MAX_MULTIPLIER`](Self::MAX_MULTIPLIER); default 2.
    pub multiplier: f64,
    /// The longest wait. Default 30 s.
    #[serde(serialize_with = "duration::serialize")]
    pub max: Duration,
    /// By which part of it, at most, each wait is shortened by chance, so that what failed together isn't tried again
    /// together. 0 to 1; default 0.2.
    pub jitter: f64,
}

impl Retry {
    /// The most attempts.
    pub const MAX_ATTEMPTS: u32 = 1000;
    /// The largest multiplier.
    pub const MAX_MULTIPLIER: f64 = 100.0;
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            initial: Duration::from_millis(200),
            multiplier: 2.0,
            max: Duration::from_secs(30),
            jitter: 0.2,
        }
    }
}

/// The default of [`HandlerSpec::weight`].
pub(super) const DEFAULT_WEIGHT: i64 = 100;
/// The default of [`HandlerSpec::timeout`].
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What becomes of a delivery that is out of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutOfAttempts {
    /// It waits for an operator.
    #[default]
    Park,
    /// It is Complete, Failure, and the stream goes on.
    Fail,
}

/// What a queue is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueOptions {
    /// The most messages it may hold; `None`: no limit.
    pub max_depth: Option<u64>,
    /// How often a message may be taken before it is a dead letter; `None`: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_receives: Option<u32>,
    /// Whether messages of one stream are given out in order, one at a time. Holds for messages that are put from then on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// Who gets each message for themselves; empty: there is one group without a name. Holds for messages that are put from
    /// then on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Name>,
    /// Whether it is an input queue: its messages are events, which whoever serves the store ingests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ingest: bool,
    /// What its messages follow. Holds for messages that are put from then on; of an input queue for those that are ingested
    /// from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaRef>,
}

impl QueueOptions {
    /// The most that `max_receives` may be.
    pub const MAX_RECEIVES: u32 = 1_000;
    /// The most groups that a queue may have.
    pub const MAX_GROUPS: usize = 16;
}
