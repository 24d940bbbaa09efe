//! The log under many orders of its threads: locks, atomics and threads are shuttle's, which picks who goes on at each
//! step and reports it where nobody can. All atomics are sequentially consistent here, whatever ordering they state.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release --lib --target-dir target/shuttle shuttle
//! ```
//!
//! `ATLAS_SCHEDULES` says how many orders each test tries. A test that fails prints its schedule: written to a file that
//! `ATLAS_SCHEDULE` names, it is the only one tried.

mod parts;
mod store;

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Preemptions that the second half of the schedules place: most races need no more.
const PREEMPTIONS: usize = 3;

/// Runs `test` under `1 / share` of the wanted number of schedules, half of them random, half with few preemptions.
fn check(share: usize, test: fn()) {
    if let Ok(file) = std::env::var("ATLAS_SCHEDULE") {
        return run(ReplayScheduler::new_from_file(file).unwrap(), test);
    }
    let wanted = std::env::var("ATLAS_SCHEDULES").map_or(2_000, |number| number.parse().unwrap());
    let half = usize::max(wanted / share / 2, 1);
    run(RandomScheduler::new(half), test);
    run(PctScheduler::new(PREEMPTIONS, half), test);
}

fn run(scheduler: impl Scheduler + 'static, test: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(test);
}

/// Starts a thread for each of `tasks`, and waits for all.
fn together<T: Send + 'static>(tasks: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = tasks.into_iter().map(shuttle::thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// A counter that is no step of a schedule.
type Count = Arc<std::sync::atomic::AtomicU64>;
