//! The tables as markdown, to stand in a document as they are: machine, versions, command, what must be reached, and of
//! each line every subject.

use std::fmt::Write as _;

use crate::growth::table as growth;
use crate::report::Report;
use crate::rows::scaling::{Curve, TASKS};
use crate::stats::{median, range};
use crate::table::{Line, Measured, Unit, summary};

pub fn of(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "```\n{}\n```\n\nMachine: {}.", report.command, report.machine.lines());
    if report.events > 0 {
        let size = if report.quick { ", in the quick run" } else { "" };
        let _ = writeln!(out, "Loaded store: {} events{size}.", report.events);
    }
    out.push_str("Versions:\n\n");
    for (name, version) in &report.versions {
        let _ = writeln!(out, "- `{name}`: {version}");
    }
    if !report.lines.is_empty() {
        let _ = write!(out, "\n{}", summary(&report.lines));
        report.lines.iter().for_each(|line| out.push_str(&of_line(line)));
    }
    if !report.tasks.is_empty() {
        out.push_str(&tasks(&report.tasks));
    }
    if !report.growth.is_empty() {
        let _ = write!(out, "\n{}", growth::markdown(&report.growth));
    }
    out
}

/// Throughput against the number of tasks.
fn tasks(curves: &[Curve]) -> String {
    let mut out = "\n**Tasks**: durable appends a second, one event each, awaited; medians.\n\n| tasks |".to_owned();
    for tasks in TASKS {
        let _ = write!(out, " {tasks} |");
    }
    let _ = write!(out, "\n|---|{}", "---|".repeat(TASKS.len()));
    for (name, points) in curves {
        let _ = write!(out, "\n| {name} |");
        for (_, rate) in points {
            let _ = write!(out, " {} |", Unit::Rate.text(*rate));
        }
    }
    out.push('\n');
    out
}

/// All subjects of a line, best first.
fn of_line(line: &Line) -> String {
    let mut out = format!("\n**{}**: {}.", line.name(), line.title);
    if let Some((goal, verdict)) = line.verdict() {
        let _ = write!(out, " Goal {goal}: {verdict}.");
    }
    if !line.note.is_empty() {
        let _ = write!(out, " ({})", line.note);
    }
    out.push_str("\n\n| | median | from | to | disturbed |\n|---|---|---|---|---|\n");
    for measured in line.best_first() {
        let Measured { name, values, repeated, noisy } = measured;
        let (low, high) = range(values);
        let [middle, low, high] = [median(values), low, high].map(|value| line.unit.text(value));
        let disturbed = match (repeated, noisy) {
            (0, 0) => String::new(),
            _ => format!("{repeated} taken again, {noisy} stayed so"),
        };
        let _ = writeln!(out, "| {name} | {middle} | {low} | {high} | {disturbed} |");
    }
    out
}
