//! What is told about deliveries and events: the words, phases and outcomes of `status`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{DispatchError, Obstacle, Outcome};
use crate::event::{Name, Scope};

/// How far a delivery or an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It waits: for its turn, a retry, an operator, a function, or room.
    Pending,
    /// An attempt runs; of an event: some of it is done and some isn't.
    InProcess,
    /// Nothing more happens to it.
    Complete,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::InProcess => "in process",
            Self::Complete => "complete",
        })
    }
}

/// The name of a delivery within its scope, written `<event id>/<handler>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId {
    /// The event.
    pub event: Uuid,
    /// The handler.
    pub handler: Name,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.event, self.handler)
    }
}

impl FromStr for DeliveryId {
    type Err = DispatchError;

    fn from_str(text: &str) -> Result<Self, DispatchError> {
        let parse = || {
            let (event, handler) = text.split_once('/')?;
            Some(Self { event: Uuid::parse_str(event).ok()?, handler: Name::parse("handler", handler).ok()? })
        };
        parse().ok_or_else(|| DispatchError::DeliveryId { found: crate::event::excerpt(text) })
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = DispatchError;
    fn try_from(text: String) -> Result<Self, DispatchError> {
        text.parse()
    }
}

impl From<DeliveryId> for String {
    fn from(id: DeliveryId) -> Self {
        id.to_string()
    }
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryStatus {
    /// Its name.
    pub id: DeliveryId,
    /// The handler.
    pub handler: Name,
    /// How far it has come.
    pub phase: Phase,
    /// How it ended; `None` until it is complete.
    pub outcome: Option<Outcome>,
    /// Attempts since the beginning or the last release.
    pub attempts: u32,
    /// Whether it is out of attempts and waits for an operator.
    pub parked: bool,
    /// What the function gave as output: of several calls an array, with null for a call that gave none.
    pub output: Option<Value>,
    /// Why the last attempt failed, or why an operator dropped it.
    pub error: Option<String>,
}

/// What became of an event and all that it caused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStatus {
    /// The event.
    pub id: Uuid,
    /// Complete once its deliveries and all that they caused are.
    pub phase: Phase,
    /// Set once it is complete: Failure if any part failed.
    pub outcome: Option<Outcome>,
    /// The revision that it was routed by; `None` of an event that was appended without routing.
    pub revision: Option<u32>,
    /// Its deliveries, in order of weight.
    pub deliveries: Vec<DeliveryStatus>,
    /// Handlers whose guard said no.
    pub skipped: Vec<Name>,
    /// It was imported as history and never has deliveries.
    pub imported: bool,
    /// The scope.
    pub scope: Scope,
    /// How many events it caused, directly and through others.
    pub caused: u64,
    /// Told by `completion` alone: what keeps it from going on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<Blocker>,
}

/// A delivery that keeps an event from being complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The delivery.
    pub id: DeliveryId,
    /// Why it can't go on.
    pub obstacle: Obstacle,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_id_is_an_event_id_and_a_handler() {
        let id = "00000000-0000-7000-8000-000000000001/score";
        assert_eq!(id.parse::<DeliveryId>().unwrap().to_string(), id);
        for bad in
            ["", "score", "00000000-0000-7000-8000-000000000001", "x/score", "00000000-0000-7000-8000-000000000001/a b"]
        {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad}");
        }
    }
}
