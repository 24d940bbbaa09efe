//! Packed segments: they read as the plain ones they were, whatever happens to them or while they are made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod damage;
mod faults;
mod reads;
mod real;
mod world;
