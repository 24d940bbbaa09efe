//! Appends, each durable before the next one begins: one event, and a hundred, per commit.

#![allow(clippy::expect_used, reason = "a benchmark that fails has nothing to measure and stops")]

mod common;

use atlas::log::{Append, EventStore};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = EventStore::open(dir.path()).expect("an empty directory opens");
    let scope = common::scope();
    let mut group = criterion.benchmark_group("append");
    for per_commit in [1, 100] {
        group.throughput(Throughput::Elements(per_commit));
        group.bench_function(format!("{per_commit} per commit"), |bencher| {
            let mut next = 0;
            bencher.iter(|| {
                let events = (0..per_commit).map(|_| {
                    next += 1;
                    common::event(next)
                });
                store.append(Append::to(&scope).events(events)).expect("the append succeeds")
            });
        });
    }
    group.finish();
    store.close().expect("the store closes");
    criterion.final_summary();
}
