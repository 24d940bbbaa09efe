//! The events of all benchmarks: 256 bytes of JSON, a 50-character type, streams of 21 characters, version 7 ids that the
//! caller made.

use atlas::log::{Append, EventStore};
use atlas::storage::Environment;
use atlas::{Event, Scope};

/// Streams that events are spread over, one after the other.
pub(crate) const STREAMS: u64 = 100;
/// Bytes of each event's data.
pub(crate) const DATA_LEN: usize = 256;
/// The type of all events.
pub(crate) const TYPE: &str = "INSTORE_TXNFINALIZE_UPSERTTRANSACTIONS_COMPLETED_1";

/// The scope of all events.
pub(crate) fn scope() -> Scope {
    Scope::new("bench", "append").expect("both are names")
}

/// The id of the stream that an event with this number belongs to.
pub(crate) fn stream(number: u64) -> String {
    format!("transaction-{:09}", number % STREAMS)
}

/// New events, made by the clock and the randomness of a world.
pub(crate) struct Events {
    environment: Environment,
    made: u64,
}

impl Events {
    pub(crate) fn of(environment: &Environment) -> Self {
        Self { environment: environment.clone(), made: 0 }
    }

    /// The next events, as one append.
    pub(crate) fn append(&mut self, events: usize) -> Append {
        Append::to(&scope()).events((0..events).map(|_| self.event()))
    }

    fn event(&mut self) -> Event {
        let text = "x".repeat(DATA_LEN - r#"{"text":""}"#.len());
        let id = self.environment.entropy.uuid_v7(self.environment.clock.now_micros());
        self.made += 1;
        Event::new(TYPE, stream(self.made)).id(id).json(format!(r#"{{"text":"{text}"}}"#))
    }

    /// Appends so many events, 1,000 at a time.
    pub(crate) fn fill(&mut self, store: &EventStore, events: usize) {
        for _ in 0..events / 1_000 {
            store.append(self.append(1_000)).expect("the append succeeds");
        }
    }
}
