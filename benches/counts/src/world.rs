//! A store whose every run is the same: a real disk, but a clock that counts, randomness from a seed, and background work when it
//! is told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::log::{EventStore, Options};
use atlas::storage::{Clock, Environment, Job, Lane, RealDisk, Scheduler, SeededEntropy};
use tempfile::TempDir;

/// Each look at it is 10 microseconds later.
#[derive(Debug)]
struct CountingClock(AtomicI64);

impl Clock for CountingClock {
    fn now_micros(&self) -> i64 {
        self.0.fetch_add(10, Ordering::Relaxed)
    }
}

/// Background work waits until it is told to run: when it does would be counted otherwise.
#[derive(Default)]
struct HeldJobs(Mutex<VecDeque<Job>>);

impl std::fmt::Debug for HeldJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldJobs")
    }
}

impl HeldJobs {
    fn run(&self) {
        loop {
            let next = self.0.lock().expect("no job panics").pop_front();
            let Some(job) = next else { return };
            job();
        }
    }
}

impl Scheduler for HeldJobs {
    fn submit(&self, _lane: Lane, job: Job) {
        self.0.lock().expect("no job panics").push_back(job);
    }

    fn submit_after(&self, delay: Duration, _job: Job) {
        panic!("a job after {delay:?}, which only a store that is open for reading only has");
    }

    fn stop(&self) {
        self.run();
    }
}

/// A directory and the world of its store.
pub(crate) struct World {
    pub(crate) environment: Environment,
    jobs: Arc<HeldJobs>,
    _dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let jobs = Arc::new(HeldJobs::default());
        let environment = Environment {
            disk: Arc::new(RealDisk::new(dir.path())),
            clock: Arc::new(CountingClock(AtomicI64::new(1_700_000_000_000_000))),
            entropy: Arc::new(SeededEntropy::new(1)),
            scheduler: jobs.clone(),
        };
        Self { environment, jobs, _dir: dir }
    }

    pub(crate) fn open(&self, segment_size: u64) -> EventStore {
        let options = Options { segment_size, ..Options::default() };
        EventStore::open_with(self.environment.clone(), options).expect("the store opens")
    }

    /// Runs the background work that waits.
    pub(crate) fn run_jobs(&self) {
        self.jobs.run();
    }
}
