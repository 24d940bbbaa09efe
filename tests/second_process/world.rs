//! A disk that refuses to be written to, schedulers that run only what they are told to, and a host with its model.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::event::Scope;
use atlas::log::{Append, At, Durability, EventStore, OpenError, OpenMode, Options, Query};
use atlas::storage::{Disk, DiskFile, Environment, Job, Lane, MemoryDisk, Scheduler};
use atlas::{Event, Uuid};
use bytes::Bytes;

pub(crate) fn scope() -> Scope {
    "t/a".parse().unwrap()
}

pub(crate) fn options() -> Options {
    Options { segment_size: 64 << 10, max_open_segments: 8, ..Options::default() }
}

/// Numbers from a seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What happens before a file is opened or listed.
type Before = Box<dyn FnMut(&str) + Send>;

/// A reader's eyes: another's disk, on which it can do nothing but look.
#[derive(Clone)]
pub(crate) struct LookOnly {
    disk: Arc<dyn Disk>,
    before: Arc<Mutex<Option<Before>>>,
    /// How often `LOCK` was opened.
    pub(crate) looks: Arc<AtomicU64>,
}

impl std::fmt::Debug for LookOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LookOnly")
    }
}

impl LookOnly {
    pub(crate) fn new(disk: &MemoryDisk) -> Self {
        Self { disk: Arc::new(disk.clone()), before: Arc::default(), looks: Arc::default() }
    }

    pub(crate) fn before_each(&self, before: impl FnMut(&str) + Send + 'static) {
        *self.before.lock().unwrap() = Some(Box::new(before));
    }

    pub(crate) fn before_none(&self) {
        *self.before.lock().unwrap() = None;
    }

    fn run_before(&self, name: &str) {
        // Taken out, so that what it does may look as well.
        let taken = self.before.lock().unwrap().take();
        if let Some(mut before) = taken {
            before(name);
            *self.before.lock().unwrap() = Some(before);
        }
    }
}

impl Disk for LookOnly {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        panic!("a reader created the folder {folder}")
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.run_before(folder);
        self.disk.list(folder)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        assert!(!write, "a reader opened {name} for writing");
        self.run_before(name);
        if name == "LOCK" {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Arc::new(LookOnlyFile(self.disk.open(name, false)?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        panic!("a reader created {name}")
    }

    fn rename(&self, from: &str, _to: &str) -> io::Result<()> {
        panic!("a reader renamed {from}")
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        panic!("a reader removed {name}")
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        panic!("a reader synced the folder {folder}")
    }
}

#[derive(Debug)]
struct LookOnlyFile(Arc<dyn DiskFile>);

impl DiskFile for LookOnlyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        panic!("a reader wrote at {offset}")
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        panic!("a reader cut a file to {length}")
    }

    fn sync(&self) -> io::Result<()> {
        panic!("a reader synced a file")
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.0.map(length)
    }

    fn try_lock(&self) -> io::Result<bool> {
        panic!("a reader took a lock")
    }
}

/// Runs commits at once, and everything else only when told.
#[derive(Default)]
pub(crate) struct Stepped(Mutex<Vec<Job>>);

impl std::fmt::Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stepped")
    }
}

impl Scheduler for Stepped {
    fn submit(&self, lane: Lane, job: Job) {
        match lane {
            Lane::Commit => job(),
            Lane::Behind => self.0.lock().unwrap().push(job),
        }
    }

    fn submit_after(&self, _delay: Duration, job: Job) {
        self.0.lock().unwrap().push(job);
    }

    fn stop(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Stepped {
    /// Runs what was submitted so far; says how much that was.
    pub(crate) fn step(&self) -> usize {
        let jobs = std::mem::take(&mut *self.0.lock().unwrap());
        let count = jobs.len();
        jobs.into_iter().for_each(|job| job());
        count
    }

    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

pub(crate) fn read_only(disk: &LookOnly) -> Result<(EventStore, Arc<Stepped>), OpenError> {
    let scheduler = Arc::new(Stepped::default());
    let environment = Environment { scheduler: scheduler.clone(), ..Environment::new(disk.clone()) };
    Ok((EventStore::open_with_mode(environment, options(), OpenMode::Read)?, scheduler))
}

/// One event as the model knows it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    pub(crate) version: u64,
}

/// A host and what it has appended.
pub(crate) struct Host {
    pub(crate) disk: MemoryDisk,
    pub(crate) store: Option<EventStore>,
    scheduler: Arc<Stepped>,
    /// All that is in the log, durable or not.
    pub(crate) written: Vec<Known>,
    pub(crate) durable: usize,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::of(MemoryDisk::new(), Vec::new())
    }

    /// A host of what stands on a disk already.
    pub(crate) fn of(disk: MemoryDisk, written: Vec<Known>) -> Self {
        let mut host = Self { disk, store: None, scheduler: Arc::default(), written, durable: 0 };
        host.open();
        host
    }

    pub(crate) fn open(&mut self) {
        self.scheduler = Arc::default();
        let environment = Environment { scheduler: self.scheduler.clone(), ..Environment::new(self.disk.clone()) };
        self.store = Some(EventStore::open_with(environment, options()).unwrap());
        // What a host that was killed had written, the next one recovers and makes durable.
        self.durable = self.written.len();
    }

    pub(crate) fn store(&self) -> &EventStore {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn append(&mut self, numbers: &mut Numbers, durability: Durability) {
        let events: Vec<(Event, String)> = (0..=numbers.below(3))
            .map(|_| {
                let stream = format!("s-{}", numbers.below(12));
                // Some ids are found by their time, some by their hash.
                let id = match numbers.below(2) {
                    0 => Uuid::from_u64_pair(numbers.below(u64::MAX), numbers.below(u64::MAX)),
                    _ => now_v7(numbers),
                };
                let data =
                    serde_json::json!({ "n": self.written.len(), "text": "x".repeat(numbers.below(2_000) as usize) });
                (Event::new("A_B_C_D_1", stream.clone()).id(id).data(&data), stream)
            })
            .collect();
        let append = Append::to(&scope()).events(events.iter().map(|(event, _)| event.clone())).durability(durability);
        let receipt = self.store().append(append).unwrap();
        for ((_, stream), written) in events.iter().zip(&receipt.events) {
            assert_eq!(written.position, self.written.len() as u64 + 1);
            self.written.push(Known { id: written.id, stream: stream.clone(), version: written.version });
        }
        self.durable = self.store().last_position() as usize;
        assert!(!receipt.durable || self.durable == self.written.len());
    }

    pub(crate) fn sync(&mut self) {
        self.store().sync().unwrap();
        self.durable = self.written.len();
    }

    /// Seals, indexes and merges what waits for it.
    pub(crate) fn step(&self) {
        self.scheduler.step();
    }

    /// Lets a fold leave keyframes.
    pub(crate) fn fold(&mut self, numbers: &mut Numbers) {
        let stream = format!("s-{}", numbers.below(12));
        self.store().state(&scope(), &stream, At::Now, true).unwrap();
        // A keyframe may have begun a new segment, for which the one before was synced.
        self.durable = self.store().last_position() as usize;
    }

    pub(crate) fn close(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.durable = self.written.len();
    }

    /// Ends as a killed process does: nothing more is written.
    pub(crate) fn kill(&mut self) {
        self.store = None;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.store.is_some()
    }
}

fn now_v7(numbers: &mut Numbers) -> Uuid {
    let made = jiff::Timestamp::now().as_millisecond() as u64;
    let high = made << 16 | 0x7000 | numbers.below(0x1000);
    Uuid::from_u64_pair(high, 1 << 63 | numbers.below(1 << 62))
}

/// The reader sees exactly the first `durable` events, by every way of asking.
#[track_caller]
pub(crate) fn assert_sees(reader: &EventStore, host: &Host, numbers: &mut Numbers) {
    let durable = &host.written[..host.durable];
    assert_eq!(reader.last_position() as usize, durable.len());
    let read: Vec<Uuid> = reader.read(Query::new()).unwrap().map(|event| event.unwrap().id()).collect();
    assert!(read.iter().eq(durable.iter().map(|known| &known.id)), "{} read of {}", read.len(), durable.len());
    assert_eq!(reader.stats().unwrap().events as usize, durable.len());
    let streams = reader.streams(None, "").unwrap().map(Result::unwrap);
    let mut seen: Vec<(String, u64)> = streams.map(|info| (info.stream, info.version)).collect();
    seen.sort();
    let mut wanted = std::collections::BTreeMap::new();
    for known in durable {
        wanted.insert(known.stream.clone(), known.version);
    }
    assert!(
        seen.iter().eq(wanted.iter().map(|(stream, version)| (stream.clone(), *version)).collect::<Vec<_>>().iter())
    );
    let stream = format!("s-{}", numbers.below(12));
    let of_stream: Vec<u64> =
        durable.iter().filter(|known| known.stream == stream).map(|known| known.version).collect();
    assert_eq!(reader.version(&scope(), &stream).unwrap() as usize, of_stream.len());
    let read = reader.read_stream(&scope(), &stream, 1, atlas::log::Direction::Forward).unwrap();
    assert_eq!(read.map(|event| event.unwrap().version()).collect::<Vec<_>>(), of_stream);
    let state = reader.state(&scope(), &stream, At::Now, true).unwrap();
    assert_eq!(
        state,
        atlas::log::State {
            keyframe: state.keyframe,
            events_read: state.events_read,
            ..reader.state(&scope(), &stream, At::Now, false).unwrap()
        }
    );
    assert_eq!(state.version as usize, of_stream.len());
    for _ in 0..8.min(host.written.len()) {
        let at = numbers.below(host.written.len() as u64) as usize;
        let found = reader.event(&scope(), host.written[at].id).unwrap();
        assert_eq!(found.map(|event| event.position() as usize), (at < durable.len()).then_some(at + 1));
        let found = reader.event_at(at as u64 + 1).unwrap();
        assert_eq!(found.map(|event| event.id()), (at < durable.len()).then_some(host.written[at].id));
    }
}
