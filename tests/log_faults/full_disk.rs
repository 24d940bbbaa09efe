//! A full disk refuses what doesn't fit, and harms nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use atlas::log::{Append, AppendError, Durability, ExpectedVersion, Options};
use atlas::storage::{Disk, Environment};
use atlas::{Event, EventStore, Uuid};

use crate::faulty_disk::FaultyDisk;
use crate::held_jobs::{HeldJobs, poll};
use crate::world::{SEGMENT, append, append_deferred, event, ids, open, options, scope};

#[test]
fn a_full_disk_refuses_poisons_nothing_and_loses_nothing() {
    let disk = FaultyDisk::new();
    let store = open(disk.clone()).unwrap();
    let mut next = 0;
    for _ in 0..3 {
        for room in [0, 100, 5_000, 70_000] {
            disk.set_room(room);
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
            disk.set_room(None);
            next += 1;
            append(&store, next);
        }
    }
    drop(store);
    let store = open(disk.clone()).unwrap();
    assert_eq!(ids(&store), (1..=next).collect::<Vec<_>>());
    disk.set_room(0);
    // A store that can't write its index at close can be opened all the same.
    let _ = store.close();
    disk.set_room(None);
    assert_eq!(ids(&open(disk).unwrap()), (1..=next).collect::<Vec<_>>());
}

#[test]
fn a_closed_segment_that_a_full_disk_left_too_long_is_cut_again() {
    let disk = FaultyDisk::new();
    let large = |number| event(number).data(&"x".repeat(8_000));
    let append = |store: &EventStore, event| store.append(Append::to(&scope()).event(event));
    let store = open(disk.clone()).unwrap();
    let mut number = 0;
    while store.stats().unwrap().tail_bytes < 60_000 {
        number += 1;
        append(&store, event(number)).unwrap();
    }
    // The segment is closed, and then there is no room for the next one.
    disk.set_room(0);
    assert!(matches!(append(&store, large(1_000)), Err(AppendError::NoSpace { .. })));
    // A small event would still fit: filling space for it ends in the middle.
    disk.set_room(40);
    assert!(matches!(append(&store, event(1_001)), Err(AppendError::NoSpace { .. })));
    disk.set_room(None);
    append(&store, large(1_002)).unwrap();
    assert_eq!(store.stats().unwrap().segments, 2);
    let wanted: Vec<u128> = (1..=number).chain([1_002]).collect();
    assert_eq!(ids(&store), wanted);
    store.close().unwrap();
    assert_eq!(ids(&open(disk).unwrap()), wanted);
}

#[test]
fn a_nearly_full_disk_is_used_to_the_end() {
    // Less than a first chunk of space ahead, less than a second, and hardly anything.
    for room in [2_000, 70_000, 1_500_000] {
        let disk = FaultyDisk::new();
        let store = EventStore::open_with(Environment::new(disk.clone()), Options::default()).unwrap();
        disk.set_room(room);
        let mut number = 1;
        let refused = loop {
            match store.append(Append::to(&scope()).event(event(number))) {
                Ok(_) => number += 1,
                Err(error) => break error,
            }
        };
        let AppendError::NoSpace { needed, .. } = refused else { panic!("{refused}") };
        let file = disk.inner.open(SEGMENT, false).unwrap().len().unwrap();
        let left = file + disk.faults.room.load(Ordering::SeqCst) as u64 - store.stats().unwrap().tail_bytes;
        assert!(left < needed + 128, "{room}: {left} bytes are left, {needed} were needed");
        disk.set_room(None);
        append(&store, number);
        store.close().unwrap();
        assert_eq!(ids(&open(disk).unwrap()), (1..=number).collect::<Vec<_>>());
    }
}

/// The positions that were given out.
type Answer = Result<Vec<u64>, AppendError>;

fn appended(store: &EventStore, append: Append) -> Pin<Box<dyn Future<Output = Answer>>> {
    let appended = store.append_async(append);
    Box::pin(async { Ok(appended.await?.events.iter().map(|event| event.position).collect()) })
}

fn synced(store: &EventStore) -> Pin<Box<dyn Future<Output = Answer>>> {
    let synced = store.sync_async();
    Box::pin(async { synced.await.map(|()| Vec::new()) })
}

/// What is asked for before the committer runs is one batch.
fn in_one_batch<const N: usize>(jobs: &HeldJobs, mut asked: [Pin<Box<dyn Future<Output = Answer>>>; N]) -> [Answer; N] {
    asked.iter_mut().for_each(|one| assert!(poll(one).is_none()));
    jobs.run();
    asked.map(|mut one| poll(&mut one).unwrap())
}

fn open_held(disk: &FaultyDisk, options: Options) -> (EventStore, Arc<HeldJobs>) {
    let jobs = Arc::new(HeldJobs::default());
    let environment = Environment { scheduler: jobs.clone(), ..Environment::new(disk.clone()) };
    (EventStore::open_with(environment, options).unwrap(), jobs)
}

fn to(stream: &str, length: usize) -> Event {
    Event::new("LOAN_OFFER_SENT_COMPLETE_1", stream).data(&"x".repeat(length))
}

fn small(number: u128) -> Append {
    Append::to(&scope()).event(event(number))
}

#[test]
fn of_a_batch_only_the_append_that_does_not_fit_is_refused() {
    let disk = FaultyDisk::new();
    let (store, jobs) = open_held(&disk, Options::default());
    append(&store, 1);
    // The first chunk of space is there, and no more.
    disk.set_room(0);
    let large = || Append::to(&scope()).events((0..40).map(|_| to("large", 30_000)));
    let on_large = |expected| Append::to(&scope()).event(to("large", 10)).expect_version("large", expected);
    let answers = in_one_batch(
        &jobs,
        [
            appended(&store, small(2)),
            appended(&store, large()),
            appended(&store, on_large(ExpectedVersion::Exact(40))),
            appended(&store, on_large(ExpectedVersion::NoStream)),
            synced(&store),
            appended(&store, small(3).durability(Durability::Deferred)),
        ],
    );
    let [before, refused, dependent, first_of_stream, synced_too, after] = answers;
    assert_eq!(before.unwrap(), [2]);
    assert!(matches!(refused, Err(AppendError::NoSpace { needed: 1_200_000.., .. })), "{refused:?}");
    assert!(matches!(dependent, Err(AppendError::Conflict { actual: 0, .. })), "{dependent:?}");
    assert_eq!(first_of_stream.unwrap(), [3]);
    synced_too.unwrap();
    assert_eq!(after.unwrap(), [4]);
    // A sync has nothing to write.
    append_deferred(&store, 5);
    let [refused, synced_too] = in_one_batch(&jobs, [appended(&store, large()), synced(&store)]);
    assert!(matches!(refused, Err(AppendError::NoSpace { .. })), "{refused:?}");
    synced_too.unwrap();
    assert_eq!(store.last_position(), 5);
    disk.set_room(None);
    assert_eq!(store.append(large()).unwrap().events[0].version, 2);
    drop(store);
    let store = open(disk).unwrap();
    assert_eq!((store.last_position(), store.version(&scope(), "large").unwrap()), (45, 41));
}

#[test]
fn what_is_small_goes_on_in_a_segment_after_which_none_can_begin() {
    let disk = FaultyDisk::new();
    let (store, jobs) = open_held(&disk, options());
    let mut number = 0;
    while store.stats().unwrap().tail_bytes < 50_000 {
        number += 1;
        append(&store, number);
    }
    disk.faults.no_new_files.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let large = Append::to(&scope()).event(to("large", 20_000));
        let asked = [appended(&store, large), appended(&store, small(number + 1)), synced(&store)];
        let [refused, small, synced_too] = in_one_batch(&jobs, asked);
        assert!(matches!(refused, Err(AppendError::NoSpace { needed: 20_000.., .. })), "{refused:?}");
        number += 1;
        assert_eq!(small.unwrap(), [number as u64]);
        synced_too.unwrap();
    }
    assert_eq!(store.stats().unwrap().segments, 1);
    disk.faults.no_new_files.store(false, Ordering::SeqCst);
    store.append(Append::to(&scope()).event(to("large", 20_000).id(Uuid::from_u128(number + 1)))).unwrap();
    assert_eq!(store.stats().unwrap().segments, 2);
    store.close().unwrap();
    assert_eq!(ids(&open(disk).unwrap()), (1..=number + 1).collect::<Vec<_>>());
}
