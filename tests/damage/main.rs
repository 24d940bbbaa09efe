//! Damage of every region of every file, and what is left then: derived files come back silently, segments say where they
//! are damaged, and salvage gives all that is whole and says the rest.
//!
//! By default a sample is tried. `ATLAS_DAMAGE=all cargo test --release --all-features --test damage` tries everything:
//! every page of the store of 4 MiB, and 2,000 pages of one with the real log, where that lies beside the repository.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod databases;
mod derived;
mod harm;
mod histories;
mod layout;
mod real;
mod salvage;
mod segments;
mod sweep;
mod unreadable;
mod whole_files;
mod world;

/// Whether everything is to be tried.
fn all() -> bool {
    std::env::var("ATLAS_DAMAGE").is_ok_and(|value| value == "all")
}
