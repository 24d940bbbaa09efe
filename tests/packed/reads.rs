//! What is read of packed segments, in every way that there is, is what is read of plain ones.

use std::sync::Arc;

use atlas::log::{
    Append, At, Compress, Depth, Direction, EventStore, Folds, OpenMode, Options, Query, ReadMode, verify_disk,
};
use atlas::storage::{Disk, MemoryDisk};
use atlas::{Error, Event};

use crate::world::{Files, bank, disk_of, environment, files_of, fill, open, options, packed, shop, text, told, twins};

/// All answers of a store: events, streams both ways, states, single events.
fn answers(store: &EventStore) -> Vec<String> {
    let mut answers = told(store);
    for scope in [bank(), shop()] {
        for stream in store.streams(Some(&scope), "").unwrap() {
            let stream = stream.unwrap().stream;
            for direction in [Direction::Forward, Direction::Backward] {
                let events = store.read_stream(&scope, &stream, 1, direction);
                let events = match direction {
                    Direction::Forward => events,
                    Direction::Backward => store.read_stream(&scope, &stream, u64::MAX, direction),
                };
                answers.extend(events.unwrap().map(|event| text(&event.unwrap())));
            }
            answers.push(format!("{:?}", store.state(&scope, &stream, At::Now, false)));
        }
    }
    for position in (1..=store.last_position()).rev().step_by(7) {
        let event = store.event_at(position).unwrap().unwrap();
        answers.push(text(&store.event(event.scope(), event.id()).unwrap().unwrap()));
    }
    let backward = store.read(Query::new().backward()).unwrap();
    answers.extend(backward.map(|event| text(&event.unwrap())));
    answers
}

fn answers_of(files: &Files, mode: OpenMode, read_mode: ReadMode) -> Vec<String> {
    let options = Options { read_mode, ..options(64 << 10, Compress::None) };
    answers(&open(&disk_of(files), mode, options).unwrap())
}

#[test]
fn a_packed_store_answers_as_the_plain_one() {
    let scopes = Compress::Scopes(vec![shop(), "no/such".parse().unwrap()]);
    let mut sizes = Vec::new();
    for compress in [Compress::All, scopes] {
        let (plain, small) = twins(compress.clone());
        let (sealed, segments) = (packed(&small), plain.keys().filter(|name| name.ends_with(".seg")).count());
        // Where little is compressed a segment may be too small to gain anything.
        let least = if compress == Compress::All { segments - 1 } else { segments / 2 };
        assert!(segments > 5 && sealed.len() >= least, "{sealed:?} of {segments}");
        sizes.push(small.values().map(Vec::len).sum::<usize>());
        // All that is not the bytes of sealed segments is the same: no address changes.
        for (name, bytes) in &small {
            assert!(sealed.contains(name) || *bytes == plain[name], "{name}");
        }
        let expected = answers_of(&plain, OpenMode::Write, ReadMode::Map);
        for mode in [OpenMode::Write, OpenMode::Read, OpenMode::Salvage] {
            for read_mode in [ReadMode::Map, ReadMode::Pread] {
                let found = answers_of(&small, mode, read_mode);
                assert!(found == expected, "{mode:?}, {read_mode:?}");
            }
        }
        let salvaged = open(&disk_of(&small), OpenMode::Salvage, Options::default()).unwrap();
        assert!(salvaged.losses().is_empty(), "{:?}", salvaged.losses());
        let report = verify_disk(Arc::new(disk_of(&small)), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
        assert!(report.ok && report.checked.deep, "{report:?}");
    }
    assert!(sizes[0] < sizes[1], "what is compressed is smaller: {sizes:?}");
}

#[test]
fn what_is_derived_is_made_anew_from_packed_segments() {
    let (plain, small) = twins(Compress::All);
    let disk = disk_of(&small);
    for name in small.keys().filter(|name| name.ends_with(".idx") || name.ends_with(".dir")) {
        disk.remove(name).unwrap();
    }
    let store = open(&disk, OpenMode::Write, options(64 << 10, Compress::None)).unwrap();
    assert!(answers(&store) == answers_of(&plain, OpenMode::Write, ReadMode::Map));
    store.close().unwrap();
    let indexes = files_of(&disk);
    for (name, bytes) in indexes.iter().filter(|(name, _)| name.ends_with(".idx")) {
        assert!(*bytes == plain[name], "{name}");
    }
    let disk = disk_of(&small);
    assert!(atlas::rebuild_with(environment(disk.clone()), |_, _| {}).unwrap().lost.is_empty());
    assert_eq!(packed(&files_of(&disk)), packed(&small), "rebuild leaves segments as they are");
}

#[test]
fn readers_of_the_plain_file_go_on_and_others_follow() {
    let disk = MemoryDisk::new();
    let host = open(&disk, OpenMode::Write, options(64 << 10, Compress::All)).unwrap();
    fill(&host, 0, 100);
    let beside = open(&disk, OpenMode::Read, options(64 << 10, Compress::None)).unwrap();
    let (mut half, mut own) = (beside.read(Query::new()).unwrap(), host.read(Query::new()).unwrap());
    let mut read: Vec<_> = half.by_ref().take(30).map(|event| text(&event.unwrap())).collect();
    let mut read_own: Vec<_> = own.by_ref().take(30).map(|event| text(&event.unwrap())).collect();
    let before = packed(&files_of(&disk)).len();
    fill(&host, 100, 500);
    assert!(packed(&files_of(&disk)).len() > before + 2);
    read.extend(half.map(|event| text(&event.unwrap())));
    read_own.extend(own.map(|event| text(&event.unwrap())));
    let all = told(&host);
    assert!(read == read_own && all[..read.len()] == read, "both go on with what they had");
    assert!(told(&beside) == all);
    host.close().unwrap();
}

#[test]
fn segments_that_were_sealed_before_are_packed_behind_the_next_rotation() {
    let (plain, _) = twins(Compress::All);
    let disk = disk_of(&plain);
    let store = open(&disk, OpenMode::Write, options(64 << 10, Compress::All)).unwrap();
    assert_eq!(packed(&files_of(&disk)), [""; 0], "opening packs nothing");
    fill(&store, 600, 800);
    store.close().unwrap();
    let files = files_of(&disk);
    assert_eq!(packed(&files).len() + 1, files.keys().filter(|name| name.ends_with(".seg")).count());
    let store = open(&disk, OpenMode::Write, options(64 << 10, Compress::None)).unwrap();
    fill(&store, 800, 1000);
    store.close().unwrap();
    let report = verify_disk(Arc::new(disk.clone()), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
    assert!(report.ok, "{report:?}");
}

/// Of a log that lost its end the last segment may be one that is packed: it is never written to.
#[test]
fn a_log_that_ends_with_a_packed_segment_goes_on_in_the_next() {
    let (_, small) = twins(Compress::All);
    let sealed = packed(&small);
    let last = &sealed[3];
    let mut files = small.clone();
    files.retain(|name, _| !name.ends_with(".seg") || name <= last);
    let disk = disk_of(&files);
    let existing = Options { create: false, ..options(64 << 10, Compress::All) };
    open(&disk, OpenMode::Write, existing.clone()).unwrap_err();
    match atlas::rebuild_with(environment(disk.clone()), |_, _| {}) {
        Ok(rebuilt) => assert!(!rebuilt.lost.is_empty()),
        Err(Error::Rebuild(error)) => panic!("{error}"),
        Err(error) => panic!("{error}"),
    }
    let store = open(&disk, OpenMode::Write, existing.clone()).unwrap();
    let before = store.last_position();
    for number in 0..3 {
        store.append(Append::to(&bank()).event(Event::new("A_B_C_D_1", format!("new-{number}")))).unwrap();
    }
    store.close().unwrap();
    let store = open(&disk, OpenMode::Write, existing).unwrap();
    assert_eq!((store.last_position(), told(&store).len() as u64), (before + 3, before + 3));
    assert_eq!(files_of(&disk)[last], small[last]);
    drop(store);
    let report = verify_disk(Arc::new(disk), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
    assert!(report.ok, "{report:?}");
}
