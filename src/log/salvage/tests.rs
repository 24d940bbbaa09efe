//! What a salvaged segment's records are, and where it stands.

use crate::event::{Event, Scope};
use crate::log::{Address, Append, EventStore, OpenMode, Options, Query, RecordKind};
use crate::storage::{Disk, Environment, MemoryDisk};

/// A segment may begin with records of other rooms, which have no position of their own: where the frame before the first
/// whole one begins with them, the index says where they stand.
#[test]
fn a_segment_that_begins_with_damaged_records_stays_in_its_place() {
    let disk = MemoryDisk::new();
    let options = || Options { segment_size: 64 << 10, ..Options::default() };
    let scope: Scope = "t/a".parse().unwrap();
    {
        let store = EventStore::open_with(Environment::new(disk.clone()), options()).unwrap();
        let event = |text: &str| Event::new("A_B_C_D_1", "s").data(&text);
        let append = |append: Append| drop(store.append(append).unwrap());
        (0..3).for_each(|_| append(Append::to(&scope).event(event(&"x".repeat(20 << 10)))));
        let records = Append::of_records().record(RecordKind::Queue, "k", "whole");
        append(records.record(RecordKind::Queue, "k", "whole too".repeat(1 << 10)));
        (0..3).for_each(|_| append(Append::to(&scope).event(event("after"))));
        store.close().unwrap();
    }
    let second = disk.open("log/00000002.seg", true).unwrap();
    // The first frame's header.
    second.write_at(64, &[0; 16]).unwrap();
    let environment = Environment::new(disk);
    let store = EventStore::open_with_mode(environment, options(), OpenMode::Salvage).unwrap();
    let positions: Vec<u64> = store.read(Query::new()).unwrap().map(|event| event.unwrap().position()).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6], "{:?}", store.losses());
    let records = store.records(RecordKind::Queue, Address::START).unwrap();
    assert_eq!(records.map(|record| record.unwrap().body.len()).collect::<Vec<_>>(), [5, 9 << 10]);
    let losses = store.losses();
    assert!(losses.iter().all(|loss| loss.positions.is_none() && loss.file == "log/00000002.seg"), "{losses:?}");
}
