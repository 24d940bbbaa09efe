//! The log under faults: torn tails, damage, failing syncs, a full disk, lost derived files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "simulation")]
mod cut_moments;
mod damage;
mod derived;
mod failed_calls;
mod faulty_disk;
mod full_disk;
mod held_jobs;
mod last_handle;
mod torn_tail;
mod visibility;
mod wakers;
mod world;
