//! Segments that are missing, swapped, of another store or older than they should be; a LOCK that says nothing.

use atlas::log::{Append, At, Query};
use atlas::storage::MemoryDisk;
use atlas::{Event, EventStore, Uuid};

use crate::harm::HARMS;
use crate::layout::frames;
use crate::world::{Files, Sample, disk_of, files_of, loans, open, open_disk, salvage, verify};

fn positions(sample: &Sample, name: &str) -> std::collections::BTreeSet<u64> {
    frames(&sample.files[name]).iter().flat_map(|frame| &frame.records).filter_map(|record| record.position).collect()
}

/// Nothing wrong is read, verify names one of `blamed`, and salvage loses no more than those hold.
fn check(sample: &Sample, files: &Files, blamed: &[&String], about: &str) {
    let report = verify(files);
    assert!(report.problems.iter().any(|problem| blamed.contains(&&problem.file)), "{about}: {:?}", report.problems);
    if let Ok(store) = open(files) {
        let (_, error) = sample.read_until_damage(&store, about);
        assert!(error.is_some(), "{about}");
    }
    let lost = sample.assert_salvaged(files, about);
    let may: std::collections::BTreeSet<u64> = blamed.iter().flat_map(|name| positions(sample, name)).collect();
    assert!(lost.is_subset(&may), "{about}: {:?}", lost.difference(&may).collect::<Vec<_>>());
    assert!(salvage(files).unwrap().losses().iter().any(|loss| blamed.contains(&&loss.file)), "{about}");
}

#[test]
fn segments_that_are_missing_swapped_or_foreign_are_losses() {
    let sample = Sample::small();
    let other = Sample::new(3, 330);
    let segments = sample.segments();
    for (number, name) in segments.iter().enumerate() {
        let mut dropped = sample.files.clone();
        dropped.remove(name);
        // That the newest is missing only LOCK can tell: the log ends too early, in the one before.
        let before = if number + 1 == segments.len() { &segments[number - 1] } else { name };
        check(sample, &dropped, &[name, before], &format!("{name} dropped"));
        assert!(sample.assert_salvaged(&dropped, name).is_subset(&positions(sample, name)), "{name}");
        let foreign = sample.with(name, other.files[name].clone());
        check(sample, &foreign, &[name], &format!("{name} of another store"));
        let Some(next) = segments.get(number + 1) else { continue };
        let mut swapped = sample.with(name, sample.files[next].clone());
        swapped.insert(next.clone(), sample.files[name].clone());
        check(sample, &swapped, &[name, next], &format!("{name} swapped"));
    }
}

#[test]
fn an_older_copy_of_a_segment_is_noticed() {
    let sample = Sample::small();
    for name in &sample.segments() {
        let bytes = &sample.files[name];
        let frames = frames(bytes);
        for frame in [&frames[frames.len() / 2], &frames[frames.len() - 1]] {
            // As it was when it was written to, with and without the index of today.
            let mut older = sample.with(name, bytes[..frame.offset].to_vec());
            check(sample, &older, &[name], &format!("{name} cut at {}", frame.offset));
            older.remove(&name.replace(".seg", ".idx"));
            check(sample, &older, &[name], &format!("{name} cut at {}, no index", frame.offset));
        }
    }
}

/// Closing frames end a segment at each clean close, so a copy of then is whole in itself.
#[test]
fn a_copy_of_a_segment_from_an_earlier_clean_close_is_noticed() {
    let disk = MemoryDisk::new();
    let mut copies: Vec<Files> = Vec::new();
    let append = |store: &EventStore, number: u128, length| {
        let event = Event::new("A_B_C_D_1", format!("p-{}", number % 5)).id(Uuid::from_u128(number + 1));
        store.append(Append::to(&loans()).event(event.data(&"y".repeat(length)))).unwrap();
    };
    for run in 0..5 {
        let store = open_disk(disk.clone()).unwrap();
        // Once with so much that the next segment begins just where the log was closed.
        append(&store, run << 8, if run == 4 { 60_000 } else { 200 });
        (1..40).for_each(|number| append(&store, run << 8 | number, 200));
        store.close().unwrap();
        copies.push(files_of(&disk));
        // Adds but a keyframe: no event is missing where it is lost.
        let store = open_disk(disk.clone()).unwrap();
        store.state(&loans(), "p-1", At::Now, true).unwrap();
        store.close().unwrap();
        copies.push(files_of(&disk));
    }
    let sample = Sample::of(files_of(&disk));
    let (mut tried, mut without_events) = (0, 0);
    for name in &sample.segments()[..sample.segments().len() - 1] {
        let index = name.replace(".seg", ".idx");
        for copy in &copies {
            let Some(older) = copy.get(name).filter(|older| **older != sample.files[name]) else { continue };
            assert_eq!(older[..], sample.files[name][..older.len()]);
            tried += 1;
            let of_copy = frames(older).iter().flat_map(|frame| &frame.records).filter_map(|r| r.position).collect();
            without_events += usize::from(positions(&sample, name) == of_copy);
            let mut files = sample.with(name, older.clone());
            check(&sample, &files, &[name], &format!("{name} of {} bytes", older.len()));
            files.insert(index.clone(), copy[&index].clone());
            check(&sample, &files, &[name], &format!("{name} of {} bytes with its index", older.len()));
            files.remove(&index);
            files.retain(|name, _| !name.ends_with(".dir"));
            check(&sample, &files, &[name], &format!("{name} of {} bytes without an index", older.len()));
        }
    }
    assert!(tried >= 6 && without_events >= 1, "{tried}, {without_events}");
}

/// Another history of the same store: its segments are whole, and follow as far as their positions tell.
#[test]
fn a_segment_of_another_history_is_noticed() {
    let start = Sample::small();
    let segments = start.segments();
    let parted = |text: &str| {
        let mut files = start.files.clone();
        files.retain(|name, _| segments[..2].contains(name));
        files.insert("LOCK".to_owned(), Vec::new());
        let disk = disk_of(&files);
        let store = open_disk(disk.clone()).unwrap();
        for number in 0..900u128 {
            let event = Event::new("A_B_C_D_1", format!("p-{}", number % 5)).id(Uuid::from_u128(number + (1 << 80)));
            store.append(Append::to(&loans()).event(event.data(&text.repeat(200)))).unwrap();
        }
        store.close().unwrap();
        Sample::of(files_of(&disk))
    };
    let (sample, other) = (parted("a"), parted("b"));
    assert!(sample.segments().len() >= 5);
    for name in &sample.segments()[2..] {
        assert_eq!(positions(&sample, name), positions(&other, name));
        let index = name.replace(".seg", ".idx");
        let mut files = sample.with(name, other.files[name].clone());
        let before = sample.segments().into_iter().rfind(|segment| segment < name).unwrap();
        check(&sample, &files, &[name, &before], &format!("{name} of another history"));
        files.insert(index.clone(), other.files[&index].clone());
        check(&sample, &files, &[name, &before], &format!("{name} of another history with its index"));
    }
}

/// `verify` says that `LOCK` is damaged where it is, and nothing else.
fn assert_lock_is_told(files: &Files, is_damaged: bool, about: &str) {
    let report = verify(files);
    let found: Vec<(&str, &str)> = report.problems.iter().map(|p| (p.file.as_str(), p.what.as_str())).collect();
    let damaged = ("LOCK", "damaged: what it said of how far the log had gone is not known");
    assert_eq!(found, if is_damaged { vec![damaged] } else { Vec::new() }, "{about}");
}

#[test]
fn a_damaged_lock_loses_nothing() {
    let sample = Sample::small();
    assert_lock_is_told(&sample.with("LOCK", Vec::new()), true, "LOCK is empty");
    for offset in (0..36).step_by(4) {
        for harm in HARMS {
            let files = sample.with("LOCK", harm.done_to(&sample.files["LOCK"], offset, 4));
            let about = format!("LOCK at {offset}, {harm:?}");
            sample.assert_whole(&open(&files).unwrap(), &about);
            assert!(sample.assert_salvaged(&files, &about).is_empty(), "{about}");
            // What follows the 36 bytes says nothing.
            let is_damaged = files["LOCK"].get(..36) != sample.files["LOCK"].get(..36);
            assert_lock_is_told(&files, is_damaged, &about);
        }
    }
    let store = salvage(&sample.files).unwrap();
    assert!(store.losses().is_empty());
    assert_eq!(store.read(Query::new()).unwrap().count(), sample.events.len());
}
