//! What a run measured, and on what: what all outputs are made of.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::growth::table::{self as growth, Column};
use crate::machine::Machine;
use crate::rows::{Distribution, scaling::Curve};
use crate::table::{self, Line};

pub struct Report {
    pub machine: Machine,
    /// Name and version of each peer.
    pub versions: Vec<(String, String)>,
    /// How it was called.
    pub command: String,
    pub quick: bool,
    /// Events of the loaded store.
    pub events: usize,
    pub lines: Vec<Line>,
    /// Throughput against the number of tasks.
    pub tasks: Vec<Curve>,
    pub latencies: Vec<Distribution>,
    pub growth: Vec<Column>,
    pub seconds: f64,
}

impl Report {
    /// One of a run that has measured nothing yet.
    pub fn new(machine: Machine, versions: Vec<(String, String)>) -> Self {
        let command = command(std::env::args().skip(1));
        let (lines, tasks, latencies, growth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { machine, versions, command, quick: false, events: 0, lines, tasks, latencies, growth, seconds: 0.0 }
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if !self.lines.is_empty() {
            out.push_str(&table::summary(&self.lines));
            out.push_str(&table::full(&self.lines));
        }
        if !self.growth.is_empty() {
            out.push_str(&growth::markdown(&self.growth));
        }
        let _ = writeln!(out, "\ntook {:.0} s; load at the end {}", self.seconds, crate::machine::load());
        out
    }

    pub fn json(&self) -> Value {
        json!({"machine": self.machine.json(), "versions": self.versions, "command": self.command, "quick": self.quick,
            "events": self.events, "rows": table::json(&self.lines), "tasks": self.tasks,
            "growth": growth::json(&self.growth), "seconds": self.seconds})
    }
}

/// The command that measures the same again, wherever its outputs go.
fn command(args: impl Iterator<Item = String>) -> String {
    let mut command = "cargo run --release".to_owned();
    let (mut dashes, mut is_output) = (" --", false);
    for arg in args {
        let name = arg.split('=').next().unwrap_or_default();
        if is_output || ["--dir", "--json", "--markdown", "--svg"].contains(&name) {
            is_output = !is_output && !arg.contains('=');
            continue;
        }
        command.push_str(std::mem::take(&mut dashes));
        command.push(' ');
        command.push_str(&arg);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn a_command_is_told_without_where_its_outputs_go() {
        let of = |args: &str| command(args.split_whitespace().map(str::to_owned));
        assert_eq!(of("--dir a --json=b"), "cargo run --release");
        assert_eq!(of("--svg a --rows W1,W2 --markdown b --quick"), "cargo run --release -- --rows W1,W2 --quick");
        assert_eq!(of("--growth --sizes 1,10 --json a"), "cargo run --release -- --growth --sizes 1,10");
    }
}
