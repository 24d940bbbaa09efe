//! One stream of 1,000 events, spread over a log of 100,000: read from its first event to its last, and one event of it.

use std::cell::LazyCell;

use atlas::log::Direction;
use criterion::{Criterion, Throughput};

use crate::common::{self, DATA_LEN, STREAMS};
use crate::world;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    let place = LazyCell::new(world::filled);
    let (scope, stream) = (common::scope(), common::stream(7));
    let events = world::EVENTS / STREAMS;
    group.throughput(Throughput::Elements(events));
    group.bench_function("a stream of 1,000", |bencher| {
        let store = &place.store;
        bencher.iter(|| {
            let read = store.read_stream(&scope, &stream, 1, Direction::Forward).expect("the stream is there");
            let bytes: usize = read.map(|event| event.expect("each event reads").data().len()).sum();
            assert_eq!(bytes as u64, events * DATA_LEN as u64);
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one event of it", |bencher| {
        let store = &place.store;
        let mut version = 0;
        bencher.iter(|| {
            version = (version + 379) % events;
            let from = version + 1;
            let mut read = store.read_stream(&scope, &stream, from, Direction::Forward).expect("the stream is there");
            let event = read.next().expect("the version is there").expect("the event reads");
            assert_eq!(event.version(), from);
        });
    });
    group.finish();
}
