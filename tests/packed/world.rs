//! Stores whose work behind is done at once, so that what is sealed is packed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atlas::log::{Compress, EventStore, OpenError, OpenMode, Options};
use atlas::storage::{Disk, Environment, Job, Lane, MemoryDisk, Scheduler};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Runs each job where it is submitted.
#[derive(Debug)]
struct AtOnce;

impl Scheduler for AtOnce {
    fn submit(&self, _lane: Lane, job: Job) {
        job();
    }

    fn submit_after(&self, _delay: Duration, job: Job) {
        drop(job);
    }

    fn stop(&self) {}
}

pub(crate) fn environment(disk: impl Disk) -> Environment {
    Environment { scheduler: Arc::new(AtOnce), ..Environment::new(disk) }
}

pub(crate) fn options(segment_size: u64, compress: Compress) -> Options {
    Options { segment_size, compress, ..Options::default() }
}

pub(crate) fn open(disk: &MemoryDisk, mode: OpenMode, options: Options) -> Result<EventStore, OpenError> {
    EventStore::open_with_mode(environment(disk.clone()), options, mode)
}

pub(crate) fn files_of(disk: &MemoryDisk) -> Files {
    let names = disk.list("log").unwrap().into_iter().map(|name| format!("log/{name}"));
    let read = |name: String| {
        let file = disk.open(&name, false).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        (name, bytes)
    };
    names.chain(disk.list("").unwrap()).map(read).collect()
}

/// The format version that a segment's header states.
pub(crate) fn version(segment: &[u8]) -> u8 {
    segment[8]
}
