//! Upkeep: that a deep check finds what is derived and wrong, and that a rebuild may end anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod deep;
mod rebuild;
mod world;
