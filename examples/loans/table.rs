//! The table at the end: what went in, what became of it, and how fast it can be replayed.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::counts::Counts;
use crate::replay::Replay;

/// All that the table shows.
pub(crate) struct Report {
    /// Where the events came from.
    pub(crate) source: String,
    /// Events ingested, as the ingesting tasks counted them.
    pub(crate) ingested: u64,
    /// From the first event to the last acknowledgement.
    pub(crate) ingest_time: Duration,
    /// From the first event to the end of the last delivery.
    pub(crate) settled_time: Duration,
    /// What the store says after it was closed and opened again.
    pub(crate) counts: Counts,
    /// What the function `statistics.count_turn` has in memory: turns, and employees who took them.
    pub(crate) turns: (usize, usize),
    /// The replay of the longest stream.
    pub(crate) replay: Replay,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ingested(f)?;
        self.deliveries(f)?;
        self.queues(f)?;
        self.replay(f)
    }
}

impl Report {
    fn ingested(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nEvents, from {}", self.source)?;
        row(f, "ingested", grouped(self.ingested), "each durable when it was acknowledged")?;
        row(f, "follow-ups", grouped(self.counts.follow_ups), "emitted by handlers")?;
        row(f, "streams", grouped(self.counts.streams), "one per loan application")?;
        row(f, "events/s", grouped(per_second(self.ingested, self.ingest_time)), "ingested")?;
        let settled = format!("{:.2} s", self.settled_time.as_secs_f64());
        row(f, "all done after", settled, "until the last delivery was complete")
    }

    fn deliveries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nDeliveries: one event for one handler")?;
        let head = ["handler", "calls", "success", "failure", "pending", "skipped"];
        let [handler, calls, success, failure, pending, skipped] = head;
        writeln!(f, "  {handler:<18}{calls:<32}{success:>10}{failure:>9}{pending:>9}{skipped:>9}")?;
        for (handler, outcomes) in &self.counts.deliveries {
            let [success, failure, pending, skipped] =
                [outcomes.success, outcomes.failure, outcomes.pending, outcomes.skipped].map(grouped);
            let calls = self.counts.targets.get(handler).map_or("", |target| target);
            writeln!(f, "  {handler:<18}{calls:<32}{success:>10}{failure:>9}{pending:>9}{skipped:>9}")?;
        }
        writeln!(f, "  (skipped: the handler's guard, `when`, said no)")?;
        let (turns, employees) = self.turns;
        writeln!(f, "  count-turns filled a map of the host's own: {} turns of {employees} employees", grouped(turns))
    }

    fn queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nQueues: messages waiting for somebody to take them")?;
        for (queue, depth) in &self.counts.queues {
            row(f, queue, grouped(*depth), "")?;
        }
        Ok(())
    }

    fn replay(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replay { stream, version, from_keyframe, from_first } = &self.replay;
        writeln!(f, "\nReplay of the longest stream, {stream}, to its state at version {}", grouped(*version))?;
        let keyframe = match from_keyframe.keyframe {
            Some(version) => format!("from the keyframe at version {}", grouped(version)),
            None => "no keyframe yet: too short to need one".to_owned(),
        };
        for (label, way, how) in
            [("with keyframes", from_keyframe, &*keyframe), ("without", from_first, "from the first event")]
        {
            let events = if way.events_read == 1 { "event" } else { "events" };
            let read = format!("{} {events} read, {how}", grouped(way.events_read));
            row(f, label, milliseconds(way.time), &read)?;
        }
        writeln!(f, "  (both ways give the same state)")
    }
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, value: String, what: &str) -> fmt::Result {
    writeln!(f, "{}", format!("  {label:<18}{value:>12}  {what}").trim_end())
}

fn per_second(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(1e-6)) as u64
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1_000.0)
}

/// 262200 as `262,200`.
fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Outcomes;
    use crate::replay::Way;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (262_200, "262,200"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn every_count_stands_in_the_table() {
        let outcomes = Outcomes { success: 11_245, failure: 7, pending: 3, skipped: 1_842 };
        let counts = Counts {
            events: 262_200,
            follow_ups: 11_246,
            streams: 13_087,
            deliveries: [("score-risk".to_owned(), outcomes)].into(),
            queues: [("letters".to_owned(), 37_028)].into(),
            targets: [("score-risk".to_owned(), "function risk.score".to_owned())].into(),
        };
        let way = |keyframe, events_read, micros| Way { keyframe, events_read, time: Duration::from_micros(micros) };
        let report = Report {
            source: "a file".to_owned(),
            ingested: 262_200,
            ingest_time: Duration::from_secs(10),
            settled_time: Duration::from_secs(20),
            counts,
            turns: (18_285, 60),
            replay: Replay {
                stream: "loan-1".to_owned(),
                version: 100_000,
                from_keyframe: way(Some(99_990), 10, 25),
                from_first: way(None, 100_000, 81_250),
            },
        };
        let table = report.to_string();
        for part in [
            "262,200",
            "11,246",
            "13,087",
            "26,220",
            "20.00 s",
            "function risk.score",
            "11,245        7        3    1,842",
            "18,285 turns",
            "37,028",
            "0.025 ms",
            "version 99,990",
            "81.250 ms",
            "100,000 events read",
        ] {
            assert!(table.contains(part), "{part} is missing in {table}");
        }
    }
}
