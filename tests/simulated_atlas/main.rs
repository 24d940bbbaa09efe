//! Atlas, threads and all, over the simulated disk: power cuts, kills, failing syncs, a full disk, lost and damaged
//! databases. The faults follow from a seed; the order of the threads doesn't, so a seed shows a fault often, not always.
//!
//! ```text
//! ATLAS_SIMULATED_ROUNDS=500 cargo test --release --features simulation --test simulated_atlas -- --nocapture
//! ```
//!
//! A round that fails prints its seed: `ATLAS_SIMULATED_SEED=SEED` runs it alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod end;
mod faults;
mod full_disk;
mod holding;
pub(crate) mod lives;
mod model;
mod rounds;
mod tree;
