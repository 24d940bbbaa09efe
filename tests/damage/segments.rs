//! Every region of a segment, damaged in every way.

use std::collections::BTreeSet;

use atlas::log::{OpenError, ReadError};

use crate::harm::{HARMS, Harm};
use crate::layout::{Region, frames, may_be_lost, regions};
use crate::world::{Sample, open, verify};

fn damaged_at(error: &ReadError) -> (&str, u64) {
    match error {
        ReadError::Corrupt { file, offset, .. } => (file, *offset),
        other => panic!("{other}"),
    }
}

fn check(sample: &Sample, name: &str, region: &Region, harm: Harm) {
    let about = format!("{name}, {} at {}, {harm:?}", region.what, region.offset);
    let bytes = &sample.files[name];
    let damaged = harm.done_to(bytes, region.offset, region.length);
    if damaged == *bytes {
        return;
    }
    let files = sample.with(name, damaged.clone());
    let end = match harm {
        Harm::Flip | Harm::Zero => region.offset + region.length,
        Harm::Duplicate => region.offset + region.length + 1,
        Harm::Truncate => bytes.len(),
    };
    // Where a frame that isn't whole begins, the damage is said to be; within it or at its start.
    let from = frames(bytes).iter().map(|frame| frame.offset).rfind(|offset| *offset <= region.offset).unwrap_or(0);
    let is_it = |(file, offset): (&str, u64)| file == name && (from as u64..=end as u64).contains(&offset);

    let report = verify(&files);
    assert!(report.problems.iter().any(|p| is_it((&p.file, p.offset))), "{about}: {:?}", report.problems);

    match open(&files) {
        Ok(store) => {
            let (read, error) = sample.read_until_damage(&store, &about);
            let may = may_be_lost(bytes, region.offset, end);
            match error {
                Some(error) => {
                    assert!(damaged_at(&error).0 == name, "{about}: {error}");
                    // A sealed segment of another length is refused whole.
                    let refused = [Harm::Truncate, Harm::Duplicate].contains(&harm)
                        && may.first().is_none_or(|first| read < *first);
                    assert!(refused || may.contains(&(read + 1)), "{about}: {read}, {error}");
                }
                None => assert_eq!(read, sample.events.len() as u64, "{about}"),
            }
        }
        Err(OpenError::Corrupt { source, readable_to }) => {
            assert!(is_it(damaged_at(&source)), "{about}: {source}");
            assert!(readable_to <= sample.events.len() as u64, "{about}");
        }
        Err(OpenError::Read(source)) => assert!(is_it(damaged_at(&source)), "{about}: {source}"),
        Err(OpenError::NewerFormat { file, .. }) => assert_eq!(file, name, "{about}"),
        Err(other) => panic!("{about}: {other}"),
    }

    let lost = sample.assert_salvaged(&files, &about);
    let may = may_be_lost(bytes, region.offset, end);
    assert!(lost.is_subset(&may), "{about}: lost {:?}", lost.difference(&may).collect::<BTreeSet<_>>());
    if region.what == "event, body" && [Harm::Flip, Harm::Zero].contains(&harm) {
        let only = frames(bytes)
            .iter()
            .flat_map(|frame| &frame.records)
            .find(|r| r.offset + 24 == region.offset)
            .unwrap()
            .position;
        assert_eq!(lost.into_iter().collect::<Vec<_>>(), [only.unwrap()], "{about}");
    }
}

#[test]
fn every_region_of_a_segment_says_where_it_is_damaged_and_the_rest_is_salvaged() {
    let sample = Sample::small();
    let segments = sample.segments();
    assert!(segments.len() >= 4, "{segments:?}");
    let kinds: BTreeSet<String> =
        segments.iter().flat_map(|name| regions(&sample.files[name])).map(|r| r.what).collect();
    for what in
        ["event", "scope symbol", "type symbol", "stream symbol", "keyframe", "closing", "record of another room"]
    {
        assert!(kinds.contains(&format!("{what}, body")), "{what} is missing");
    }
    let names = if crate::all() { segments } else { vec![segments[1].clone(), segments[segments.len() - 1].clone()] };
    let mut turn = 0;
    for name in &names {
        for region in regions(&sample.files[name]) {
            for harm in HARMS {
                turn += 1;
                if crate::all() || turn % 7 == 0 {
                    check(sample, name, &region, harm);
                }
            }
        }
    }
}

/// Of which of two damaged records the frame's event count says that one was an event isn't told: nothing between them is
/// given a position by guess.
#[test]
fn two_damaged_records_of_one_frame_lose_no_more_than_the_frame_and_shift_nothing() {
    let sample = Sample::small();
    let mut tried = 0;
    for name in &sample.segments() {
        let bytes = &sample.files[name];
        for frame in frames(bytes) {
            let events = |record: &&crate::layout::Record| record.position.is_some();
            let Some(event) = frame.records.iter().find(events) else { continue };
            let Some(other) = frame.records.iter().rfind(|record| record.position.is_none()) else { continue };
            if frame
                .records
                .iter()
                .filter(events)
                .filter(|r| (event.offset + 1..other.offset).contains(&r.offset))
                .count()
                == 0
            {
                continue;
            }
            tried += 1;
            let mut damaged = bytes.clone();
            damaged[event.offset + 24] ^= 1;
            damaged[other.offset + 24] ^= 1;
            let lost = sample.assert_salvaged(&sample.with(name, damaged), name);
            assert!(
                lost.contains(&event.position.unwrap())
                    && lost.is_subset(&may_be_lost(bytes, frame.offset, frame.offset + 1))
            );
            if tried >= 6 {
                return;
            }
        }
    }
    assert!(tried > 0);
}
