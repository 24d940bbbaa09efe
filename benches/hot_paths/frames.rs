//! Frames of a thousand events, encoded and checked as bytes.

use std::cell::LazyCell;

use atlas::log::Options;
use atlas::log::bench::Frames;
use bytes::Bytes;
use criterion::{Criterion, Throughput};

use crate::common::Events;
use crate::world;

/// Events in them.
pub(crate) const EVENTS: u64 = 10_000;

/// The frames of a segment that a store wrote.
pub(crate) fn frames() -> Frames {
    let environment = world::in_memory();
    let store = world::open(&environment, Options::default());
    Events::of(&environment).fill(&store, EVENTS as usize);
    store.close().expect("the store closes");
    let file = environment.disk.open("log/00000001.seg", false).expect("the segment is there");
    let mut bytes = vec![0; file.len().expect("the segment has a length") as usize];
    file.read_exact_at(0, &mut bytes).expect("the segment reads");
    Frames::of(&Bytes::from(bytes)).expect("these are a segment's bytes")
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(EVENTS));
    let frames = LazyCell::new(frames);
    group.bench_function("encode", |bencher| bencher.iter(|| assert!(frames.encode())));
    group.bench_function("check", |bencher| bencher.iter(|| assert_eq!(frames.check(), Some(EVENTS))));
    group.finish();
}
