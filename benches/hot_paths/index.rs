//! The index: made for a segment's frames, and asked for a stream's version, an id and a position, of which nearly all are
//! in sealed segments.

use std::cell::LazyCell;

use atlas::Uuid;
use atlas::log::Query;
use criterion::{Criterion, Throughput};

use crate::common::{self, STREAMS};
use crate::{frames, world};

/// How far apart what is asked for stands: prime, so that all of it is asked for in turn.
const STRIDE: u64 = 7_919;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(frames::EVENTS));
    let frames = LazyCell::new(frames::frames);
    group.bench_function("insert", |bencher| bencher.iter(|| assert_eq!(frames.index(), Some(frames::EVENTS))));

    group.throughput(Throughput::Elements(1));
    let place = LazyCell::new(|| {
        let place = world::filled();
        let read = place.store.read(Query::new()).expect("the log reads");
        let ids: Vec<Uuid> = read.map(|event| event.expect("each event reads").id()).collect();
        (place, ids)
    });
    let scope = common::scope();
    let streams: Vec<String> = (0..STREAMS).map(common::stream).collect();
    let mut next = 0;
    let mut number = |below: u64| {
        next += STRIDE;
        next % below
    };
    group.bench_function("look up a stream's version", |bencher| {
        let (place, _) = &*place;
        bencher.iter(|| {
            let stream = &streams[number(STREAMS) as usize];
            assert_eq!(place.store.version(&scope, stream).expect("the log reads"), world::EVENTS / STREAMS);
        });
    });
    group.bench_function("look up an id", |bencher| {
        let (place, ids) = &*place;
        bencher.iter(|| {
            let id = ids[number(world::EVENTS) as usize];
            assert!(place.store.event(&scope, id).expect("the log reads").is_some());
        });
    });
    group.bench_function("look up a position", |bencher| {
        let (place, _) = &*place;
        bencher.iter(|| {
            let position = number(world::EVENTS) + 1;
            assert!(place.store.event_at(position).expect("the log reads").is_some());
        });
    });
    group.finish();
}
