//! The whole log: appends, reads, rotation with sealing behind, and a close among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use shuttle::future::block_on;

use super::{Count, check, together};
use crate::Uuid;
use crate::event::{Event, Scope};
use crate::log::lock_file::LockFile;
use crate::log::{
    Address, Append, AppendError, Durability, EventStore, ExpectedVersion, LogEntry, Options, Query, ReadError,
    Receipt, RecordKind,
};
use crate::storage::{Clock, Disk, Entropy, Environment, MemoryDisk, ThreadScheduler};

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now_micros(&self) -> i64 {
        1_700_000_000_000_000
    }
}

#[derive(Debug, Default)]
struct Counting(Count);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

fn open(disk: &MemoryDisk) -> EventStore {
    let environment = Environment {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        clock: Arc::new(Standing),
        entropy: Arc::<Counting>::default(),
        scheduler: Arc::new(ThreadScheduler::default()),
    };
    let options = Options { segment_size: 64 << 10, max_queue: 1 << 20, max_commit: 1 << 20, ..Options::default() };
    EventStore::open_with(environment, options).unwrap()
}

fn scope() -> Scope {
    "t/a".parse().unwrap()
}

/// An event whose id says its number.
fn event(stream: &str, number: u64, size: usize) -> Event {
    Event::new("A_B_C_D_1", stream).id(Uuid::from_u128(u128::from(number))).data(&"x".repeat(size))
}

/// What was acknowledged: position, stream, version, and the event's number.
type Acked = Vec<(u64, String, u64, u64)>;

fn acked(receipt: &Receipt, stream: &str, number: u64) -> (u64, String, u64, u64) {
    let written = receipt.events[0];
    assert_eq!(written.id, Uuid::from_u128(u128::from(number)));
    (written.position, stream.to_owned(), written.version, number)
}

/// What was acknowledged as durable is there for everybody at once.
fn is_there(store: &EventStore, (position, stream, version, number): &(u64, String, u64, u64)) {
    let found = store.event_at(*position).unwrap().expect("an event at the position acknowledged");
    assert_eq!((found.id(), found.stream()), (Uuid::from_u128(u128::from(*number)), stream.as_str()));
    assert_eq!((found.version(), found.position()), (*version, *position));
    assert!(store.version(&scope(), stream).unwrap() >= *version);
    assert!(store.event(&scope(), found.id()).unwrap().is_some());
    assert!(store.last_position() >= *position);
}

/// Appends to a stream that others append to as well, each time with the version expected.
fn contended(store: &EventStore, stream: &str, number: u64, size: usize, mut expected: u64) -> (u64, String, u64, u64) {
    loop {
        let append = Append::to(&scope()).event(event(stream, number, size));
        match store.append(append.expect_version(stream, ExpectedVersion::Exact(expected))) {
            Ok(receipt) => {
                let acked = acked(&receipt, stream, number);
                assert_eq!(acked.2, expected + 1);
                is_there(store, &acked);
                return acked;
            }
            Err(AppendError::Conflict { actual, .. }) => {
                assert!(actual > expected, "a conflict tells of something newer");
                assert!(store.version(&scope(), stream).unwrap() >= actual, "nobody learns of what a crash may take");
                expected = actual;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The log from its start: positions without gaps, versions without gaps in each stream.
fn whole(store: &EventStore) -> Vec<(u64, String, u64, u64)> {
    let mut versions = BTreeMap::<String, u64>::new();
    let mut found = Acked::new();
    for event in store.read(Query::new()).unwrap() {
        let event = event.unwrap();
        let version = versions.entry(event.stream().to_owned()).or_default();
        *version += 1;
        assert_eq!((event.position(), event.version()), (found.len() as u64 + 1, *version));
        found.push((event.position(), event.stream().to_owned(), *version, event.id().as_u128() as u64));
    }
    found
}

const BIG: usize = 25 << 10;

#[test]
fn appends_of_all_kinds_while_segments_are_sealed_behind() {
    check(4, || {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        let (a, b, c) = (store.clone(), store.clone(), store.clone());
        let (reading, subscribed, followed) = (store.clone(), store.clone(), store.clone());
        let mut all: Acked = together(vec![
            Box::new(move || vec![contended(&a, "shared", 11, BIG, 0), contended(&a, "shared", 12, BIG, 0)]) as Box<_>,
            Box::new(move || {
                let append = |stream: &str, number| {
                    let append = Append::to(&scope()).event(event(stream, number, BIG));
                    let acked = acked(&block_on(b.append_async(append)).unwrap(), stream, number);
                    is_there(&b, &acked);
                    acked
                };
                vec![append("own", 21), append("shared", 22)]
            }),
            Box::new(move || {
                let append = Append::to(&scope())
                    .event(event("shared", 31, BIG))
                    .record(RecordKind::Queue, "k", "a record")
                    .durability(Durability::Deferred);
                let acked = acked(&c.append(append).unwrap(), "shared", 31);
                c.sync().unwrap();
                is_there(&c, &acked);
                vec![acked]
            }),
            Box::new(move || {
                let mut before = 0;
                for _ in 0..3 {
                    let durable = reading.last_position();
                    let found = whole(&reading).len() as u64;
                    assert!(found >= durable.max(before), "{found} of {durable}, {before} before");
                    before = found;
                }
                Acked::new()
            }),
            Box::new(move || {
                let mut subscription = subscribed.subscribe(Query::new(), 0);
                for position in 1..=5 {
                    assert_eq!(subscription.next_blocking().unwrap().position(), position);
                    assert!(subscribed.last_position() >= position, "nothing is seen before it is durable");
                }
                assert!(subscription.try_next().unwrap().is_none());
                Acked::new()
            }),
            Box::new(move || {
                let mut follow = followed.follow(Address::START).unwrap();
                let (mut positions, mut records) = (0, 0);
                while positions + records < 6 {
                    let end = followed.durable_end();
                    match follow.next().unwrap() {
                        Some(LogEntry::Event(event)) => {
                            positions += 1;
                            assert_eq!(event.position(), positions);
                        }
                        Some(LogEntry::Record(_)) => records += 1,
                        None => block_on(followed.beyond(end)).unwrap(),
                    }
                }
                Acked::new()
            }),
        ])
        .concat();
        all.sort();
        assert_eq!(whole(&store), all);
        store.close().unwrap();
        drop(store);
        let store = open(&disk);
        assert_eq!(whole(&store), all);
        assert!(store.stats().unwrap().segments >= 2);
        let records = store.records(RecordKind::Queue, Address::START).unwrap();
        assert_eq!(records.count(), 1);
    });
}

#[test]
fn the_same_id_from_two_sides_is_written_once() {
    check(2, || {
        let store = open(&MemoryDisk::new());
        let (a, b) = (store.clone(), store.clone());
        let same = || Append::to(&scope()).event(event("s", 7, 100)).expect_version("s", ExpectedVersion::NoStream);
        let receipts = together(vec![
            Box::new(move || a.append(same().durability(Durability::Deferred)).unwrap()) as Box<_>,
            Box::new(move || {
                let receipt = block_on(b.append_async(same())).unwrap();
                assert!(receipt.durable);
                is_there(&b, &acked(&receipt, "s", 7));
                receipt
            }),
        ]);
        assert_eq!(receipts.iter().filter(|receipt| receipt.repeated).count(), 1);
        assert_eq!(receipts[0].events, receipts[1].events);
        store.sync().unwrap();
        assert_eq!(whole(&store), [(1, "s".to_owned(), 1, 7)]);
    });
}

#[test]
fn a_close_among_appends_and_readers() {
    check(4, || {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        let (a, b, closing, subscribed) = (store.clone(), store.clone(), store.clone(), store);
        let answer = |result: Result<Receipt, AppendError>, stream: &str, number| match result {
            Ok(receipt) => Some(acked(&receipt, stream, number)),
            Err(AppendError::Closed | AppendError::Read(ReadError::Closed)) => None,
            Err(other) => panic!("{other}"),
        };
        let mut all: Acked = together(vec![
            Box::new(move || {
                let one = |number| answer(a.append(Append::to(&scope()).event(event("a", number, BIG))), "a", number);
                (11..=13).filter_map(one).collect()
            }) as Box<_>,
            Box::new(move || {
                let one = |number| {
                    let append = Append::to(&scope()).event(event("b", number, BIG));
                    answer(block_on(b.append_async(append)), "b", number)
                };
                (21..=22).filter_map(one).collect()
            }),
            Box::new(move || {
                closing.close().unwrap();
                assert!(matches!(closing.version(&scope(), "a"), Err(ReadError::Closed)));
                Acked::new()
            }),
            Box::new(move || {
                let mut subscription = subscribed.subscribe(Query::new(), 0);
                let mut position = 0;
                loop {
                    match subscription.next_blocking() {
                        Ok(event) => position += u64::from(event.position() == position + 1),
                        Err(error) => {
                            assert!(matches!(error, ReadError::Closed), "{error}");
                            break;
                        }
                    }
                }
                Acked::new()
            }),
        ])
        .concat();
        all.sort();
        // Done or Closed, and nothing between.
        assert_eq!(whole(&open(&disk)), all);
    });
}

#[test]
fn whoever_closes_second_is_told_once_all_is_closed() {
    check(4, || {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        let append = |number| Append::to(&scope()).event(event("a", number, 10)).durability(Durability::Deferred);
        store.append(append(11)).unwrap();
        let close = |store: EventStore| {
            let disk = disk.clone();
            Box::new(move || {
                store.close().unwrap();
                // The directory is free, and the log has its end: whoever is told may rely on it.
                LockFile::look(&disk).unwrap().clean_end
            }) as Box<dyn FnOnce() -> Address + Send>
        };
        let ends = together(vec![close(store.clone()), close(store.clone()), close(store)]);
        assert!(ends.iter().all(|end| *end > Address::START && *end == ends[0]), "{ends:?}");
        assert_eq!(whole(&open(&disk)).len(), 1);
    });
}

#[test]
fn an_append_that_is_dropped_holds_nobody_up() {
    check(20, || {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        let (a, b, c) = (store.clone(), store.clone(), store);
        const HUGE: usize = 600 << 10;
        let acked: Acked = together(vec![
            Box::new(move || {
                // Polled once, so that it has its place, in the queue or before its door; then dropped.
                let mut append = Box::pin(a.append_async(Append::to(&scope()).event(event("a", 11, HUGE))));
                let _ = append.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
                Acked::new()
            }) as Box<_>,
            Box::new(move || {
                let receipt = b.append(Append::to(&scope()).event(event("b", 21, HUGE))).unwrap();
                vec![acked(&receipt, "b", 21)]
            }),
            Box::new(move || {
                let receipt = block_on(c.append_async(Append::to(&scope()).event(event("c", 31, HUGE)))).unwrap();
                vec![acked(&receipt, "c", 31)]
            }),
        ])
        .concat();
        // No close: the last handle is gone, and what was queued was still committed.
        let found = whole(&open(&disk));
        assert!(acked.iter().all(|acked| found.contains(acked)));
        assert!(found.len() == 3 || found.len() == 2, "{found:?}");
    });
}
