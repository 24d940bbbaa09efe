//! The rows: what each measures, and in which order they run.

mod disk;
mod loaded;
mod o1;
mod o1k;
mod r1;
mod r1c;
mod r2;
mod r3;
mod r4;
pub mod scaling;
mod w1;
mod w2;
mod w3;
mod w4;
mod writing;

use std::path::PathBuf;
use std::time::Duration;

use crate::peer::{Kind, Result};
use crate::progress::Progress;
use crate::sample;
use crate::table::Line;
use crate::work::{Names, Plan};

pub use loaded::load;

/// All rows, in the order in which they run.
pub const ROWS: [&str; 13] = ["W1", "W2", "W3", "W3T", "W4", "R1", "R1C", "R2", "R3", "R4", "DISK", "O1", "O1K"];

/// What rows work with.
pub struct Context {
    pub kinds: Vec<Kind>,
    pub rows: Vec<String>,
    pub names: Names,
    pub plan: Plan,
    pub dir: PathBuf,
    pub samples: sample::Plan,
    /// How long a sample that goes by time takes.
    pub time: Duration,
    /// Events of a sample of bulk appends.
    pub bulk: usize,
    /// Reads of a sample that times each.
    pub single_reads: usize,
    /// Events of a store that is killed.
    pub tail: usize,
    /// Pairs of blocks of W1.
    pub pairs: usize,
    pub progress: Progress,
    pub runtime: tokio::runtime::Runtime,
    /// Distributions for the plots: name, and nanoseconds of each append.
    pub latencies: Vec<Distribution>,
}

/// How long the appends of a row took.
#[derive(Clone, Debug)]
pub struct Distribution {
    pub row: &'static str,
    pub name: String,
    pub nanos: Vec<u32>,
}

impl Context {
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted.eq_ignore_ascii_case(row))
    }
}

/// Runs all rows that are wanted.
pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    type Row = fn(&mut Context) -> Result<Vec<Line>>;
    let writing: [(&str, Row); 5] =
        [("W1", w1::run), ("W2", w2::run), ("W3", w3::tasks), ("W3T", w3::threads), ("W4", w4::run)];
    for (name, row) in writing {
        if context.wants(name) {
            lines.extend(row(context)?);
        }
        context.progress.step();
    }
    if ["R1", "R1C", "R2", "R3", "R4", "DISK", "O1"].iter().any(|row| context.wants(row)) {
        let loaded = loaded::Loaded::load(context)?;
        type Read = fn(&mut Context, &loaded::Loaded) -> Result<Vec<Line>>;
        let reading: [(&str, Read); 5] =
            [("R1", r1::run), ("R1C", r1c::run), ("R2", r2::run), ("R3", r3::run), ("R4", r4::run)];
        for (name, row) in reading {
            if context.wants(name) {
                lines.extend(row(context, &loaded)?);
            }
            context.progress.step();
        }
        let closed = loaded.close(context)?;
        for (name, row) in [("DISK", disk::run as fn(&mut Context, &loaded::Closed) -> _), ("O1", o1::run)] {
            if context.wants(name) {
                lines.extend(row(context, &closed)?);
            }
            context.progress.step();
        }
        closed.remove()?;
    }
    if context.wants("O1K") {
        lines.extend(o1k::run(context)?);
    }
    context.progress.step();
    Ok(lines)
}
