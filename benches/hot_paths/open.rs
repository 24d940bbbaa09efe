//! Opening a store of 100,000 events and reading one: after a clean close, and after one that was dropped instead, so that
//! the end of the log has to be found in a last segment of up to 8 MiB.

use std::cell::LazyCell;

use atlas::log::{EventStore, Options};
use atlas::storage::{Environment, RealDisk};
use criterion::{BatchSize, Criterion};
use tempfile::TempDir;

use crate::common::Events;
use crate::world::{self, EVENTS};

/// A store, and how it ends.
struct Opened {
    store: EventStore,
    clean: bool,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.clean {
            self.store.close().expect("the store closes");
        }
    }
}

fn open(environment: &Environment, clean: bool) -> Opened {
    let options = Options { segment_size: 8 << 20, ..Options::default() };
    Opened { store: world::open(environment, options), clean }
}

fn filled(clean: bool) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let environment = Environment::new(RealDisk::new(dir.path()));
    let opened = open(&environment, clean);
    Events::of(&environment).fill(&opened.store, EVENTS as usize);
    dir
}

fn open_and_read(dir: &TempDir, clean: bool) -> Opened {
    let opened = open(&Environment::new(RealDisk::new(dir.path())), clean);
    assert!(opened.store.event_at(EVENTS / 2).expect("the log reads").is_some());
    opened
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for (name, clean) in [("after a clean close", true), ("after none", false)] {
        let dir = LazyCell::new(|| filled(clean));
        group.bench_function(name, |bencher| {
            let dir = &*dir;
            bencher.iter_batched(|| (), |()| open_and_read(dir, clean), BatchSize::PerIteration);
        });
    }
    group.finish();
}
