//! A second process looks at a log that a host holds: here both are in one process on one disk, so that every order of
//! their steps can be had. `tests/cli/beside.rs` does it with processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod between;
mod lock_file;
mod lost_lock;
mod model;
mod taken_over;
mod waiting;
mod world;
