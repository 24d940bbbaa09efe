//! The events that all benchmarks use: 256 bytes of JSON, a 50-character type, streams of 21 characters.

#![allow(dead_code, reason = "each benchmark uses its part")]
#![allow(clippy::expect_used, reason = "a benchmark that fails has nothing to measure and stops")]

use atlas::log::{Append, EventStore};
use atlas::{Event, Scope};

/// Events of a filled store.
pub(crate) const EVENTS: u64 = 100_000;
/// Streams that they are spread over, one after the other.
pub(crate) const STREAMS: u64 = 100;
/// Bytes of each event's data.
pub(crate) const DATA_LEN: usize = 256;

const TYPE: &str = "INSTORE_TXNFINALIZE_UPSERTTRANSACTIONS_COMPLETED_1";

/// The scope of all events.
pub(crate) fn scope() -> Scope {
    Scope::new("bench", "append").expect("both are names")
}

/// The id of a stream.
pub(crate) fn stream(number: u64) -> String {
    format!("transaction-{:09}", number % STREAMS)
}

/// The event with this number, from which its stream follows.
pub(crate) fn event(number: u64) -> Event {
    let text = "x".repeat(DATA_LEN - r#"{"text":""}"#.len());
    Event::new(TYPE, stream(number)).json(format!(r#"{{"text":"{text}"}}"#))
}

/// Fills an empty store with [`EVENTS`] events.
pub(crate) fn fill(store: &EventStore) {
    let numbers: Vec<u64> = (0..EVENTS).collect();
    for part in numbers.chunks(1_000) {
        let append = Append::to(&scope()).events(part.iter().map(|number| event(*number)));
        store.append(append).expect("the append succeeds");
    }
}
