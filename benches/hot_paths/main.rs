//! Each hot path by itself: `cargo bench` runs all, `cargo bench -- replay` those whose names have `replay` in them. One
//! binary, as each would be linked by itself otherwise; a path's store is made when the first of its rows runs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a benchmark that fails has nothing to measure and stops"
)]

mod append;
#[path = "../common/mod.rs"]
mod common;
mod frames;
mod index;
mod jq;
mod keyframe;
mod open;
mod queue;
mod replay;
mod router;
mod scan;
mod world;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    frames::bench(&mut criterion);
    append::bench(&mut criterion);
    queue::bench(&mut criterion);
    index::bench(&mut criterion);
    replay::bench(&mut criterion);
    scan::bench(&mut criterion);
    router::bench(&mut criterion);
    jq::bench(&mut criterion);
    keyframe::bench(&mut criterion);
    open::bench(&mut criterion);
    criterion.final_summary();
}
