//! Real crashes: a host that is killed under load, again and again, and a disk that is full to the brim. What the
//! simulated disk can't show: another process, the system's own files and locks, the real errors.
//!
//! A test starts itself as the host: the same test in a child process, told by an environment variable what to do.
//!
//! By default there are few rounds. Hundreds, as before a release:
//!
//! ```text
//! ATLAS_KILL_ROUNDS=300 cargo test --release --test crash -- --nocapture
//! ```
//!
//! A round that fails prints the seed; `ATLAS_KILL_SEED=SEED` kills after the same numbers of appends again, though what
//! the threads of the host do between is the system's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says so when it skips"
)]

mod check;
mod full_disk;
mod full_disk_host;
mod kills;
mod load;
