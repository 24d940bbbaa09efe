//! The commit queue: 64 tasks on two threads, each of which awaits each of its events, on a disk that costs nothing.

use std::sync::Arc;

use atlas::log::EventStore;
use criterion::{BatchSize, Criterion, Throughput};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use crate::common::Events;
use crate::world::InMemory;

const TASKS: usize = 64;
const EVENTS_PER_TASK: usize = 10;

fn append_from_tasks(runtime: &Runtime, store: &EventStore, events: &Arc<Mutex<Events>>) {
    let task = || {
        let (store, events) = (store.clone(), events.clone());
        async move {
            for _ in 0..EVENTS_PER_TASK {
                let append = events.lock().append(1);
                store.append_async(append).await.expect("the append succeeds");
            }
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(task())).collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("the task ends");
        }
    });
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit queue");
    group.throughput(Throughput::Elements((TASKS * EVENTS_PER_TASK) as u64));
    group.bench_function("64 tasks", |bencher| {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("the runtime starts");
        let mut place = InMemory::new();
        bencher.iter_batched(
            || place.next(),
            |(store, events)| append_from_tasks(&runtime, &store, &Arc::new(Mutex::new(events))),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
