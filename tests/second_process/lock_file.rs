//! What a reader makes of a `LOCK` that says nothing, and of another log in the place of the one it opened.

use atlas::log::{Durability, EventStore, OpenError, ReadError};
use atlas::storage::{Disk, MemoryDisk};

use crate::world::{Host, LookOnly, Numbers, assert_sees, read_only};

pub(crate) fn another(seed: u64) -> Host {
    let mut numbers = Numbers(seed);
    let mut host = Host::new();
    (0..40).for_each(|_| host.append(&mut numbers, Durability::Sync));
    host
}

fn copy(from: &MemoryDisk, to: &MemoryDisk) {
    for folder in ["", "log"] {
        for name in from.list(folder).unwrap() {
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let file = from.open(&name, false).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(0, &mut bytes).unwrap();
            to.create(&name).unwrap().write_all_at(0, &bytes).unwrap();
        }
    }
}

/// Puts the files of one disk in the place of those of another.
pub(crate) fn put_in_place(from: &MemoryDisk, to: &MemoryDisk) {
    for name in to.list("log").unwrap() {
        to.remove(&format!("log/{name}")).unwrap();
    }
    copy(from, to);
}

fn assert_replaced(reader: &EventStore) {
    for _ in 0..2 {
        assert!(matches!(reader.stats(), Err(ReadError::Replaced { .. })), "{:?}", reader.stats());
    }
}

#[test]
fn a_log_that_was_replaced_is_an_error() {
    let mut numbers = Numbers(9);
    let mut host = another(1);
    let (reader, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
    let older = MemoryDisk::new();
    copy(&host.disk, &older);
    while host.store().stats().unwrap().segments < 4 {
        host.append(&mut numbers, Durability::Sync);
    }
    assert_sees(&reader, &host, &mut numbers);
    // Restored from a copy: the durable end goes back.
    put_in_place(&older, &host.disk);
    assert_replaced(&reader);
    // And where it stays in the segment that the reader is in.
    let mut host = another(1);
    copy(&host.disk, &older);
    host.append(&mut numbers, Durability::Sync);
    let (reader, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
    put_in_place(&older, &host.disk);
    assert_replaced(&reader);
    // Another store, shorter or longer.
    for events in [10, 200] {
        let host = another(2);
        let (reader, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
        let mut other = Host::new();
        (0..events).for_each(|_| other.append(&mut numbers, Durability::Sync));
        put_in_place(&other.disk, &host.disk);
        assert_replaced(&reader);
    }
}

#[test]
fn a_copy_that_went_another_way_is_an_error() {
    let mut numbers = Numbers(10);
    let host = another(5);
    let other = MemoryDisk::new();
    copy(&host.disk, &other);
    let (reader, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
    // The same store id, the same segment, more events: but not in the file that the reader has open.
    let other = Host::of(other, host.written.clone());
    (0..4).for_each(|_| {
        drop(
            other
                .store()
                .append(
                    atlas::log::Append::to(&crate::world::scope())
                        .event(atlas::Event::new("A_B_C_D_1", format!("n{}", numbers.below(9)))),
                )
                .unwrap(),
        )
    });
    put_in_place(&other.disk, &host.disk);
    for _ in 0..2 {
        assert!(matches!(reader.stats(), Err(ReadError::Corrupt { ref file, .. }) if file.ends_with(".seg")));
    }
}

/// Without a word of `LOCK`, a reader sees what the log itself proves to be durable.
#[test]
fn where_lock_says_nothing_the_log_says_what_is_durable() {
    for damage in ["missing", "empty", "garbage"] {
        let hurt = |disk: &MemoryDisk| match damage {
            "missing" => disk.remove("LOCK").unwrap(),
            "empty" => drop(disk.create("LOCK").unwrap()),
            _ => disk.open("LOCK", true).unwrap().write_all_at(16, &[0xee; 20]).unwrap(),
        };
        let mut numbers = Numbers(11);
        let mut host = another(6);
        let synced = host.durable;
        // A frame that states what was synced before it, and is not synced itself.
        host.append(&mut numbers, Durability::Deferred);
        let copied = MemoryDisk::new();
        copy(&host.disk, &copied);
        hurt(&copied);
        let (reader, _) = read_only(&LookOnly::new(&copied)).unwrap();
        let seen = reader.last_position() as usize;
        assert_eq!(seen, synced, "{damage}");
        if damage == "missing" {
            let refused = EventStore::open_with(atlas::storage::Environment::new(copied.clone()), Default::default());
            assert!(matches!(refused, Err(OpenError::LockMissing)), "{refused:?}");
            drop(copied.create("LOCK").unwrap());
        }
        // A host opens the store, recovers what was written, and LOCK says so.
        let mut next = Host::of(copied, host.written.clone());
        assert_sees(&reader, &next, &mut numbers);
        next.append(&mut numbers, Durability::Sync);
        assert_sees(&reader, &next, &mut numbers);
        // Closed cleanly, the log ends with a frame that says so.
        next.append(&mut numbers, Durability::Deferred);
        next.close();
        assert_sees(&reader, &next, &mut numbers);
        hurt(&next.disk);
        assert_sees(&reader, &next, &mut numbers);
        let (reader, _) = read_only(&LookOnly::new(&next.disk)).unwrap();
        assert_sees(&reader, &next, &mut numbers);
    }
}

#[test]
fn a_log_that_ends_before_what_lock_says_is_damaged() {
    let host = another(7);
    let longer = MemoryDisk::new();
    copy(&host.disk, &longer);
    let mut numbers = Numbers(12);
    let mut host = host;
    (0..20).for_each(|_| host.append(&mut numbers, Durability::Sync));
    let lock = host.disk.open("LOCK", false).unwrap();
    let mut bytes = [0; 36];
    lock.read_exact_at(0, &mut bytes).unwrap();
    longer.open("LOCK", true).unwrap().write_all_at(0, &bytes).unwrap();
    let opened = read_only(&LookOnly::new(&longer)).map(drop);
    assert!(
        matches!(opened, Err(OpenError::Corrupt { source: ReadError::Corrupt { ref file, .. }, .. }) if file.ends_with(".seg")),
        "{opened:?}"
    );
}
