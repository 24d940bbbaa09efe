//! Every region of every derived file, damaged in every way: nobody notices.

use atlas::storage::Environment;
use atlas::{EventStore, Uuid};

use crate::harm::HARMS;
use crate::world::{Files, Sample, disk_of, files_of, open_disk, options};

/// Regions of an index or of a run of the directory: parts of the header, and every section.
fn regions(name: &str, bytes: &[u8]) -> Vec<(usize, usize)> {
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let data = u64_at(bytes.len() - 16);
    let mut starts: Vec<usize> = if name.ends_with(".idx") {
        (0..15).map(|section| u32_at(72 + section * 8)).chain([0, 4, 24, 56, 72, 250]).collect()
    } else {
        let (summaries, streams) = (u32_at(24), u32_at(28));
        vec![0, 8, 24, 36, 64, 64 + summaries * 56, 64 + summaries * 56 + streams * 24]
    };
    starts.extend([data / 2, data, (data + bytes.len()) / 2, bytes.len() - 24, bytes.len() - 16, bytes.len() - 8]);
    starts.sort_unstable();
    starts.dedup();
    starts.retain(|start| *start < bytes.len());
    starts.into_iter().map(|start| (start, 16.min(bytes.len() - start))).collect()
}

fn derived(files: &Files) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".idx") || name.ends_with(".dir")).cloned().collect()
}

#[test]
fn derived_files_come_back_silently_and_byte_for_byte() {
    let sample = Sample::small();
    let names = derived(&sample.files);
    assert!(names.iter().any(|name| name.ends_with(".dir")), "{names:?}");
    let mut turn = 0;
    for name in &names {
        let bytes = &sample.files[name];
        for (offset, length) in regions(name, bytes) {
            for harm in HARMS {
                turn += 1;
                if !crate::all() && turn % 29 != 0 {
                    continue;
                }
                let about = format!("{name} at {offset}, {harm:?}");
                let files = sample.with(name, harm.done_to(bytes, offset, length));
                let disk = disk_of(&files);
                let store = open_disk(disk.clone()).unwrap();
                sample.assert_whole(&store, &about);
                store.close().unwrap();
                let store = open_disk(disk.clone()).unwrap();
                sample.assert_whole(&store, &about);
                store.close().unwrap();
                let now = files_of(&disk);
                // What was met was made anew, with the same bytes; what wasn't is as it was.
                assert!(now[name] == *bytes || now[name] == files[name], "{about}");
                assert_eq!(derived(&now), names, "{about}");
            }
        }
    }
}

#[test]
fn a_read_only_store_heals_in_memory_and_writes_nothing() {
    let sample = Sample::small();
    for name in derived(&sample.files) {
        let bytes = &sample.files[&name];
        for at in [300, bytes.len() / 2] {
            let files = sample.with(&name, crate::harm::Harm::Flip.done_to(bytes, at.min(bytes.len() - 40), 8));
            let disk = disk_of(&files);
            let mode = atlas::log::OpenMode::Read;
            let store = EventStore::open_with_mode(Environment::new(disk.clone()), options(), mode).unwrap();
            sample.assert_whole(&store, &name);
            assert!(store.event(&crate::world::loans(), Uuid::from_u128(5)).unwrap().is_none());
            assert_eq!(files_of(&disk), files, "{name}");
        }
    }
}

fn read_only(files: &Files) -> EventStore {
    let mode = atlas::log::OpenMode::Read;
    EventStore::open_with_mode(Environment::new(disk_of(files)), options(), mode).unwrap()
}

#[test]
fn derived_files_of_another_store_or_history_are_not_believed() {
    let sample = Sample::small();
    let other = Sample::new(2, 330);
    let at_first = sample.files.iter().filter(|(name, _)| name.ends_with(".seg") || *name == "LOCK");
    // The same store, a history that parted after two segments: its first two, then others' events.
    let mut parted: Files = at_first.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
    for name in &sample.segments()[2..] {
        parted.remove(name);
    }
    parted.insert("LOCK".to_owned(), Vec::new());
    let disk = disk_of(&parted);
    let store = open_disk(disk.clone()).unwrap();
    let scope = crate::world::loans();
    for number in 0..900u128 {
        let event = atlas::Event::new("A_B_C_D_1", format!("p-{}", number % 5)).id(Uuid::from_u128(number + (1 << 80)));
        store.append(atlas::log::Append::to(&scope).event(event.data(&"y".repeat(200)))).unwrap();
    }
    store.close().unwrap();
    let parted = Sample::of(files_of(&disk));
    // One that says that the segment was longer is evidence of lost data, and not passed over.
    let is_longer = |name: &str, bytes: &[u8]| {
        let segment = sample.files.get(&name.replace(".idx", ".seg")).map_or(0, Vec::len);
        name.ends_with(".idx") && u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize > segment
    };
    for (foreign, about) in [(&other, "another store"), (&parted, "another history")] {
        for name in derived(&sample.files) {
            let Some(bytes) = foreign.files.get(&name) else { continue };
            if about == "another history" && is_longer(&name, bytes) {
                let store = open_disk(disk_of(&sample.with(&name, bytes.clone())));
                let found = store.map(|store| sample.read_until_damage(&store, about).1);
                assert!(!matches!(found, Ok(None)), "{name}");
                continue;
            }
            let store = open_disk(disk_of(&sample.with(&name, bytes.clone()))).unwrap();
            sample.assert_whole(&store, &format!("{name} of {about}"));
            let reader = read_only(&sample.with(&name, bytes.clone()));
            sample.assert_whole(&reader, &format!("{name} of {about}, read only"));
        }
        let mut files = sample.files.clone();
        for (name, bytes) in foreign.files.iter().filter(|(name, _)| name.ends_with(".idx") || name.ends_with(".dir")) {
            if about == "another history" && is_longer(name, bytes) {
                continue;
            }
            files.insert(name.clone(), bytes.clone());
        }
        let store = open_disk(disk_of(&files)).unwrap();
        sample.assert_whole(&store, &format!("all of {about}"));
        sample.assert_whole(&read_only(&files), &format!("all of {about}, read only"));
    }
}
