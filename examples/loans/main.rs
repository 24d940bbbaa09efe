//! A host service with Atlas inside, as a newcomer would write one: a bank that handles loan applications.
//!
//! It opens a store, imports the configuration tree beside this file, ingests a log of events with many tasks at once,
//! waits until every handler has done its part, closes, opens again, and prints what is in the store.
//!
//! ```text
//! cargo run --release --example loans                           a made-up log and one run of 100,000 events
//! cargo run --release --example loans -- --input FILE.ndjson.gz  a log of your own
//! ```

mod counts;
mod functions;
mod ingest;
mod replay;
mod synthetic;
mod table;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use atlas::{Atlas, Scope};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::table::Report;

const TENANT: &str = "dutch-bank";
const APPLICATION: &str = "loans";
const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/loans/config");

const DEFAULT_SEED: u64 = 2012;
const DEFAULT_APPLICATIONS: u32 = 2_000;
const DEFAULT_LONG_RUN: usize = 100_000;
/// Events of the long run in one atomic append.
const BATCH: usize = 500;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A bank's loan applications, handled by Atlas inside a host service.
#[derive(Parser)]
struct Arguments {
    /// Events to ingest: NDJSON, plain or .gz. Without it, a made-up log.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where to keep the store; must not hold one yet. Without it, a directory that is deleted at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How many tasks ingest at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    tasks: u16,
    /// Also write the counts to FILE, as JSON (expected.py compares them).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The seed of the made-up log.
    #[arg(long, default_value_t = DEFAULT_SEED, conflicts_with = "input")]
    seed: u64,
    /// Applications in the made-up log.
    #[arg(long, default_value_t = DEFAULT_APPLICATIONS, conflicts_with = "input")]
    applications: u32,
    /// Events in the made-up log's one long run.
    #[arg(long, default_value_t = DEFAULT_LONG_RUN, conflicts_with = "input")]
    long_run: usize,
    /// Also write the made-up log to FILE, as NDJSON.
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    save_log: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(report) => match write!(std::io::stdout(), "{report}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "loans: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<Report, Failure> {
    let temporary = tempfile::tempdir()?;
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().join("store"));

    // The host's functions get the names that the tree binds.
    let turns = functions::Turns::default();
    let count_turn = turns.clone();
    let atlas = Atlas::builder()
        .function("risk.score", functions::score_risk)
        .function("ledger.pay_out", functions::pay_out)
        .function("statistics.count_turn", move |delivery| count_turn.clone().count(delivery))
        .open(&dir)
        .await?;
    if atlas.store().last_position() > 0 {
        return Err(format!("{} holds events already; give --dir a new directory", dir.display()).into());
    }
    let loans = atlas.scope(TENANT, APPLICATION);
    loans.config().import(TREE).await?.activate().await?;

    let began = Instant::now();
    let (source, ingested) = ingest_all(&loans, &arguments).await?;
    let ingest_time = began.elapsed();
    let bar = spinner("waiting for the handlers");
    let left = atlas.settled().await?;
    let settled_time = began.elapsed();
    bar.finish_and_clear();
    if left.total() > 0 {
        return Err(format!("{} deliveries could not be finished: {:?}", left.total(), left.handlers).into());
    }

    // The first replay of a stream leaves a keyframe for those that come after it.
    let scope = Scope::new(TENANT, APPLICATION)?;
    let longest = counts::longest_stream(atlas.store(), &scope)?;
    atlas.store().state(&scope, &longest, atlas::log::At::Now, true)?;
    atlas.close().await?;

    // Everything from here on is what the directory says, not what this process remembers.
    let atlas = Atlas::builder().dispatch(false).open(&dir).await?;
    let bar = bar_of("counting deliveries", Some(atlas.store().last_position()));
    let counts = counts::count(&atlas, &bar).await?;
    bar.finish_and_clear();
    if counts.events != ingested {
        return Err(format!("{ingested} events were acknowledged, but the store holds {}", counts.events).into());
    }
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_string_pretty(&counts)? + "\n")?;
    }
    let store = atlas.store().clone();
    let replay = tokio::task::spawn_blocking(move || replay::both_ways(&store, &scope, &longest)).await??;
    atlas.close().await?;
    Ok(Report { source, ingested, ingest_time, settled_time, counts, turns: turns.totals(), replay })
}

/// Ingests the file, or else the made-up log: its applications and its long run at the same time.
async fn ingest_all(loans: &atlas::ScopeHandle, arguments: &Arguments) -> Result<(String, u64), Failure> {
    let tasks = usize::from(arguments.tasks);
    if let Some(file) = &arguments.input {
        let lines = ingest::lines_of(file).map_err(|why| format!("{}: {why}", file.display()))?;
        let bar = bar_of("ingesting", None);
        let ingested = ingest::one_by_one(loans, lines, tasks, bar.clone()).await;
        bar.finish_and_clear();
        return Ok((file.display().to_string(), ingested.map_err(|why| format!("{}: {why}", file.display()))?));
    }
    let applications = synthetic::applications(arguments.seed, arguments.applications);
    let long_run = synthetic::long_run(arguments.seed, arguments.long_run);
    if let Some(file) = &arguments.save_log {
        let mut log = std::io::BufWriter::new(fs::File::create(file)?);
        for line in applications.iter().chain(&long_run) {
            writeln!(log, "{line}")?;
        }
        log.flush()?;
    }
    let source = format!("a made-up log with seed {}", arguments.seed);
    let bar = bar_of("ingesting", Some((applications.len() + long_run.len()) as u64));
    let (short, long) = tokio::try_join!(
        ingest::one_by_one(loans, in_memory(applications), tasks, bar.clone()),
        ingest::in_batches(loans, in_memory(long_run), BATCH, bar.clone()),
    )?;
    bar.finish_and_clear();
    Ok((source, short + long))
}

fn in_memory(lines: Vec<String>) -> ingest::Lines {
    Box::new(lines.into_iter().map(Ok))
}

/// A progress bar on stderr; indicatif draws it on terminals only. Without a `total` it counts up.
fn bar_of(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {human_pos} events {per_sec}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_message(what)
}

fn spinner(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
