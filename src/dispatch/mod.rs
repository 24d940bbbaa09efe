//! Deliveries.
#![allow(dead_code)]
mod codec;
mod lanes;
mod open_event;
mod record;
mod shelf;
mod state;

/// How a delivery or an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// It did not, and is given up.
    Failure,
}
