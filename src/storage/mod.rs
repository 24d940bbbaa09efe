//! The seam to the world: disk, clock, randomness and background work. Everything above reaches the world through an
//! [`Environment`], so that tests can put another in its place.

mod clock;
mod database;
mod disk;
mod environment;
mod fence;
mod jobs;
mod later;
mod map;
mod memory;
mod process;
mod real;
mod shortage;
#[cfg(feature = "simulation")]
pub mod simulated;

pub use clock::{Clock, Entropy, SeededEntropy, SystemClock, SystemEntropy};
pub use database::{DatabaseError, verify_database};
pub(crate) use database::{copy_database, make_database_anew, open_database, open_or_make_anew, verify_copy};
pub use disk::{Disk, DiskFile, FileIdentity, NamesStamp};
pub use environment::Environment;
pub(crate) use fence::Fence;
pub use jobs::{Job, Lane, Scheduler, ThreadScheduler};
pub use memory::MemoryDisk;
pub(crate) use process::Process;
pub use real::RealDisk;
pub(crate) use shortage::is_shortage;
