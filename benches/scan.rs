//! A log of 100,000 events, read whole in the order of its positions.

#![allow(clippy::expect_used, reason = "a benchmark that fails has nothing to measure and stops")]

mod common;

use atlas::log::{EventStore, Query};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = EventStore::open(dir.path()).expect("an empty directory opens");
    common::fill(&store);
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(common::EVENTS));
    group.bench_function("the whole log", |bencher| {
        bencher.iter(|| {
            let read = store.read(Query::new()).expect("the log reads");
            let positions: u64 = read.map(|event| event.expect("each event reads").position()).sum();
            assert_eq!(positions, common::EVENTS * (common::EVENTS + 1) / 2);
        });
    });
    group.finish();
    store.close().expect("the store closes");
    criterion.final_summary();
}
