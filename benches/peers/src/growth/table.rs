//! What growth measured, as a table with a column for each size, and what must hold of it: append and open change by at
//! most a fifth against the first size, reads by at most a fifth more than the limit does.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Size;
use crate::stats::{median, range};
use crate::table::Unit;

/// By how much a figure may be worse than at the first size.
const WORSE: f64 = 1.2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Fill,
    Bulk,
    Tasks,
    Open,
    Streams,
    Event,
    SlowEvent,
    MemoryFilling,
    MemoryReading,
    Files,
    Disk,
    Cached,
}

/// What must hold of a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    /// Level with the first size.
    Level,
    /// As level as the limit is.
    LevelWithLimit,
    Nothing,
}

impl Figure {
    const ALL: [Self; 12] = [
        Self::Fill,
        Self::Bulk,
        Self::Tasks,
        Self::Open,
        Self::Streams,
        Self::Event,
        Self::SlowEvent,
        Self::MemoryFilling,
        Self::MemoryReading,
        Self::Files,
        Self::Disk,
        Self::Cached,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Fill => "filled by appends of 1,000, on the whole",
            Self::Bulk => "W4 at that size: 100,000 more, 1,000 per append, synced at the end",
            Self::Tasks => "W3 at that size: 64 tasks, each awaits each event, durable",
            Self::Open => "O1: open and first read after a clean close",
            Self::Streams => "R1C: whole streams by chance",
            Self::Event => "R3: one event, p50",
            Self::SlowEvent => "R3: one event, p99",
            Self::MemoryFilling => "anonymous memory while filling, at most",
            Self::MemoryReading => "anonymous memory while reading, at most",
            Self::Files => "files after a clean close",
            Self::Disk => "disk per event after a clean close",
            Self::Cached => "share of the files in the page cache after reading",
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Self::Fill | Self::Bulk | Self::Tasks | Self::Streams => Unit::Rate,
            Self::Open => Unit::Millis,
            Self::Event | Self::SlowEvent => Unit::Micros,
            Self::MemoryFilling | Self::MemoryReading | Self::Disk => Unit::Bytes,
            Self::Files => Unit::Count,
            Self::Cached => Unit::Ratio,
        }
    }

    fn must(self) -> Must {
        match self {
            Self::Fill | Self::Bulk | Self::Tasks | Self::Open => Must::Level,
            Self::Streams | Self::Event | Self::SlowEvent => Must::LevelWithLimit,
            _ => Must::Nothing,
        }
    }
}

/// What was measured at one size.
#[derive(Clone, Debug)]
pub struct Column {
    pub size: Size,
    values: Vec<(Figure, &'static str, Vec<f64>)>,
}

impl Column {
    pub fn new(size: Size) -> Self {
        Self { size, values: Vec::new() }
    }

    pub fn atlas(&mut self, figure: Figure, value: f64) {
        self.add(figure, "atlas", value);
    }

    pub fn limit(&mut self, figure: Figure, value: f64) {
        self.add(figure, "limit", value);
    }

    fn add(&mut self, figure: Figure, who: &'static str, value: f64) {
        match self.values.iter_mut().find(|(known, name, _)| *known == figure && *name == who) {
            Some((_, _, values)) => values.push(value),
            None => self.values.push((figure, who, vec![value])),
        }
    }

    fn values(&self, figure: Figure, who: &str) -> Option<&[f64]> {
        self.values.iter().find(|(known, name, _)| *known == figure && *name == who).map(|(_, _, values)| &values[..])
    }

    /// The median of a figure.
    pub fn median(&self, figure: Figure, who: &str) -> Option<f64> {
        self.values(figure, who).map(median)
    }

    pub fn title(&self) -> String {
        let text = |count: u64| match count {
            1_000_000.. => format!("{:.3} M", count as f64 / 1e6).replace(".000", ""),
            _ => format!("{} k", count / 1_000),
        };
        format!("{} events, {} streams", text(self.size.events()), text(self.size.streams))
    }
}

/// How often worse than at the first size; for reads, as against the limit.
fn worse(first: &Column, column: &Column, figure: Figure) -> Option<f64> {
    let change = |who| {
        let change = column.median(figure, who)? / first.median(figure, who)?;
        Some(if figure.unit().more_is_better() { 1.0 / change } else { change })
    };
    match figure.must() {
        Must::Nothing => None,
        Must::Level => change("atlas"),
        Must::LevelWithLimit => Some(change("atlas")? / change("limit")?),
    }
}

/// What must hold, and where it doesn't.
fn verdict(columns: &[Column], figure: Figure) -> String {
    let (Some((first, rest)), true) = (columns.split_first(), figure.must() != Must::Nothing) else {
        return String::new();
    };
    let worse: Vec<f64> = rest.iter().filter_map(|column| worse(first, column, figure)).collect();
    let most = worse.iter().copied().fold(f64::NAN, f64::max);
    let against = if figure.must() == Must::Level { "the first size" } else { "the limit's own change" };
    let each = worse.iter().map(|worse| format!("{worse:.2}")).collect::<Vec<_>>().join(", ");
    match most {
        most if most.is_nan() => "one size only".to_owned(),
        most if most <= WORSE => format!("<= {WORSE} x {against}: reached ({each})"),
        _ => format!("<= {WORSE} x {against}: MISSED ({each})"),
    }
}

/// The table, as markdown.
pub fn markdown(columns: &[Column]) -> String {
    let mut out = String::from("| | |");
    for column in columns {
        let _ = write!(out, " {} |", column.title());
    }
    out.push_str(" goal: cost against the first size |\n|---|---|");
    out.push_str(&"---|".repeat(columns.len() + 1));
    out.push('\n');
    for figure in Figure::ALL {
        for who in ["atlas", "limit"] {
            if columns.iter().all(|column| column.values(figure, who).is_none()) {
                continue;
            }
            let _ = write!(out, "| {} | {who} |", figure.title());
            for column in columns {
                let text =
                    column.values(figure, who).map_or_else(|| "-".to_owned(), |values| cell(figure.unit(), values));
                let _ = write!(out, " {text} |");
            }
            let goal = if who == "atlas" { verdict(columns, figure) } else { String::new() };
            let _ = writeln!(out, " {goal} |");
        }
    }
    out
}

/// Median and range.
fn cell(unit: Unit, values: &[f64]) -> String {
    let middle = unit.text(median(values));
    if values.len() < 2 {
        return middle;
    }
    let (low, high) = range(values);
    format!("{middle} ({} .. {})", unit.text(low), unit.text(high))
}

pub fn json(columns: &[Column]) -> Value {
    let column = |column: &Column| {
        let values = column.values.iter().map(|(figure, who, values)| {
            json!({"figure": format!("{figure:?}"), "title": figure.title(), "name": who, "samples": values,
                "median": median(values), "unit": format!("{:?}", figure.unit())})
        });
        json!({"events": column.size.events(), "streams": column.size.streams, "values": values.collect::<Vec<_>>()})
    };
    columns.iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(tasks: f64, streams: f64, limit: f64) -> Column {
        let mut column = Column::new(Size::of_events(1_000_000));
        column.atlas(Figure::Tasks, tasks);
        column.atlas(Figure::Streams, streams);
        column.limit(Figure::Streams, limit);
        column
    }

    #[test]
    fn a_goal_is_missed_where_a_figure_falls_and_the_limit_does_not() {
        let level = [column(100.0, 50.0, 70.0), column(84.0, 30.0, 42.0)];
        assert!(verdict(&level, Figure::Tasks).contains("reached (1.19)"));
        assert!(verdict(&level, Figure::Streams).contains("reached (1.00)"));
        let fallen = [column(100.0, 50.0, 70.0), column(82.0, 30.0, 70.0), column(100.0, 50.0, 70.0)];
        assert!(verdict(&fallen, Figure::Tasks).contains("MISSED (1.22, 1.00)"));
        assert!(verdict(&fallen, Figure::Streams).contains("MISSED (1.67, 1.00)"));
    }
}
