//! The rows with all peers: how much of everything, in the whole run and in the quick one.

use std::path::PathBuf;
use std::time::Duration;

use crate::machine::{Machine, versions};
use crate::peer::{Kind, Result};
use crate::progress::Progress;
use crate::report::Report;
use crate::rows::{self, Context, ROWS, scaling};
use crate::sample;
use crate::work::{Names, Plan};

/// What is asked for.
pub struct Wanted {
    /// All where it is empty.
    pub rows: Vec<String>,
    pub kinds: Vec<Kind>,
    pub quick: bool,
    /// Whether the curve against the number of tasks is wanted.
    pub scaling: bool,
    pub dir: PathBuf,
    pub machine: Machine,
}

pub fn run(wanted: Wanted) -> Result<Report> {
    if let Some(unknown) = wanted.rows.iter().find(|row| !ROWS.iter().any(|known| known.eq_ignore_ascii_case(row))) {
        return Err(format!("no row is called {unknown}; there are {}", ROWS.join(", ")).into());
    }
    let (quick, machine) = (wanted.quick, wanted.machine);
    let plan = if quick { Plan::new(2_000, 12_000) } else { Plan::new(10_000, 100_000) };
    let repetitions = if quick { 3 } else { 5 };
    println!("loaded store: {} events; {repetitions} repetitions\n", plan.order.len());
    let mut context = Context {
        kinds: wanted.kinds,
        rows: wanted.rows,
        names: Names::leak(plan.streams()),
        tail: if quick { 100_000 } else { 800_000 },
        plan,
        dir: wanted.dir,
        samples: sample::Plan { repetitions, tries: if quick { 1 } else { 3 } },
        time: Duration::from_millis(if quick { 200 } else { 400 }),
        bulk: if quick { 50_000 } else { 200_000 },
        single_reads: 20_000,
        pairs: if quick { 50 } else { 300 },
        path_pairs: if quick { 3 } else { 9 },
        tail_segment: if quick { 8 << 20 } else { 256 << 20 },
        tail_time: Duration::from_secs(if quick { 4 } else { 20 }),
        sync_us: machine.sync_us[0],
        deliveries: if quick { 10_000 } else { 50_000 },
        progress: Progress::new(ROWS.len()),
        runtime: rows::runtime()?,
        latencies: Vec::new(),
    };
    let lines = rows::run(&mut context)?;
    let tasks = if wanted.scaling && context.wants("W3") { scaling::run(&context)? } else { Vec::new() };
    context.progress.end();
    let report = Report::new(machine, versions(&context.kinds));
    Ok(Report { quick, events: context.plan.order.len(), lines, tasks, latencies: context.latencies, ..report })
}
