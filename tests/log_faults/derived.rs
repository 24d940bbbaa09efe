//! Indexes: made anew where they are lost, damaged or of another history, and right about what they index.

use atlas::log::{Append, Options, Query};
use atlas::storage::{Disk, Environment, MemoryDisk};
use atlas::{Event, EventStore, Uuid};

use crate::world::{SEGMENT, append, bytes, flip, ids, open, scope};

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
