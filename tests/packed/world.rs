//! Stores whose work behind is done at once, so that what is sealed is packed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use atlas::log::{
    Append, At, Compress, EventStore, KeyframePolicy, OpenError, OpenMode, Options, Query, RecordedEvent,
};
use atlas::storage::{Clock, Disk, Environment, Job, Lane, MemoryDisk, Scheduler, SeededEntropy};
use atlas::{Event, Scope, Timestamp, Uuid};
use serde_json::json;

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
    Options { segment_size, compress, keyframes: KeyframePolicy::Events(4), ..Options::default() }
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

pub(crate) fn disk_of(files: &Files) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (name, bytes) in files {
        disk.create(name).unwrap().write_all_at(0, bytes).unwrap();
    }
    disk
}

/// The segments that are packed.
pub(crate) fn packed(files: &Files) -> Vec<String> {
    let segments = files.iter().filter(|(name, bytes)| name.ends_with(".seg") && version(bytes) == 2);
    segments.map(|(name, _)| name.clone()).collect()
}

pub(crate) fn bank() -> Scope {
    "bank/loans".parse().unwrap()
}

pub(crate) fn shop() -> Scope {
    "shop/orders".parse().unwrap()
}

/// Of two scopes, with and without all that is optional, of ids of version 7 and others, with data from nothing to more
/// than two pages.
pub(crate) fn event(number: u64) -> Event {
    let text = "the customer returned the voucher at the counter ".repeat((number * 7 % 9) as usize);
    let data = json!({ "n": number, "amount": number * 7919 % 100_000, "note": text });
    let mut event = Event::new(format!("LOAN_OFFER_SENT{}_COMPLETE_1", number % 5), format!("loan-{}", number % 23));
    event = match number % 40 {
        3 => event.bytes("application/octet-stream", vec![number as u8; 40_000]),
        5 => event.bytes("text/plain", Vec::new()),
        _ => event.data(&data),
    };
    if number.is_multiple_of(3) {
        event = event.time(Timestamp::new(1_600_000_000_000_000 - 977 * number as i64, -90));
    }
    if number.is_multiple_of(4) {
        event = event.id(Uuid::from_u128(u128::from(number) << 64 | 9)).correlation_id(Uuid::from_u128(7)).actor("me");
    }
    if number.is_multiple_of(5) { event.causation_id(Uuid::from_u128(u128::from(number))).variant("v") } else { event }
}

/// Appends events up to number `to`, one by one and several at once, with states that leave keyframes.
pub(crate) fn fill(store: &EventStore, from: u64, to: u64) {
    let mut number = from;
    while number < to {
        let scope = if number.is_multiple_of(3) { shop() } else { bank() };
        let count = (1 + number % 11).min(to - number);
        store.append(Append::to(&scope).events((number..number + count).map(event))).unwrap();
        if number.is_multiple_of(6) {
            store.state(&scope, &format!("loan-{}", number % 23), At::Now, true).unwrap();
        }
        number += count;
    }
}

/// Everything that a store tells of its events.
pub(crate) fn told(store: &EventStore) -> Vec<String> {
    store.read(Query::new()).unwrap().map(|event| text(&event.unwrap())).collect()
}

pub(crate) fn text(event: &RecordedEvent) -> String {
    serde_json::to_string(&event.envelope()).unwrap()
}

/// The same store twice, plain and packed; closed.
pub(crate) fn twins(compress: Compress) -> (Files, Files) {
    let disk = MemoryDisk::new();
    let make = |compress| {
        // The same ids and times in both.
        let environment = Environment {
            entropy: Arc::new(SeededEntropy::new(5)),
            clock: Arc::new(Steps::default()),
            ..environment(disk.clone())
        };
        let store = EventStore::open_with(environment, options(64 << 10, compress)).unwrap();
        fill(&store, 0, 600);
        store.close().unwrap();
        let files = files_of(&disk);
        for name in files.keys() {
            disk.remove(name).unwrap();
        }
        files
    };
    (make(Compress::None), make(compress))
}

/// A clock that moves on by a millisecond and a bit whenever it is asked.
#[derive(Debug, Default)]
struct Steps(AtomicI64);

impl Clock for Steps {
    fn now_micros(&self) -> i64 {
        1_700_000_000_000_000 + self.0.fetch_add(1_037, Ordering::Relaxed)
    }
}
