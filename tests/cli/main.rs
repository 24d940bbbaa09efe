//! The command line, as its users meet it: the program is started, and its exit code, stdout, stderr and the directory
//! it leaves behind are looked at.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says so when it skips"
)]

mod bad_input;
mod beside;
mod changes;
mod configuration;
mod damage;
mod deliveries;
mod faulty_tree;
mod import_export;
mod kill;
mod looking;
mod real_log;
mod sandbox;
mod usage;
