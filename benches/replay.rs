//! One stream of 1,000 events, spread over a log of 100,000, read from its first event to its last.

#![allow(clippy::expect_used, reason = "a benchmark that fails has nothing to measure and stops")]

mod common;

use atlas::log::{Direction, EventStore};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = EventStore::open(dir.path()).expect("an empty directory opens");
    common::fill(&store);
    let scope = common::scope();
    let mut group = criterion.benchmark_group("replay");
    let events = common::EVENTS / common::STREAMS;
    group.throughput(Throughput::Elements(events));
    group.bench_function("a stream of 1,000", |bencher| {
        bencher.iter(|| {
            let stream = common::stream(7);
            let read = store.read_stream(&scope, &stream, 1, Direction::Forward).expect("the stream is there");
            let bytes: usize = read.map(|event| event.expect("each event reads").data().len()).sum();
            assert_eq!(bytes as u64, events * common::DATA_LEN as u64);
        });
    });
    group.finish();
    store.close().expect("the store closes");
    criterion.final_summary();
}
