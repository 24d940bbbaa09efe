//! Small stores to be damaged, each made once: their files, and the events in them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atlas::log::{Append, Durability, Options, Query};
use atlas::storage::{Clock, Disk, Entropy, Environment, Job, Lane, MemoryDisk, Scheduler};
use atlas::{Event, EventStore, Scope, Uuid};

/// The files of a directory.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A store and what is in it.
pub struct Template {
    pub files: Files,
    /// The envelope of each event in the files, by position from 1, as JSON.
    pub events: Vec<String>,
    /// How many of them are durable.
    pub durable: usize,
    pub ids: Vec<Uuid>,
}

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now_micros(&self) -> i64 {
        1_700_000_000_000_000
    }
}

#[derive(Debug)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Runs each job at once.
#[derive(Debug)]
struct AtOnce;

impl Scheduler for AtOnce {
    fn submit(&self, _lane: Lane, job: Job) {
        job();
    }

    /// Only who waits submits such, and no target does.
    fn submit_after(&self, _delay: Duration, _job: Job) {}

    fn stop(&self) {}
}

pub fn environment(disk: &MemoryDisk, seed: u64) -> Environment {
    Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(Standing),
        entropy: Arc::new(Counting(AtomicU64::new(seed))),
        scheduler: Arc::new(AtOnce),
    }
}

pub fn options() -> Options {
    Options { segment_size: 64 << 10, create: false, ..Options::default() }
}

pub fn scope() -> Scope {
    "t/a".parse().expect("a scope")
}

pub fn stream(number: u64) -> String {
    format!("s-{}", number % 5)
}

/// A disk with these files.
pub fn disk(files: &Files) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (name, bytes) in files {
        disk.create(name).and_then(|file| file.write_all_at(0, bytes)).expect("memory takes it");
    }
    disk
}

/// The files of a disk.
pub fn files(disk: &MemoryDisk) -> Files {
    let read = |name: String| {
        let file = disk.open(&name, false).expect("a file that was listed");
        let mut bytes = vec![0; file.len().expect("a length") as usize];
        file.read_exact_at(0, &mut bytes).expect("its bytes");
        (name, bytes)
    };
    let root = disk.list("").expect("a list").into_iter();
    let log = disk.list("log").expect("a list").into_iter().map(|name| format!("log/{name}"));
    root.chain(log).map(read).collect()
}

/// Fills most of a segment, so that there are several.
fn ballast(number: u64) -> Event {
    Event::new("A_B_C_D_1", "ballast")
        .id(Uuid::from_u128(u128::from(number) << 64 | 0x8000_0000_0000_0000))
        .bytes("application/octet-stream", vec![number as u8; 50_000])
}

fn fill(store: &EventStore, numbers: std::ops::RangeInclusive<u64>, ballast_every: u64) {
    for number in numbers {
        if ballast_every > 0 && number.is_multiple_of(ballast_every) {
            store.append(Append::to(&scope()).event(ballast(number))).expect("an append");
            continue;
        }
        let mut event = Event::new(format!("A_B_C_D_{}", 1 + number % 3), stream(number))
            .id(Uuid::from_u128(u128::from(number) << 64 | 0x8000_0000_0000_0000))
            .json(format!("{{\"number\":{number},\"s{}\":true}}", number % 7));
        if number.is_multiple_of(4) {
            event = event.correlation_id(Uuid::from_u128(77)).causation_id(Uuid::from_u128(78)).actor("somebody");
        }
        let durability = if number.is_multiple_of(3) { Durability::Sync } else { Durability::Deferred };
        store.append(Append::to(&scope()).event(event).durability(durability)).expect("an append");
        if number.is_multiple_of(9) {
            // Leaves keyframes.
            store.state(&scope(), &stream(number), Default::default(), true).expect("a state");
        }
    }
}

impl Template {
    /// `lives` of a store, each so many events, with ballast among them every so often, and whether it ends with a close.
    fn new(seed: u64, lives: &[(u64, u64, bool)]) -> Self {
        let disk = MemoryDisk::new();
        let mut last = 0;
        let mut durable = 0;
        for (events, ballast_every, closed) in lives {
            let options = Options { create: true, keyframe_min_events: 2, ..options() };
            let store = EventStore::open_with(environment(&disk, seed), options).expect("an open");
            fill(&store, last + 1..=last + events, *ballast_every);
            last += events;
            if *closed {
                store.close().expect("a close");
                durable = last;
            } else {
                durable = store.last_position();
            }
        }
        let files = files(&disk);
        let store = EventStore::open_with(environment(&disk, seed), options()).expect("an open");
        let read = store.read(Query::new()).expect("a read").map(|event| event.expect("an event"));
        let (events, ids) = read.map(|event| (crate::reads::text(&event), event.id())).unzip();
        Self { files, events, durable: durable as usize, ids }
    }
}

/// All templates: closed and not, of one segment and of several, with an index that the tail has outgrown.
pub fn templates() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        vec![
            Template::new(1, &[(7, 0, true)]),
            Template::new(2, &[(11, 0, false)]),
            Template::new(3, &[(25, 6, true)]),
            Template::new(4, &[(22, 5, true), (8, 0, false)]),
            Template::new(5, &[(9, 0, true), (5, 0, false), (4, 0, true), (12, 4, false)]),
        ]
    })
}
