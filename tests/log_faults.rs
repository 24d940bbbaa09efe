//! The log under faults: torn tails, damage, failing syncs, a full disk, lost derived files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use atlas::log::{Append, AppendError, At, Durability, OpenError, Options, Query, ReadError, ReadMode};
use atlas::storage::{Disk, DiskFile, Environment, MemoryDisk};
use atlas::{Event, EventStore, Scope, Uuid};
use bytes::Bytes;

fn options() -> Options {
    Options { segment_size: 64 << 10, ..Options::default() }
}

fn open(disk: impl Disk) -> Result<EventStore, OpenError> {
    EventStore::open_with(Environment::new(disk), options())
}

fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}

fn event(number: u128) -> Event {
    Event::new("LOAN_OFFER_SENT_COMPLETE_1", format!("loan-{}", number % 7))
        .id(Uuid::from_u128(number))
        .data(&serde_json::json!({ "n": number as u64, "text": "x".repeat(200) }))
}

fn append(store: &EventStore, number: u128) {
    store.append(Append::to(&scope()).event(event(number))).unwrap();
}

fn append_deferred(store: &EventStore, number: u128) {
    let append = Append::to(&scope()).event(event(number)).durability(Durability::Deferred);
    assert!(!store.append(append).unwrap().durable);
}

fn ids(store: &EventStore) -> Vec<u128> {
    store.read(Query::new()).unwrap().map(|event| event.unwrap().id().as_u128()).collect()
}

/// Every byte of a file.
fn bytes(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn flip(disk: &MemoryDisk, name: &str, offset: u64) {
    let file = disk.open(name, true).unwrap();
    let mut byte = [0];
    file.read_exact_at(offset, &mut byte).unwrap();
    file.write_all_at(offset, &[byte[0] ^ 0x40]).unwrap();
}

/// Where the last byte stands that isn't zero.
fn end_of_data(disk: &MemoryDisk, name: &str) -> u64 {
    bytes(disk, name).iter().rposition(|byte| *byte != 0).unwrap() as u64
}

const SEGMENT: &str = "log/00000001.seg";

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_frame() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1);
    append(&store, 2);
    append_deferred(&store, 3);
    drop(store);
    flip(&disk, SEGMENT, end_of_data(&disk, SEGMENT) - 20);
    let store = open(disk.clone()).unwrap();
    assert_eq!(ids(&store), [1, 2]);
    // What was cut is gone for good, and what comes after stands where it stood.
    append(&store, 4);
    drop(store);
    assert_eq!(ids(&open(disk).unwrap()), [1, 2, 4]);
}

#[test]
fn frames_that_land_out_of_order_are_a_torn_tail_and_not_damage() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1);
    let after_first = end_of_data(&disk, SEGMENT);
    append_deferred(&store, 2);
    append_deferred(&store, 3);
    drop(store);
    // The second frame was lost, the third landed.
    flip(&disk, SEGMENT, after_first + 60);
    let store = open(disk).unwrap();
    assert_eq!(ids(&store), [1]);
    append(&store, 5);
    assert_eq!(ids(&store), [1, 5]);
}

#[test]
fn damage_before_what_was_synced_is_reported_and_nothing_is_cut() {
    for lock_survives in [true, false] {
        let disk = MemoryDisk::new();
        let store = open(disk.clone()).unwrap();
        append(&store, 1);
        let after_first = end_of_data(&disk, SEGMENT);
        append(&store, 2);
        append(&store, 3);
        drop(store);
        flip(&disk, SEGMENT, after_first + 60);
        if !lock_survives {
            // Then the third frame alone says that the second had been synced.
            disk.create("LOCK").unwrap();
        }
        let before = bytes(&disk, SEGMENT);
        match open(disk.clone()) {
            Err(OpenError::Corrupt { source: ReadError::Corrupt { file, offset, .. }, readable_to }) => {
                assert_eq!((file.as_str(), readable_to), (SEGMENT, 1));
                assert!(offset > 64 && offset <= after_first + 8, "{offset}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(bytes(&disk, SEGMENT), before);
    }
}

#[test]
fn damage_of_the_last_synced_frame_is_found_by_lock() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1);
    append(&store, 2);
    drop(store);
    flip(&disk, SEGMENT, end_of_data(&disk, SEGMENT) - 20);
    assert!(matches!(open(disk), Err(OpenError::Corrupt { readable_to: 1, .. })));
}

#[test]
fn a_read_never_hands_out_damaged_bytes() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=400).for_each(|number| append(&store, number));
    store.close().unwrap();
    let segment = bytes(&disk, SEGMENT);
    for offset in (64..segment.len() as u64).step_by(509) {
        flip(&disk, SEGMENT, offset);
        let store = open(disk.clone()).unwrap();
        let mut expected = 0;
        for event in store.read(Query::new()).unwrap() {
            let Ok(event) = event else { break };
            expected += 1;
            assert_eq!(event.id().as_u128(), expected);
            let data: serde_json::Value = serde_json::from_slice(event.data()).unwrap();
            assert_eq!(data["n"], expected as u64);
            assert_eq!(event.stream(), format!("loan-{}", expected % 7));
        }
        drop(store);
        flip(&disk, SEGMENT, offset);
    }
}

#[test]
fn derived_files_are_rebuilt_where_they_are_lost_or_damaged() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=1500).for_each(|number| append(&store, number));
    store.close().unwrap();
    let derived: Vec<String> = disk.list("log").unwrap().into_iter().filter(|name| !name.ends_with(".seg")).collect();
    assert!(derived.iter().any(|name| name.ends_with(".dir")) && derived.iter().any(|name| name.ends_with(".idx")));
    let check = |disk: &MemoryDisk| {
        let store = open(disk.clone()).unwrap();
        assert_eq!(ids(&store), (1..=1500).collect::<Vec<_>>());
        assert_eq!(store.version(&scope(), "loan-3").unwrap(), 214);
        assert_eq!(store.event(&scope(), Uuid::from_u128(77)).unwrap().unwrap().position(), 77);
        assert!(store.event(&scope(), Uuid::from_u128(7777)).unwrap().is_none());
        store.close().unwrap();
    };
    for name in &derived {
        let name = format!("log/{name}");
        let length = disk.open(&name, false).unwrap().len().unwrap();
        flip(&disk, &name, length - 10);
        check(&disk);
    }
    for name in disk.list("log").unwrap().iter().filter(|name| !name.ends_with(".seg")) {
        disk.remove(&format!("log/{name}")).unwrap();
    }
    check(&disk);
    // Damage of a block is found when the block is used: nobody notices, and the file is made anew.
    for name in derived {
        let name = format!("log/{name}");
        let length = disk.open(&name, false).unwrap().len().unwrap();
        for offset in [0, 64, length / 3, length / 2, length - 100] {
            let before = bytes(&disk, &name);
            flip(&disk, &name, offset);
            let damaged = bytes(&disk, &name);
            check(&disk);
            let after = bytes(&disk, &name);
            assert!(after == before || after == damaged, "{name}, {offset}");
            disk.create(&name).unwrap().write_all_at(0, &before).unwrap();
        }
    }
}

#[test]
fn parts_of_one_segment_keep_their_events_times_apart() {
    let disk = MemoryDisk::new();
    for number in 1..=3 {
        let store = open(disk.clone()).unwrap();
        append(&store, number);
        store.close().unwrap();
    }
    let store = open(disk).unwrap();
    append(&store, 4);
    for event in store.read(Query::new()).unwrap().map(Result::unwrap) {
        let alone = store.event_at(event.position()).unwrap().unwrap();
        assert_eq!(event.recorded_at(), alone.recorded_at(), "{}", event.position());
    }
}

#[test]
fn an_index_of_another_history_is_not_believed_though_it_is_as_long() {
    let start = MemoryDisk::new();
    let store = open(start.clone()).unwrap();
    (1..=5).for_each(|number| append(&store, number));
    store.close().unwrap();
    let index = "log/00000001.idx";
    let [one, other] = [100, 200].map(|first| {
        let disk = MemoryDisk::new();
        for name in ["LOCK", SEGMENT, index] {
            disk.create(name).unwrap().write_all_at(0, &bytes(&start, name)).unwrap();
        }
        let store = open(disk.clone()).unwrap();
        (first..first + 35).for_each(|number| append(&store, number));
        store.close().unwrap();
        disk
    });
    assert_eq!(bytes(&one, index).len(), bytes(&other, index).len());
    other.create(index).unwrap().write_all_at(0, &bytes(&one, index)).unwrap();
    let store = open(other).unwrap();
    let found = store.event(&scope(), Uuid::from_u128(210)).unwrap();
    assert_eq!(found.map(|event| event.position()), Some(16));
    assert!(store.event(&scope(), Uuid::from_u128(110)).unwrap().is_none());
}

#[test]
fn a_lock_ahead_of_the_log_is_evidence_of_lost_data() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1);
    let short = bytes(&disk, SEGMENT);
    append(&store, 2);
    drop(store);
    disk.create(SEGMENT).unwrap().write_all_at(0, &short).unwrap();
    // Recovery would zero this, if it began before it looked at LOCK.
    let after = end_of_data(&disk, SEGMENT) + 4096;
    flip(&disk, SEGMENT, after);
    let before = bytes(&disk, SEGMENT);
    assert!(matches!(open(disk.clone()), Err(OpenError::Corrupt { readable_to: 1, .. })));
    assert_eq!(bytes(&disk, SEGMENT), before);
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1);
    drop(store);
    disk.create("log/00000002.seg.new").unwrap();
    disk.create("log/00000001.idx.new").unwrap();
    let store = open(disk.clone()).unwrap();
    assert_eq!(ids(&store), [1]);
    assert!(disk.list("log").unwrap().iter().all(|name| !name.ends_with(".new")));
}

#[test]
fn a_missing_segment_is_reported() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=600).for_each(|number| append(&store, number));
    store.close().unwrap();
    disk.remove("log/00000002.seg").unwrap();
    let error = open(disk).unwrap_err().to_string();
    assert!(error.contains("log/00000002.seg"), "{error}");
}

/// A disk that fails on demand.
#[derive(Clone, Debug)]
struct FaultyDisk {
    inner: MemoryDisk,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    sync_fails: AtomicBool,
    write_fails: AtomicBool,
    read_fails: AtomicBool,
    /// Other threads run between the call and the write.
    write_lingers: AtomicBool,
    /// Bytes by which files may still grow.
    room: AtomicI64,
}

impl FaultyDisk {
    fn new() -> Self {
        let faults = Faults {
            sync_fails: AtomicBool::new(false),
            write_fails: AtomicBool::new(false),
            read_fails: AtomicBool::new(false),
            write_lingers: AtomicBool::new(false),
            room: AtomicI64::new(i64::MAX / 2),
        };
        Self { inner: MemoryDisk::new(), faults: Arc::new(faults) }
    }

    fn file(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { inner, faults: self.faults.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.create_dir(folder)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.open(name, write).map(|file| self.file(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.create(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.faults.read_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.inner.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if self.faults.write_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        if self.faults.write_lingers.load(Ordering::SeqCst) {
            (0..200).for_each(|_| std::thread::yield_now());
        }
        let grows = (offset + bytes.len() as u64).saturating_sub(self.inner.len()?) as i64;
        if grows > self.faults.room.load(Ordering::SeqCst) {
            // Like a file system: what fits is written.
            let fits = self.faults.room.swap(0, Ordering::SeqCst).max(0) as usize;
            self.inner.write_all_at(offset, &bytes[..fits.min(bytes.len())])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.faults.room.fetch_sub(grows, Ordering::SeqCst);
        self.inner.write_at(offset, bytes)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.inner.sync()
    }
    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.inner.map(length)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }
}

#[test]
fn a_failed_sync_or_write_poisons_and_reads_go_on() {
    for sync in [true, false] {
        let disk = FaultyDisk::new();
        let store = open(disk.clone()).unwrap();
        append(&store, 1);
        let fault = if sync { &disk.faults.sync_fails } else { &disk.faults.write_fails };
        fault.store(true, Ordering::SeqCst);
        let error = store.append(Append::to(&scope()).event(event(2))).unwrap_err();
        assert!(matches!(error, AppendError::Poisoned { .. }), "{error}");
        fault.store(false, Ordering::SeqCst);
        // A sync that succeeds afterwards proves nothing: nothing is acknowledged any more.
        for number in [2, 3] {
            let error = store.append(Append::to(&scope()).event(event(number))).unwrap_err();
            assert!(matches!(error, AppendError::Poisoned { .. }), "{error}");
        }
        assert!(matches!(store.sync(), Err(AppendError::Poisoned { .. })));
        assert_eq!(ids(&store), [1]);
        assert!(matches!(store.close(), Err(AppendError::Poisoned { .. })));
        let store = open(disk).unwrap();
        append(&store, 4);
        let found = ids(&store);
        // The outcome of what failed is learnt now: it is in the log or it isn't.
        assert!(found == [1, 4] || found == [1, 2, 4], "{found:?}");
    }
}

#[test]
fn a_full_disk_refuses_poisons_nothing_and_loses_nothing() {
    let disk = FaultyDisk::new();
    let store = open(disk.clone()).unwrap();
    let mut next = 0;
    for _ in 0..3 {
        for room in [0, 100, 5_000, 70_000] {
            disk.faults.room.store(room, Ordering::SeqCst);
            let refused = loop {
                next += 1;
                match store.append(Append::to(&scope()).event(event(next))) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, AppendError::NoSpace { .. }), "{refused}");
            next -= 1;
            assert_eq!(ids(&store), (1..=next).collect::<Vec<_>>());
            disk.faults.room.store(i64::MAX / 2, Ordering::SeqCst);
            next += 1;
            append(&store, next);
        }
    }
    drop(store);
    let store = open(disk.clone()).unwrap();
    assert_eq!(ids(&store), (1..=next).collect::<Vec<_>>());
    disk.faults.room.store(0, Ordering::SeqCst);
    // A store that can't write its index at close can be opened all the same.
    let _ = store.close();
    disk.faults.room.store(i64::MAX / 2, Ordering::SeqCst);
    assert_eq!(ids(&open(disk).unwrap()), (1..=next).collect::<Vec<_>>());
}

/// Reading ahead must not keep bytes of a frame that is still being written, nor must an id be compared with one.
#[test]
fn readers_beside_writers_never_see_a_frame_that_is_being_written() {
    const EACH: u128 = 500;
    let disk = FaultyDisk::new();
    disk.faults.write_lingers.store(true, Ordering::SeqCst);
    let store = EventStore::open_with(Environment::new(disk), Options::default()).unwrap();
    let numbered = |number: u128| {
        Event::new("LOAN_OFFER_SENT_COMPLETE_1", "s")
            .id(Uuid::from_u128(number + 1))
            .data(&"x".repeat(number as usize % 900))
    };
    let writers: Vec<_> = (0..3u128)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                // All write the same ids, so that each is looked up while another thread writes it.
                for number in 0..EACH {
                    let durability = if number % 3 == 0 { Durability::Sync } else { Durability::Deferred };
                    store.append(Append::to(&scope()).event(numbered(number)).durability(durability)).unwrap();
                }
                store.sync().unwrap();
            })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut subscription = store.subscribe(Query::new(), 0);
                for number in 1..=EACH as u64 {
                    assert_eq!(subscription.next_blocking().unwrap().version(), number);
                    if number % 50 == 0 {
                        store.state(&scope(), "s", At::Now, true).unwrap();
                    }
                }
            })
        })
        .collect();
    for thread in writers.into_iter().chain(readers) {
        thread.join().unwrap();
    }
    assert_eq!(store.last_position() as u128, EACH);
}

fn zero(disk: &MemoryDisk, name: &str, offset: u64, length: usize) {
    disk.open(name, true).unwrap().write_all_at(offset, &vec![0; length]).unwrap();
}

/// Where the frames of a segment begin.
fn frames(disk: &MemoryDisk, name: &str) -> Vec<u64> {
    let segment = bytes(disk, name);
    let mut at = 64;
    let mut frames = Vec::new();
    while let Some(length) = segment.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().unwrap()) as usize) {
        if length == 0 {
            break;
        }
        frames.push(at as u64);
        at += length;
    }
    frames
}

#[test]
fn zeros_where_a_frame_had_been_synced_are_damage_and_not_an_end() {
    // In the tail, with no LOCK to tell: a later frame says that it had been synced.
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=30).for_each(|number| append(&store, number));
    drop(store);
    disk.create("LOCK").unwrap();
    zero(&disk, SEGMENT, frames(&disk, SEGMENT)[10], 48);
    let before = bytes(&disk, SEGMENT);
    assert!(matches!(open(disk.clone()), Err(OpenError::Corrupt { readable_to: 10, .. })));
    assert_eq!(bytes(&disk, SEGMENT), before);
    // In a sealed segment whose index has to be made anew.
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=600).for_each(|number| append(&store, number));
    store.close().unwrap();
    zero(&disk, "log/00000002.seg", frames(&disk, "log/00000002.seg")[20], 48);
    for name in disk.list("log").unwrap().iter().filter(|name| !name.ends_with(".seg")) {
        disk.remove(&format!("log/{name}")).unwrap();
    }
    let error = open(disk).unwrap_err().to_string();
    assert!(error.contains("log/00000002.seg"), "{error}");
}

#[test]
fn a_segment_of_another_store_is_never_served() {
    // Once the segment before the last, which open looks at, and once an earlier one.
    for events in [600, 1500] {
        let [disk, other] = [1, 10_000].map(|first| {
            let disk = MemoryDisk::new();
            let store = open(disk.clone()).unwrap();
            (first..first + events).for_each(|number| append(&store, number));
            store.close().unwrap();
            disk
        });
        disk.create("log/00000002.seg").unwrap().write_all_at(0, &bytes(&other, "log/00000002.seg")).unwrap();
        let error = match open(disk) {
            Err(OpenError::Read(error)) if events == 600 => error,
            Ok(store) if events == 1500 => store.read(Query::new()).unwrap().find_map(Result::err).unwrap(),
            other => panic!("{events}: {other:?}"),
        };
        assert!(matches!(error, ReadError::Corrupt { ref file, .. } if file == "log/00000002.seg"), "{error}");
    }
}

#[test]
fn what_was_imported_in_part_never_reaches_a_directory_that_is_anothers() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    let line = r#"{"id":"00000000-0000-0000-0000-000000000001","type":"A_B_C_D_1","tenant":"t","application":"a","stream":"s",
        "version":1,"position":1,"recorded_at":"2020-01-01T00:00:00Z","data":{}}"#;
    let mut import = store.import_as_recorded().unwrap();
    import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    drop(store);
    let store = open(disk.clone()).unwrap();
    append(&store, 7);
    assert!(matches!(import.finish(), Err(AppendError::Closed)));
    assert_eq!(ids(&store), [7]);
    drop(store);
    assert_eq!(ids(&open(disk).unwrap()), [7]);
}

#[test]
fn another_process_sees_nothing_undurable_of_a_fresh_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = EventStore::open(dir.path()).unwrap();
    append_deferred(&store, 1);
    assert_eq!(EventStore::open_read_only(dir.path()).unwrap().last_position(), 0);
    store.sync().unwrap();
    assert_eq!(EventStore::open_read_only(dir.path()).unwrap().last_position(), 1);
}

#[test]
fn a_subscription_goes_on_after_a_read_that_failed_where_it_was() {
    let disk = FaultyDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=600).for_each(|number| append(&store, number));
    store.close().unwrap();
    let options = Options { max_open_segments: 8, read_mode: ReadMode::Pread, ..options() };
    let store = EventStore::open_with(Environment::new(disk.clone()), options).unwrap();
    let mut subscription = store.subscribe(Query::new(), 0);
    let mut failed = 0;
    for position in 1..=600 {
        disk.faults.read_fails.store(position % 50 == 0, Ordering::SeqCst);
        let event = loop {
            match subscription.try_next() {
                Ok(event) => break event.unwrap(),
                Err(_) => {
                    failed += 1;
                    disk.faults.read_fails.store(false, Ordering::SeqCst);
                }
            }
        };
        assert_eq!(event.position(), position);
    }
    assert!(failed > 0);
}

#[test]
fn more_kinds_of_events_than_two_bytes_can_number_are_told_apart() {
    let disk = MemoryDisk::new();
    let store = EventStore::open_with(Environment::new(disk.clone()), Options::default()).unwrap();
    let events = (0..70_000).map(|number| Event::new(format!("A_B_C_D{number}_1"), "s"));
    store.append(Append::to(&scope()).events(events)).unwrap();
    store.close().unwrap();
    let store = EventStore::open_with(Environment::new(disk), Options::default()).unwrap();
    for position in [1, 65_536, 65_537, 70_000] {
        let event = store.event_at(position).unwrap().unwrap();
        assert_eq!(event.event_type(), format!("A_B_C_D{}_1", position - 1));
    }
}

#[test]
fn a_closed_segment_that_a_full_disk_left_too_long_is_cut_again() {
    let disk = FaultyDisk::new();
    let room = |bytes| disk.faults.room.store(bytes, Ordering::SeqCst);
    let large = |number| event(number).data(&"x".repeat(8_000));
    let append = |store: &EventStore, event| store.append(Append::to(&scope()).event(event));
    let store = open(disk.clone()).unwrap();
    let mut number = 0;
    while store.stats().unwrap().tail_bytes < 60_000 {
        number += 1;
        append(&store, event(number)).unwrap();
    }
    // The segment is closed, and then there is no room for the next one.
    room(0);
    assert!(matches!(append(&store, large(1_000)), Err(AppendError::NoSpace { .. })));
    // A small event would still fit: filling space for it ends in the middle.
    room(40);
    assert!(matches!(append(&store, event(1_001)), Err(AppendError::NoSpace { .. })));
    room(i64::MAX / 2);
    append(&store, large(1_002)).unwrap();
    assert_eq!(store.stats().unwrap().segments, 2);
    let wanted: Vec<u128> = (1..=number).chain([1_002]).collect();
    assert_eq!(ids(&store), wanted);
    store.close().unwrap();
    assert_eq!(ids(&open(disk).unwrap()), wanted);
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew_and_files_of_others_stay() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1);
    drop(store);
    for name in ["log/notes.new", "log/00000001.seg.bak"] {
        disk.create(name).unwrap();
    }
    drop(open(disk.clone()).unwrap());
    disk.remove(SEGMENT).unwrap();
    assert!(matches!(open(disk.clone()), Err(OpenError::Corrupt { readable_to: 0, .. })));
    let mut names: Vec<String> = disk.list("log").unwrap().into_iter().filter(|name| !name.ends_with(".idx")).collect();
    names.sort_unstable();
    assert_eq!(names, ["00000001.seg.bak", "notes.new"]);
}
