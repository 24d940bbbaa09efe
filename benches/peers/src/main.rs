//! Atlas beside its peers: one workload, one run, one table. See the README.

mod block_on;
mod limit;
mod machine;
mod peer;
mod peers;
mod plot;
mod progress;
mod record;
mod rows;
mod sample;
mod seen;
mod stats;
mod table;
mod work;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use crate::machine::Machine;
use crate::peer::{Kind, Result};
use crate::progress::Progress;
use crate::rows::{Context, ROWS};
use crate::work::{Names, Plan};

/// Measures Atlas beside its peers and the bare limit.
#[derive(Debug, Parser)]
#[command(name = "atlas-peers", subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Args {
    /// About two minutes: a store of 100,000 events, three repetitions.
    #[arg(long)]
    quick: bool,
    /// Only these rows, such as W1,R1C.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these peers, such as atlas,sqlite; the limit is always there.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Where stores are made and removed again; must be on a disk.
    #[arg(long, default_value = "peers-data")]
    dir: PathBuf,
    /// Writes all samples there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes plots there.
    #[arg(long)]
    svg: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fills a store and waits to be killed.
    #[command(hide = true)]
    Fill { peer: String, dir: PathBuf, events: usize, short: usize, huge: usize },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::Fill { peer, dir, events, short, huge }) => fill(peer, dir, *events, *short, *huge),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The peers of a list of names; all where it is empty.
fn kinds(names: &[String]) -> Result<Vec<Kind>> {
    let all = peers::all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|kind| kind.name != name.as_str())) {
        let known: Vec<&str> = all.iter().map(|kind| kind.name).collect();
        return Err(format!("no peer is called {unknown}; there are {}", known.join(", ")).into());
    }
    Ok(all.into_iter().filter(|kind| names.is_empty() || names.iter().any(|name| name == kind.name)).collect())
}

fn fill(peer: &str, dir: &std::path::Path, events: usize, short: usize, huge: usize) -> Result<()> {
    let kinds = kinds(&[peer.to_owned()])?;
    let plan = Plan::new(short, huge);
    let names = Names::leak(plan.streams());
    for kind in kinds {
        let peer = (kind.open)(dir)?;
        rows::load(peer.as_ref(), &names, &plan, events)?;
        println!("filled");
        std::io::stdout().flush()?;
        // Until killed, or until nobody is left to do so.
        std::io::stdin().read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.rows.iter().find(|row| !ROWS.iter().any(|known| known.eq_ignore_ascii_case(row))) {
        return Err(format!("no row is called {unknown}; there are {}", ROWS.join(", ")).into());
    }
    let start = Instant::now();
    let kinds = kinds(&args.peers)?;
    let dir = args.dir.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let in_dir = InDir(dir.clone());
    if machine::is_in_memory(&dir) {
        eprintln!("warning: {} is in memory, so no sync below costs anything; choose another --dir", dir.display());
    }
    let machine = Machine::of(&dir)?;
    println!("{}", machine.lines());
    for (name, version) in machine::versions(&kinds) {
        println!("{name}: {version}");
    }
    let plan = if args.quick { Plan::new(1_000, 1_000) } else { Plan::new(10_000, 100_000) };
    let repetitions = if args.quick { 3 } else { 5 };
    println!("loaded store: {} events; {repetitions} repetitions\n", plan.order.len());
    let mut context = Context {
        kinds,
        rows: args.rows.clone(),
        names: Names::leak(plan.streams()),
        tail: if args.quick { 50_000 } else { 800_000 },
        plan,
        dir,
        samples: sample::Plan { repetitions, tries: if args.quick { 1 } else { 3 } },
        time: Duration::from_millis(if args.quick { 150 } else { 400 }),
        bulk: if args.quick { 50_000 } else { 200_000 },
        single_reads: if args.quick { 5_000 } else { 20_000 },
        pairs: if args.quick { 50 } else { 300 },
        progress: Progress::new(ROWS.len()),
        runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
        latencies: Vec::new(),
    };
    let lines = rows::run(&mut context)?;
    let scaling = if args.svg.is_some() && context.wants("W3") { rows::scaling::run(&context)? } else { Vec::new() };
    context.progress.end();
    print!("{}", table::summary(&lines));
    print!("{}", table::full(&lines));
    println!("\ntook {:.0} s; load at the end {}", start.elapsed().as_secs_f64(), load_now());
    if let Some(path) = &args.json {
        let versions = machine::versions(&context.kinds);
        let all = json!({"machine": machine.json(), "versions": versions, "quick": args.quick, "tasks": scaling,
            "events": context.plan.order.len(), "rows": table::json(&lines)});
        fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    }
    if let Some(path) = &args.svg {
        plot::write(path, &lines, &context.latencies, &scaling)?;
    }
    drop(in_dir);
    Ok(())
}

fn load_now() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The directory of a run, removed at its end, also after an error.
struct InDir(PathBuf);

impl Drop for InDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        if let Some(parent) = self.0.parent() {
            // Only where it is empty.
            let _ = fs::remove_dir(parent);
        }
    }
}
