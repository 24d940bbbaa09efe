//! The commit queue: 64 tasks on two threads, each of which awaits each of its events, on a disk that costs nothing.

use std::cell::LazyCell;
use std::sync::Arc;

use atlas::log::Options;
use criterion::{Criterion, Throughput};
use parking_lot::Mutex;

use crate::common::Events;
use crate::world;

const TASKS: usize = 64;
const EVENTS_PER_TASK: usize = 10;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit queue");
    group.throughput(Throughput::Elements((TASKS * EVENTS_PER_TASK) as u64));
    let place = LazyCell::new(|| {
        let environment = world::in_memory();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let store = world::open(&environment, Options::default());
        (runtime.expect("the runtime starts"), store, Arc::new(Mutex::new(Events::of(&environment))))
    });
    group.bench_function("64 tasks", |bencher| {
        let (runtime, store, events) = &*place;
        bencher.iter(|| {
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
        });
    });
    group.finish();
}
