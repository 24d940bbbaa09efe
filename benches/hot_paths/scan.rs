//! A log of 100,000 events, read whole in the order of its positions.

use std::cell::LazyCell;

use atlas::log::Query;
use criterion::{Criterion, Throughput};

use crate::world;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    let place = LazyCell::new(world::filled);
    group.throughput(Throughput::Elements(world::EVENTS));
    group.bench_function("the whole log", |bencher| {
        let store = &place.store;
        bencher.iter(|| {
            let read = store.read(Query::new()).expect("the log reads");
            let positions: u64 = read.map(|event| event.expect("each event reads").position()).sum();
            assert_eq!(positions, world::EVENTS * (world::EVENTS + 1) / 2);
        });
    });
    group.finish();
}
