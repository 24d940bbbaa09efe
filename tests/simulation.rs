//! The log, simulated from many seeds (`atlas::simulation` says what is checked).
//!
//! ```text
//! cargo test --release --features simulation --test simulation -- --crashes 100000
//! cargo test --release --features simulation --test simulation -- --seed 42            one seed, told step by step
//! RUSTFLAGS="--cfg planted_bugs" cargo test --release --features simulation --test simulation \
//!     --target-dir target/planted -- --planted                                          does it catch planted bugs?
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "a test program of its own")]

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

/// Runs one seed; a panic is a violation as well.
fn simulate(seed: u64, settings: &Settings) -> Result<Figures, Violation> {
    std::panic::catch_unwind(|| run(seed, settings)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let what = format!("a panic: {}", text.unwrap_or("no reason is known"));
        Err(Violation { seed, what, trace: Vec::new() })
    })
}

/// Seeds from `from` on, on several threads, until there were `crashes` power cuts or one shows a violation.
fn search(from: u64, crashes: u64, threads: usize, shows: bool) -> (Figures, u64, Option<Violation>) {
    let next = AtomicU64::new(from);
    let is_over = AtomicBool::new(false);
    let state = Mutex::new((Figures::default(), None::<Violation>));
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let result = simulate(seed, &Settings::default());
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(figures) => state.0.add(&figures),
                // The smallest seed that fails, so that the answer doesn't depend on the threads.
                Err(violation) if state.1.as_ref().is_none_or(|other| violation.seed < other.seed) => {
                    state.1 = Some(violation);
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
    let (figures, violation) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    (figures, seeds, violation)
}

#[cfg(planted_bugs)]
fn planted(arguments: &Arguments, threads: usize) -> bool {
    use atlas::planted::{BUGS, plant};
    let mut survivors = 0;
    // Panics are caught, and counted as caught bugs.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{:<22} {:>7} {:>9}  caught as", "bug", "seeds", "crashes");
    for (bug, what) in BUGS.iter().filter(|(bug, _)| format!("{bug:?}").contains(&arguments.bug)) {
        plant(Some(*bug));
        let (figures, seeds, violation) = search(arguments.from, arguments.crashes, threads, false);
        let name = format!("{bug:?}");
        match violation {
            Some(violation) => {
                let seeds = violation.seed + 1 - arguments.from;
                let caught: String = violation.what.chars().take(120).collect();
                println!("{name:<22} {seeds:>7} {:>9}  {caught}", figures.power_cuts);
            }
            None => {
                survivors += 1;
                println!("{name:<22} {seeds:>7} {:>9}  NOT CAUGHT: {what}", figures.power_cuts);
            }
        }
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
            Err(violation) => {
                println!("{violation}");
                ExitCode::FAILURE
            }
        };
    }
    let (figures, seeds, violation) = search(arguments.from, arguments.crashes, threads, arguments.crashes > 10_000);
    println!("{seeds} seeds from {}: {figures:#?}", arguments.from);
    match violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!(
                "{violation}\nto see it step by step: cargo test --features simulation --test simulation -- --seed {}",
                violation.seed
            );
            ExitCode::FAILURE
        }
    }
}
