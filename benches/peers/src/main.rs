//! Atlas beside its peers: one workload, one run, one table. See the README.

mod block_on;
mod cold;
mod comparison;
mod experiments;
mod fill;
mod growth;
mod limit;
mod machine;
mod markdown;
mod peer;
mod peers;
mod plot;
mod profile;
mod progress;
mod record;
mod report;
mod routed;
mod rows;
mod run_dir;
mod sample;
mod seen;
mod stats;
mod table;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::growth::Size;
use crate::machine::Machine;
use crate::peer::Result;
use crate::progress::Progress;
use crate::report::Report;
use crate::run_dir::RunDir;

/// Measures Atlas beside its peers and the bare limit.
#[derive(Debug, Parser)]
#[command(name = "atlas-peers", subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Args {
    /// About two minutes: a smaller store, three short repetitions.
    #[arg(long)]
    quick: bool,
    /// Only these rows, such as W1,R1C.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these peers, such as atlas,sqlite; the limit is always there.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Instead of the rows: Atlas and the limit at several sizes of the log.
    #[arg(long, conflicts_with_all = ["quick", "rows", "peers"])]
    growth: bool,
    /// The sizes of --growth, in millions of events, in streams of 89.
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 10.0, 50.0])]
    sizes: Vec<f64>,
    /// A further size of --growth: so many million streams, of two events each; 0 for none.
    #[arg(long, default_value_t = 10.0)]
    streams: f64,
    /// Where stores are made and removed again; must be on a disk.
    #[arg(long, default_value = "peers-data")]
    dir: PathBuf,
    /// Writes all samples there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the tables there, to be shown in a document.
    #[arg(long)]
    markdown: Option<PathBuf>,
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
    /// Measures other ways of doing what Atlas does: commits, checksums, reads of a map.
    Experiments {
        /// Where files are made and removed again; must be on a disk.
        #[arg(long, default_value = "peers-data")]
        dir: PathBuf,
    },
    /// Runs one path of Atlas alone, to be counted by callgrind.
    Profile {
        way: profile::Way,
        /// A thousand per append, not 64 tasks that each await each event.
        #[arg(long)]
        bulk: bool,
        #[arg(long, default_value_t = 20_000)]
        events: usize,
        #[arg(long, default_value = "peers-data")]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::Fill { peer, dir, events, short, huge }) => fill::fill(peer, dir, *events, *short, *huge),
        Some(Command::Experiments { dir }) => experiment(dir),
        Some(Command::Profile { way, bulk, events, dir }) => profile(*way, *bulk, *events, dir),
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

fn experiment(dir: &Path) -> Result<()> {
    let dir = RunDir::create(dir)?;
    println!("{}", Machine::of(dir.path())?.lines());
    experiments::run(dir.path())
}

fn profile(way: profile::Way, bulk: bool, events: usize, dir: &Path) -> Result<()> {
    let dir = RunDir::create(dir)?;
    profile::run(way, bulk, events, dir.path())
}

fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let dir = RunDir::create(&args.dir)?;
    let machine = Machine::of(dir.path())?;
    println!("{}", machine.lines());
    let mut report = if args.growth { grow(args, dir.path(), machine)? } else { compare(args, dir.path(), machine)? };
    report.seconds = start.elapsed().as_secs_f64();
    print!("{}", report.text());
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report.json())?)?;
    }
    if let Some(path) = &args.markdown {
        std::fs::write(path, markdown::of(&report))?;
    }
    if let Some(path) = &args.svg {
        plot::write(path, &report)?;
    }
    Ok(())
}

fn compare(args: &Args, dir: &Path, machine: Machine) -> Result<Report> {
    let kinds = peers::named(&args.peers)?;
    for (name, version) in machine::versions(&kinds) {
        println!("{name}: {version}");
    }
    comparison::run(comparison::Wanted {
        rows: args.rows.clone(),
        kinds,
        quick: args.quick,
        scaling: args.svg.is_some() || args.markdown.is_some(),
        dir: dir.to_owned(),
        machine,
    })
}

fn grow(args: &Args, dir: &Path, machine: Machine) -> Result<Report> {
    let millions = |count: &f64| (count * 1e6) as u64;
    let mut sizes: Vec<Size> = args.sizes.iter().map(|size| Size::of_events(millions(size))).collect();
    if args.streams > 0.0 {
        sizes.push(Size::of_streams(millions(&args.streams)));
    }
    let setup = growth::Setup {
        dir: dir.to_owned(),
        runtime: rows::runtime()?,
        progress: Progress::new(sizes.len()),
        time: Duration::from_millis(800),
        repetitions: 5,
    };
    let growth = growth::run(&setup, &sizes)?;
    setup.progress.end();
    let versions = machine::versions(&peers::named(&["atlas".to_owned()])?);
    Ok(Report { growth, ..Report::new(machine, versions) })
}
