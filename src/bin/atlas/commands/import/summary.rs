//! What an import says when it ends.

use atlas::dispatch::{Obstacle, Remaining, RemainingOf};
use serde::Serialize;

use crate::failure::Outcome;
use crate::output::Output;
use crate::table::{counted, thousands};

/// What was done, as it is counted line by line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Lines whose events are durable, written now or earlier.
    pub(super) durable: u64,
    /// Of them, lines whose id was known: nothing was written.
    pub(super) repeated: u64,
    /// Streams that began with this import.
    pub(super) new_streams: u64,
    /// Bad lines left out.
    pub(super) skipped: u64,
}

#[derive(Serialize)]
pub(super) struct Summary {
    lines: u64,
    events: u64,
    repeated: u64,
    skipped: u64,
    new_streams: u64,
    seconds: f64,
    events_per_second: u64,
    left: Remaining,
}

impl Summary {
    pub(super) fn new(counts: Counts, micros: i64, left: Remaining) -> Self {
        let events = counts.durable.saturating_sub(counts.repeated);
        let micros = u64::try_from(micros).unwrap_or_default().max(1);
        Self {
            lines: counts.durable.saturating_add(counts.skipped),
            events,
            repeated: counts.repeated,
            skipped: counts.skipped,
            new_streams: counts.new_streams,
            seconds: micros as f64 / 1e6,
            events_per_second: events.saturating_mul(1_000_000) / micros,
            left,
        }
    }

    pub(super) fn write(&self, output: &mut Output) -> Outcome {
        if output.json {
            return output.json_line(self);
        }
        let lines = counted(self.lines, "line", "lines");
        let events = counted(self.events, "event", "events");
        let streams = counted(self.new_streams, "new stream", "new streams");
        output.line(format_args!(
            "{lines}: {events} written ({streams}), {} repeated, {} skipped; {:.1} s, {} events/s",
            thousands(self.repeated),
            thousands(self.skipped),
            self.seconds,
            thousands(self.events_per_second),
        ))?;
        for RemainingOf { scope, handler, obstacle, count } in &self.left.handlers {
            let why = match obstacle {
                Some(Obstacle::Parked) => "parked, waiting for `atlas release` or `drop`",
                Some(Obstacle::Unbound) => "waiting for a host that calls its target",
                Some(Obstacle::QueueFull) => "waiting for room in the queue",
                Some(Obstacle::Behind) => "waiting behind earlier ones",
                _ => "not served",
            };
            let deliveries = counted(*count, "delivery", "deliveries");
            output.line(format_args!("left: {deliveries} to {handler} in {scope}, {why}"))?;
        }
        Ok(())
    }
}
