//! The world of a simulated store: its disk, a clock that may run backwards, randomness, and background work that waits
//! until it is stepped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::storage::simulated::{Rng, SimulatedDisk};
use crate::storage::{Clock, Environment, Job, Lane, Scheduler, SeededEntropy};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// A clock that is set by hand.
#[derive(Debug, Default)]
pub(super) struct SetClock(AtomicU64);

impl SetClock {
    /// Moves on a little; now and then far, or back.
    pub(super) fn tick(&self, rng: &mut Rng) {
        let now = self.0.load(Ordering::Relaxed);
        let then = match rng.below(64) {
            0 => now.saturating_sub(rng.below(5_000_000)),
            1 => now + rng.below(200_000_000),
            _ => now + rng.below(3_000),
        };
        self.0.store(then.max(1), Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now_micros(&self) -> i64 {
        1_700_000_000_000_000 + self.0.load(Ordering::Relaxed) as i64
    }
}

/// Jobs that wait until they are stepped, one queue for each lane.
#[derive(Default)]
pub(super) struct Stepped {
    commit: Mutex<VecDeque<Job>>,
    behind: Mutex<VecDeque<Job>>,
}

impl std::fmt::Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stepped")
    }
}

impl Stepped {
    fn lane(&self, lane: Lane) -> &Mutex<VecDeque<Job>> {
        match lane {
            Lane::Commit => &self.commit,
            Lane::Behind => &self.behind,
        }
    }

    /// Runs the next job of a lane; `false` where there is none.
    pub(super) fn step(&self, lane: Lane) -> bool {
        // Taken out first: a job may submit another.
        let job = self.lane(lane).lock().pop_front();
        job.map(|job| job()).is_some()
    }

    /// Runs all jobs of a lane.
    pub(super) fn drain(&self, lane: Lane) {
        while self.step(lane) {}
    }
}

impl Scheduler for Stepped {
    fn submit(&self, lane: Lane, job: Job) {
        self.lane(lane).lock().push_back(job);
    }

    fn submit_after(&self, _delay: Duration, job: Job) {
        self.submit(Lane::Behind, job);
    }

    fn stop(&self) {
        self.drain(Lane::Commit);
        self.drain(Lane::Behind);
    }
}

/// A process's world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: SimulatedDisk,
    pub(super) clock: Arc<SetClock>,
    pub(super) scheduler: Arc<Stepped>,
}

impl World {
    pub(super) fn new(disk: SimulatedDisk, clock: Arc<SetClock>) -> Self {
        Self { disk, clock, scheduler: Arc::default() }
    }

    pub(super) fn environment(&self, seed: u64) -> Environment {
        Environment {
            disk: Arc::new(self.disk.clone()),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(seed)),
            scheduler: self.scheduler.clone(),
        }
    }
}
