//! Where the stores of benchmarks live: on a disk where the disk is what costs, else in memory.

use atlas::log::{EventStore, Options};
use atlas::storage::{Environment, MemoryDisk, RealDisk};
use tempfile::TempDir;

use crate::common::Events;

/// Events of a filled store.
pub(crate) const EVENTS: u64 = 100_000;

/// A store on a disk, in a directory of its own.
pub(crate) struct OnDisk {
    pub(crate) store: EventStore,
    pub(crate) environment: Environment,
    _dir: TempDir,
}

pub(crate) fn on_disk() -> OnDisk {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let environment = Environment::new(RealDisk::new(dir.path()));
    let store = open(&environment, Options::default());
    OnDisk { store, environment, _dir: dir }
}

/// A store on a disk with [`EVENTS`] events in segments of 8 MiB, of which all but the last are sealed, as it is after an
/// open.
pub(crate) fn filled() -> OnDisk {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options { segment_size: 8 << 20, ..Options::default() };
    let environment = Environment::new(RealDisk::new(dir.path()));
    let store = open(&environment, options.clone());
    Events::of(&environment).fill(&store, EVENTS as usize);
    store.close().expect("the store closes");
    // A closed store's scheduler takes no more jobs.
    let environment = Environment::new(RealDisk::new(dir.path()));
    let store = open(&environment, options);
    OnDisk { store, environment, _dir: dir }
}

pub(crate) fn in_memory() -> Environment {
    Environment::new(MemoryDisk::new())
}

/// A store in memory, a new one now and then: what is appended to it stays in memory.
pub(crate) struct InMemory {
    environment: Environment,
    store: EventStore,
    uses: u32,
}

impl InMemory {
    pub(crate) fn new() -> Self {
        let environment = in_memory();
        Self { store: open(&environment, Options::default()), environment, uses: 0 }
    }

    /// The store for the next thousand events or so.
    pub(crate) fn next(&mut self) -> (EventStore, Events) {
        if self.uses == 100 {
            *self = Self::new();
        }
        self.uses += 1;
        (self.store.clone(), Events::of(&self.environment))
    }
}

pub(crate) fn open(environment: &Environment, options: Options) -> EventStore {
    EventStore::open_with(environment.clone(), options).expect("the store opens")
}
