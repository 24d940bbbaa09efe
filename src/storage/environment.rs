//! All that a store takes from outside, in one value.

use std::sync::Arc;

use super::{Clock, Disk, Entropy, Scheduler, SystemClock, SystemEntropy, ThreadScheduler};

/// The world of one store: its disk, a clock, randomness, and who runs its background work.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and salts.
    pub entropy: Arc<dyn Entropy>,
    /// Who runs background work.
    pub scheduler: Arc<dyn Scheduler>,
}

impl Environment {
    /// `disk` with the system's clock and randomness and threads of its own.
    pub fn new(disk: impl Disk) -> Self {
        Self {
            disk: Arc::new(disk),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::default()),
            scheduler: Arc::new(ThreadScheduler::default()),
        }
    }
}
