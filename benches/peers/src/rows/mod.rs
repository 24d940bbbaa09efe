//! The rows: what each measures, and in which order they run.

mod disk;
mod loaded;
mod o1;
mod o1k;
mod p3;
mod p4;
mod pairs;
mod pd;
mod r1;
mod r1c;
mod r1cc;
mod r2;
mod r3;
mod r4;
pub mod scaling;
mod t3;
mod w1;
mod w2;
pub mod w3;
pub mod w4;
mod writing;

use std::path::PathBuf;
use std::time::Duration;

use crate::peer::{Kind, Result, Rows};
use crate::progress::Progress;
use crate::sample;
use crate::table::Line;
use crate::work::{Names, Plan};

pub use loaded::{check, disk_bytes, load};

/// All rows, in the order in which they run.
pub const ROWS: [&str; 18] =
    ["W1", "W2", "W3", "W3T", "W4", "T3", "P3", "P4", "PD", "R1", "R1C", "R2", "R3", "R4", "DISK", "O1", "R1CC", "O1K"];

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
    /// Pairs of the rows of the whole path.
    pub path_pairs: usize,
    /// Bytes of a segment of T3's Atlas.
    pub tail_segment: u64,
    /// How long a sample of T3 may take.
    pub tail_time: Duration,
    /// Microseconds of a write and its sync on this disk.
    pub sync_us: f64,
    /// Events of a sample of PD.
    pub deliveries: usize,
    pub progress: Progress,
    pub runtime: tokio::runtime::Runtime,
    /// Distributions for the plots: name, and nanoseconds of each append.
    pub latencies: Vec<Distribution>,
}

/// The runtime that tasks run on.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// How long the appends of a row took.
#[derive(Clone, Debug)]
pub struct Distribution {
    pub row: &'static str,
    pub name: String,
    pub nanos: Vec<u32>,
}

impl Context {
    /// Those that take part in rows of writing.
    pub fn writing(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|kind| kind.rows != Rows::Reading)
    }

    /// Those that take part in rows of reading.
    pub fn reading(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|kind| kind.rows != Rows::Writing)
    }

    /// Atlas, where it is among the peers.
    pub fn atlas(&self) -> Option<Kind> {
        self.kinds.iter().copied().find(|kind| kind.name == "atlas")
    }

    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted.eq_ignore_ascii_case(row))
    }
}

/// Runs all rows that are wanted.
pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    type Row = fn(&mut Context) -> Result<Vec<Line>>;
    let writing: [(&str, Row); 9] = [
        ("W1", w1::run),
        ("W2", w2::run),
        ("W3", w3::tasks),
        ("W3T", w3::threads),
        ("W4", w4::run),
        ("T3", t3::run),
        ("P3", p3::run),
        ("P4", p4::run),
        ("PD", pd::run),
    ];
    for (name, row) in writing {
        if context.wants(name) {
            lines.extend(row(context)?);
        }
        context.progress.step();
    }
    if ["R1", "R1C", "R1CC", "R2", "R3", "R4", "DISK", "O1"].iter().any(|row| context.wants(row)) {
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
        type Reopen = fn(&mut Context, &loaded::Closed) -> Result<Vec<Line>>;
        let closing: [(&str, Reopen); 3] = [("DISK", disk::run), ("O1", o1::run), ("R1CC", r1cc::run)];
        for (name, row) in closing {
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
