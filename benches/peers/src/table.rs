//! What was measured, and the tables made of it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::sample::Samples;
use crate::stats::{median, range};

/// What values are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Events a second; more is better.
    Rate,
    Micros,
    Millis,
    /// Bytes, such as those of an event.
    Bytes,
    Count,
    /// A ratio of two rates; more is better.
    Ratio,
    /// So many times what it is held against; less is better.
    Times,
}

impl Unit {
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Ratio)
    }

    pub fn text(self, value: f64) -> String {
        match self {
            Self::Rate if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::Rate if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
            Self::Rate => format!("{:.2} k/s", value / 1e3),
            Self::Micros if value < 10.0 => format!("{value:.2} us"),
            Self::Micros => format!("{value:.0} us"),
            Self::Millis if value < 10.0 => format!("{value:.2} ms"),
            Self::Millis => format!("{value:.0} ms"),
            Self::Bytes if value >= 1e8 => format!("{:.0} MiB", value / f64::from(1 << 20)),
            Self::Bytes if value >= 1e5 => format!("{:.0} KiB", value / 1024.0),
            Self::Bytes => format!("{value:.0} B"),
            Self::Count => format!("{value:.0}"),
            Self::Ratio => format!("{value:.3}"),
            Self::Times => format!("{value:.2} x"),
        }
    }
}

/// What Atlas must reach.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    /// This many times the limit: at least of a rate, at most of a time.
    OfLimit(f64),
    /// This many times a peer.
    OfPeer(&'static str, f64),
    /// This value.
    Value(f64),
    /// Better than every peer.
    AheadOfAll,
    Nothing,
}

/// One line of a row.
#[derive(Clone, Debug)]
pub struct Line {
    pub row: &'static str,
    /// What of the row it is, such as `p99`; may be empty.
    pub what: String,
    pub title: String,
    pub unit: Unit,
    pub must: Must,
    pub values: Vec<Measured>,
    /// Said beneath it.
    pub note: String,
}

/// The values of one subject.
#[derive(Clone, Debug)]
pub struct Measured {
    pub name: String,
    pub values: Vec<f64>,
    pub repeated: usize,
    pub noisy: usize,
}

/// Whether a name is of Atlas, packed or not.
pub fn is_atlas(name: &str) -> bool {
    name.starts_with("atlas")
}

/// Whether a name is of the limit, in any form.
pub fn is_limit(name: &str) -> bool {
    name.starts_with("limit")
}

impl Line {
    /// The line with this number of what was sampled.
    pub fn of(
        row: &'static str,
        what: &str,
        title: &str,
        unit: Unit,
        must: Must,
        all: &[Samples],
        number: usize,
    ) -> Self {
        let measured = |samples: &Samples| Measured {
            name: samples.name.clone(),
            values: samples.line(number),
            repeated: samples.repeated,
            noisy: samples.noisy,
        };
        let values = all.iter().map(measured).filter(|measured| !measured.values.is_empty()).collect();
        let failures =
            all.iter().filter_map(|samples| Some(format!("{} FAILED: {}", samples.name, samples.failed.as_ref()?)));
        let note = failures.collect::<Vec<_>>().join("; ");
        Self { row, what: what.to_owned(), title: title.to_owned(), unit, must, values, note }
    }

    pub fn name(&self) -> String {
        if self.what.is_empty() { self.row.to_owned() } else { format!("{} {}", self.row, self.what) }
    }

    pub fn median_of(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|measured| measured.name == name).map(|measured| median(&measured.values))
    }

    fn is_better(&self, a: f64, b: f64) -> bool {
        if self.unit.more_is_better() { a > b } else { a < b }
    }

    /// The best peer, Atlas and the limit aside.
    pub fn best_peer(&self) -> Option<(&str, f64)> {
        let peers = self.values.iter().filter(|measured| !is_atlas(&measured.name) && !is_limit(&measured.name));
        let medians = peers.map(|measured| (measured.name.as_str(), median(&measured.values)));
        medians.reduce(|best, peer| if self.is_better(peer.1, best.1) { peer } else { best })
    }

    /// What must be reached, whether it is, and by how much it is missed.
    pub fn verdict(&self) -> Option<(String, String)> {
        let sign = if self.unit.more_is_better() { ">=" } else { "<=" };
        let (goal, text) = match self.must {
            Must::OfLimit(times) => {
                (self.median_of("limit").map(|limit| limit * times), format!("{sign} {times} x limit"))
            }
            Must::OfPeer(peer, times) => {
                (self.median_of(peer).map(|value| value * times), format!("{sign} {times} x {peer}"))
            }
            Must::Value(value) => (Some(value), format!("{sign} {}", self.unit.text(value))),
            Must::AheadOfAll => (self.best_peer().map(|(_, value)| value), "ahead of all".to_owned()),
            Must::Nothing => return None,
        };
        let (Some(goal), Some(atlas)) = (goal, self.median_of("atlas")) else {
            return Some((text, "not measured".to_owned()));
        };
        let reached = atlas == goal || self.is_better(atlas, goal);
        let share = if self.unit.more_is_better() { atlas / goal } else { goal / atlas };
        let verdict = if reached {
            format!("reached ({share:.2} x)")
        } else {
            format!("MISSED: {:.0} % of {}", share * 100.0, self.unit.text(goal))
        };
        Some((text, verdict))
    }

    /// The subjects, best first.
    pub fn best_first(&self) -> Vec<&Measured> {
        let mut values: Vec<&Measured> = self.values.iter().collect();
        values.sort_by(|a, b| {
            let order = median(&a.values).total_cmp(&median(&b.values));
            if self.unit.more_is_better() { order.reverse() } else { order }
        });
        values
    }
}

/// A line for each row: the limit, Atlas, the best peer, what must be reached.
pub fn summary(lines: &[Line]) -> String {
    let mut out = String::from(
        "| row | limit | atlas | of limit | best peer | atlas to it | must reach | reached |\n|---|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        let atlas = line.median_of("atlas");
        let limit = line.median_of("limit");
        let best = line.best_peer();
        let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| line.unit.text(value));
        let times = |other: Option<f64>| match (atlas, other) {
            (Some(atlas), Some(other)) => format!("{:.2}", atlas / other),
            _ => "-".to_owned(),
        };
        let (must, verdict) = line.verdict().unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {must} | {verdict} |",
            line.name(),
            text(limit),
            text(atlas),
            times(limit),
            best.map_or_else(|| "-".to_owned(), |(name, value)| format!("{name} {}", line.unit.text(value))),
            times(best.map(|(_, value)| value)),
        );
    }
    out
}

/// All lines with all subjects, best first: median and range.
pub fn full(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let _ = writeln!(out, "\n{}: {}", line.name(), line.title);
        for measured in line.best_first() {
            let (low, high) = range(&measured.values);
            let (middle, low, high) =
                (line.unit.text(median(&measured.values)), line.unit.text(low), line.unit.text(high));
            let mut noise = String::new();
            if measured.repeated + measured.noisy > 0 {
                noise = format!("  (disturbed: {} taken again, {} stayed so)", measured.repeated, measured.noisy);
            }
            let _ = writeln!(out, "  {:<14} {middle:>11}   {low} .. {high}{noise}", measured.name);
        }
        if !line.note.is_empty() {
            let _ = writeln!(out, "  {}", line.note);
        }
    }
    out
}

/// All samples.
pub fn json(lines: &[Line]) -> Value {
    let line = |line: &Line| {
        let values = line.values.iter().map(|measured| {
            json!({"name": measured.name, "samples": measured.values, "median": median(&measured.values),
                "repeated": measured.repeated, "noisy": measured.noisy})
        });
        let (must, reached) = line.verdict().unwrap_or_default();
        json!({"row": line.row, "what": line.what, "title": line.title, "unit": format!("{:?}", line.unit),
            "note": line.note, "must": must, "reached": reached,
            "values": values.collect::<Vec<_>>()})
    };
    lines.iter().map(line).collect()
}
