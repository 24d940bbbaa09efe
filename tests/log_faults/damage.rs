//! Damage is reported, nothing is cut, and nothing damaged is handed out.

use atlas::log::{OpenError, Query, ReadError};
use atlas::storage::{Disk, MemoryDisk};

use crate::world::{SEGMENT, append, bytes, end_of_data, flip, frames, open, zero};

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
fn a_missing_segment_is_reported() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=600).for_each(|number| append(&store, number));
    store.close().unwrap();
    disk.remove("log/00000002.seg").unwrap();
    let error = open(disk).unwrap_err().to_string();
    assert!(error.contains("log/00000002.seg"), "{error}");
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
