//! Segments that are missing, swapped, of another store or older than they should be; a LOCK that says nothing.

use atlas::log::Query;

use crate::harm::HARMS;
use crate::layout::frames;
use crate::world::{Files, Sample, open, salvage, verify};

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

#[test]
fn a_damaged_lock_loses_nothing() {
    let sample = Sample::small();
    for offset in (0..36).step_by(4) {
        for harm in HARMS {
            let files = sample.with("LOCK", harm.done_to(&sample.files["LOCK"], offset, 4));
            let about = format!("LOCK at {offset}, {harm:?}");
            sample.assert_whole(&open(&files).unwrap(), &about);
            assert!(sample.assert_salvaged(&files, &about).is_empty(), "{about}");
        }
    }
    let store = salvage(&sample.files).unwrap();
    assert!(store.losses().is_empty());
    assert_eq!(store.read(Query::new()).unwrap().count(), sample.events.len());
}
