//! A disk without room keeps nobody from opening what is there: files that are derived wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atlas::dispatch::Delivery;
use atlas::log::{Append, AppendError, Durability, Options, Query};
use atlas::storage::Disk;
use atlas::storage::simulated::SimulatedDisk;
use atlas::{EventStore, Uuid};

use crate::end::verifies;
use crate::lives::process;
use crate::model::{Calls, Model, event};
use crate::tree::{self, environment, loans, scope, score, seeded, write_tree};

fn open(disk: &SimulatedDisk) -> EventStore {
    let options = Options { segment_size: 64 << 10, ..Options::default() };
    EventStore::open_with(environment(disk), options).unwrap()
}

fn append(store: &EventStore, number: u64) -> Result<(), AppendError> {
    store.append(Append::to(&scope()).event(event(number)).durability(Durability::Deferred)).map(drop)
}

/// How many events there are, each found by its id as well.
fn check(store: &EventStore, count: u64) {
    let events: Vec<Uuid> = store.read(Query::new()).unwrap().map(|event| event.unwrap().id()).collect();
    assert_eq!(events.len() as u64, count);
    for id in events.iter().step_by(50) {
        assert!(store.event(&scope(), *id).unwrap().is_some());
    }
    assert_eq!(store.version(&scope(), "loan-1").unwrap(), (count + 3) / 5);
}

fn remove_derived(disk: &SimulatedDisk) -> usize {
    let names = disk.list("log").unwrap();
    let derived: Vec<_> = names.iter().filter(|name| !name.ends_with(".seg")).collect();
    derived.iter().for_each(|name| disk.remove(&format!("log/{name}")).unwrap());
    derived.len()
}

fn count_of(disk: &SimulatedDisk, ending: &str) -> usize {
    disk.list("log").unwrap().iter().filter(|name| name.ends_with(ending)).count()
}

fn opens_on_a_full_disk(closed: bool) {
    let disk = SimulatedDisk::new(1);
    let store = open(&disk);
    (0..1_500).for_each(|number| append(&store, number).unwrap());
    store.sync().unwrap();
    if closed {
        store.close().unwrap();
    }
    drop(store);
    let segments = count_of(&disk, ".seg");
    assert!(segments > 8 && remove_derived(&disk) > 8);
    disk.set_room(0);
    for _ in 0..2 {
        let store = open(&disk);
        check(&store, 1_500);
        assert_eq!(store.stats().unwrap().sealed, 0);
        drop(store);
        assert_eq!(count_of(&disk, ".new"), 0, "what can't be finished takes no room");
    }
    let store = open(&disk);
    let mut number = 1_500;
    while append(&store, number).is_ok() {
        number += 1;
    }
    assert!(matches!(append(&store, number), Err(AppendError::NoSpace { .. })));
    store.sync().unwrap();
    check(&store, number);
    disk.set_room(u64::MAX);
    (number..3_000).for_each(|number| append(&store, number).unwrap());
    store.sync().unwrap();
    check(&store, 3_000);
    // Closes on a full disk as well, once there is nothing left to write but what is derived.
    disk.set_room(0);
    store.close().unwrap();
    disk.set_room(u64::MAX);
    let store = open(&disk);
    check(&store, 3_000);
    let stats = store.stats().unwrap();
    assert_eq!(stats.sealed + 1, stats.segments, "all is indexed by now");
    store.close().unwrap();
    verifies(&disk);
}

#[test]
fn a_store_that_was_closed_opens_on_a_full_disk() {
    opens_on_a_full_disk(true);
}

#[test]
fn a_store_that_crashed_opens_on_a_full_disk() {
    opens_on_a_full_disk(false);
}

/// Dispatch waits for room, with whatever it was about to write, and goes on once there is some.
#[test]
fn dispatch_goes_on_once_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    write_tree(folder.path(), 1);
    let disk = SimulatedDisk::new(1);
    process(async {
        let (calls, open) = (Calls::default(), Arc::new(AtomicBool::new(false)));
        // Nothing is complete before the gate is open, so that all of it has rows.
        let (seen, is_open) = (calls.clone(), open.clone());
        let gated = move |delivery: Delivery| {
            let (calls, is_open) = (seen.clone(), is_open.clone());
            async move {
                while !is_open.load(Ordering::Acquire) {
                    tokio::task::yield_now().await;
                }
                score(&calls, delivery).await
            }
        };
        let builder = tree::builder(&calls).log_options(Options::default()).function("score", gated);
        let atlas = builder.open_with(seeded(&disk, 1)).await.unwrap();
        loans(&atlas).config().import(folder.path()).await.unwrap().activate().await.unwrap();
        let mut model = Model::default();
        (model.active, model.marks) = (Some(1), 1);
        // As it was called when it was made.
        const FILE: &str = "dispatch.redb.new";
        disk.hold_down(&[FILE]);
        while !disk.take_without_room().contains(FILE) {
            let from = model.attempted;
            model.attempted += 50;
            loans(&atlas).ingest_all((from..from + 50).map(event).collect()).await.unwrap();
            model.acknowledge(from..from + 50);
        }
        disk.hold_down(&[]);
        open.store(true, Ordering::Release);
        model.events(&atlas);
        model.effects(&atlas, &calls).await;
        atlas.close().await.unwrap();
    });
    verifies(&disk);
}
