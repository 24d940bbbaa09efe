//! Appends, each durable before the next one begins: one event, a hundred and a thousand per commit. And a thousand without
//! a disk: all that Atlas itself does for them.

use std::cell::LazyCell;

use atlas::log::{Durability, EventStore};
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};

use crate::common::Events;
use crate::world::{self, InMemory};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    let place = LazyCell::new(world::on_disk);
    for per_commit in [1, 100, 1_000] {
        let name = format!("{per_commit} per commit");
        row(&mut group, &name, per_commit, Durability::Sync, || (place.store.clone(), Events::of(&place.environment)));
    }
    let mut place = InMemory::new();
    row(&mut group, "1000 per commit, in memory, deferred", 1_000, Durability::Deferred, || place.next());
    group.finish();
}

fn row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    per_commit: usize,
    durability: Durability,
    mut place: impl FnMut() -> (EventStore, Events),
) {
    group.throughput(Throughput::Elements(per_commit as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || {
                let (store, mut events) = place();
                (store, events.append(per_commit).durability(durability))
            },
            |(store, append)| store.append(append).expect("the append succeeds"),
            BatchSize::SmallInput,
        );
    });
}
