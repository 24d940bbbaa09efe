//! What a crash leaves at the end of the log is cut, and nothing else is.

use std::sync::atomic::Ordering::SeqCst;

use atlas::storage::{Disk, MemoryDisk};

use crate::faulty_disk::FaultyDisk;
use crate::world::{SEGMENT, append, append_deferred, bytes, end_of_data, flip, frames, ids, open, zero};

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

/// After a failed sync frames may stand only in a cache that believes itself clean; those that were synced don't.
#[test]
fn a_recovery_writes_again_what_nothing_says_was_synced_and_nothing_else() {
    let disk = FaultyDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=100).for_each(|number| append_deferred(&store, number));
    // No frame says so, as none came after it.
    store.sync().unwrap();
    drop(store);
    let written_by_open = || {
        let before = disk.faults.written.load(SeqCst);
        drop(open(disk.clone()).unwrap());
        disk.faults.written.load(SeqCst) - before
    };
    assert!(written_by_open() < 100, "LOCK says that all was synced");
    let store = open(disk.clone()).unwrap();
    (101..=110).for_each(|number| append_deferred(&store, number));
    drop(store);
    let of_frames = end_of_data(&disk.inner, SEGMENT) - frames(&disk.inner, SEGMENT)[100];
    let written = written_by_open();
    assert!((of_frames..of_frames + 200).contains(&written), "{written} of {of_frames}");
    // Where LOCK says nothing, the first of the new frames still says that those before it were.
    let length = bytes(&disk.inner, "LOCK").len();
    zero(&disk.inner, "LOCK", 0, length);
    let written = written_by_open();
    assert!((of_frames..of_frames + 200).contains(&written), "{written} of {of_frames}");
    assert_eq!(ids(&open(disk).unwrap()), (1..=110).collect::<Vec<_>>());
}
