//! The log, simulated from many seeds (`atlas::simulation` says what is checked).
//!
//! ```text
//! cargo test --release --features simulation,compression --test simulation -- --crashes 100000
//! cargo test --release --features simulation,compression --test simulation -- --seed 42            one seed, told step by step
//! RUSTFLAGS="--cfg planted_bugs" cargo test --release --features simulation,compression --test simulation \
//!     --target-dir target/planted -- --planted                                          does it catch planted bugs?
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "a test program of its own")]

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use atlas::simulation::{Figures, Settings, Violation, run};
use clap::Parser;

/// Simulates the log on a disk that fails, from seed after seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Go on until there were this many power cuts
    #[arg(long, default_value_t = 2_000)]
    crashes: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this seed, told step by step
    #[arg(long)]
    seed: Option<u64>,
    /// Plant each bug in turn; fail where one survives
    #[arg(long)]
    planted: bool,
    /// Only the planted bug whose name contains this
    #[arg(long, default_value = "")]
    bug: String,
    /// Threads (default: one for each processor)
    #[arg(long)]
    threads: Option<usize>,
    /// What `cargo test` gives to every test program: names of tests to run
    #[arg(hide = true)]
    filters: Vec<String>,
}

/// How a seed fails.
#[derive(Clone, Debug)]
enum Failure {
    /// The simulation's own checks say so.
    Broken(Violation),
    /// Atlas panics.
    Panic { seed: u64, what: String },
    /// The simulation itself panics: that shows nothing of Atlas.
    OwnPanic { seed: u64, what: String },
}

impl Failure {
    fn seed(&self) -> u64 {
        match self {
            Self::Broken(Violation { seed, .. }) | Self::Panic { seed, .. } | Self::OwnPanic { seed, .. } => *seed,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(violation) => violation.fmt(f),
            Self::Panic { seed, what } => write!(f, "seed {seed}: a panic in Atlas: {what}"),
            Self::OwnPanic { seed, what } => write!(f, "seed {seed}: a panic in the simulation: {what}"),
        }
    }
}

thread_local! {
    /// File, line and reason of the last panic on this thread.
    static PANIC: RefCell<(String, String)> = RefCell::default();
}

/// Notes where panics are, for [`simulate`].
fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no reason is known");
        PANIC.set((place.clone(), format!("{place}: {text}")));
    }));
}

/// Runs one seed.
fn simulate(seed: u64, settings: &Settings) -> Result<Figures, Failure> {
    match std::panic::catch_unwind(|| run(seed, settings)) {
        Ok(result) => result.map_err(Failure::Broken),
        Err(_) => {
            let (place, what) = PANIC.take();
            let own = ["src/simulation/", "src/storage/simulated", "tests/"];
            match own.iter().any(|own| place.contains(own)) {
                true => Err(Failure::OwnPanic { seed, what }),
                false => Err(Failure::Panic { seed, what }),
            }
        }
    }
}

/// Seeds from `from` on, on several threads, until there were `crashes` power cuts or one fails.
fn search(from: u64, crashes: u64, threads: usize, shows: bool) -> (Figures, u64, Option<Failure>) {
    let next = AtomicU64::new(from);
    let is_over = AtomicBool::new(false);
    let state = Mutex::new((Figures::default(), None::<Failure>));
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let result = simulate(seed, &Settings::default());
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(figures) => state.0.add(&figures),
                // The smallest seed that fails, so that the answer doesn't depend on the threads.
                Err(failure) if state.1.as_ref().is_none_or(|other| failure.seed() < other.seed()) => {
                    state.1 = Some(failure);
                }
                Err(_) => {}
            }
            if shows && seed.is_multiple_of(500) {
                eprintln!("seed {seed}: {} power cuts so far", state.0.power_cuts);
            }
            if state.0.power_cuts >= crashes || state.1.is_some() {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| {
            scope.spawn(work);
        });
    });
    let seeds = next.load(Ordering::Relaxed) - from;
    let (figures, failure) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    (figures, seeds, failure)
}

#[cfg(planted_bugs)]
fn planted(arguments: &Arguments, threads: usize) -> bool {
    use atlas::planted::{BUGS, Bug, plant};
    let mut survivors = 0;
    println!("{:<22} {:>7} {:>9}  caught as", "bug", "seeds", "crashes");
    let packs = cfg!(feature = "compression");
    if !packs {
        println!("nothing is packed without the feature `compression`, and PackedNotSynced is no bug then");
    }
    let wanted = |bug: &Bug| format!("{bug:?}").contains(&arguments.bug) && (packs || *bug != Bug::PackedNotSynced);
    for (bug, planted) in BUGS.iter().filter(|(bug, _)| wanted(bug)) {
        plant(Some(*bug));
        let (figures, seeds, failure) = search(arguments.from, arguments.crashes, threads, false);
        let seeds = failure.as_ref().map_or(seeds, |failure| failure.seed() + 1 - arguments.from);
        let outcome = match failure {
            Some(Failure::Broken(violation)) => violation.what,
            Some(Failure::Panic { what, .. }) => format!("a panic in Atlas: {what}"),
            Some(Failure::OwnPanic { what, .. }) => {
                survivors += 1;
                format!("NOT CAUGHT: {planted}; the simulation itself panics: {what}")
            }
            None => {
                survivors += 1;
                format!("NOT CAUGHT: {planted}")
            }
        };
        let outcome: String = outcome.chars().take(120).collect();
        println!("{:<22} {seeds:>7} {:>9}  {outcome}", format!("{bug:?}"), figures.power_cuts);
    }
    plant(None);
    survivors == 0
}

#[cfg(not(planted_bugs))]
fn planted(_: &Arguments, _: usize) -> bool {
    eprintln!("no bug can be planted in this build; expected one with RUSTFLAGS=\"--cfg planted_bugs\"");
    false
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.filters.is_empty() && !arguments.filters.iter().any(|filter| "simulation".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    note_panics();
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if arguments.planted {
        return if planted(&arguments, threads) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Some(seed) = arguments.seed {
        return match simulate(seed, &Settings { trace: true, ..Settings::default() }) {
            Ok(figures) => {
                println!("seed {seed}: {figures:?}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                println!("{failure}");
                ExitCode::FAILURE
            }
        };
    }
    let (figures, seeds, failure) = search(arguments.from, arguments.crashes, threads, arguments.crashes > 10_000);
    println!("{seeds} seeds from {}: {figures:#?}", arguments.from);
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!(
                "{failure}\nto see it step by step: cargo test --features simulation,compression --test simulation -- --seed {}",
                failure.seed()
            );
            ExitCode::FAILURE
        }
    }
}
