//! Salvage gives no less than a plain read, whatever of a segment is damaged, and takes nothing for lost that it couldn't
//! read just now.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use atlas::Event;
use atlas::log::{Append, EventStore, OpenError, OpenMode, Query, ReadError};
use atlas::storage::{Disk, DiskFile, Environment, MemoryDisk};
use bytes::Bytes;

use crate::layout::{frames, may_be_lost};
use crate::world::{Files, Sample, disk_of, files_of, loans, open_disk, options, salvage};

/// Losses of the salvaged store that hold events.
fn lost(sample: &Sample, files: &Files, about: &str) -> Vec<u64> {
    sample.assert_salvaged(files, about).into_iter().collect()
}

#[test]
fn a_damaged_frame_header_loses_no_event_of_an_indexed_segment() {
    let sample = Sample::small();
    for name in sample.segments() {
        let bytes = &sample.files[&name];
        let all = frames(bytes);
        for frame in all.iter().step_by(29).chain(all.last()) {
            for field in [0, 8, 24, 36] {
                let mut damaged = bytes.clone();
                damaged[frame.offset + field] ^= 0x21;
                let about = format!("{name}, frame at {}, {field}", frame.offset);
                assert_eq!(lost(sample, &sample.with(&name, damaged), &about), [0u64; 0], "{about}");
            }
        }
    }
}

#[test]
fn a_damaged_length_of_a_record_loses_that_record_alone() {
    let sample = Sample::small();
    let name = &sample.segments()[1];
    let bytes = &sample.files[name];
    let mut tried = 0;
    for frame in frames(bytes).iter().filter(|frame| frame.records.len() > 2).step_by(5) {
        let Some(event) = frame.records.iter().find(|record| record.position.is_some()) else { continue };
        let mut damaged = bytes.clone();
        damaged[event.offset] ^= 0x04;
        let about = format!("{name}, record at {}", event.offset);
        assert_eq!(lost(sample, &sample.with(name, damaged.clone()), &about), [event.position.unwrap()], "{about}");
        // Without the index the others of the frame can't be placed with certainty; the frames around can.
        let mut files = sample.with(name, damaged);
        files.remove(&name.replace(".seg", ".idx"));
        let may = may_be_lost(bytes, frame.offset, frame.offset + 1);
        assert!(lost(sample, &files, &about).iter().all(|position| may.contains(position)), "{about}");
        tried += 1;
    }
    assert!(tried > 3);
}

#[test]
fn an_index_of_something_else_places_nothing() {
    let sample = Sample::small();
    let segments = sample.segments();
    let (name, index) = (&segments[1], segments[1].replace(".seg", ".idx"));
    let frame = &frames(&sample.files[name])[3];
    let mut damaged = sample.files[name].clone();
    damaged[frame.offset + 8] ^= 1;
    let mut files = sample.with(name, damaged);
    let other = Sample::new(2, 330);
    for foreign in
        [other.files[&index].clone(), sample.files[&segments[2].replace(".seg", ".idx")].clone(), vec![7; 5000]]
    {
        files.insert(index.clone(), foreign);
        let lost = lost(sample, &files, "a foreign index");
        let of_frame: Vec<u64> = frame.records.iter().filter_map(|record| record.position).collect();
        assert!(of_frame.iter().all(|position| lost.contains(position)), "{lost:?}");
        let may = may_be_lost(&sample.files[name], frame.offset, frame.offset + 1);
        assert!(lost.iter().all(|position| may.contains(position)), "{lost:?}");
    }
}

#[test]
fn what_a_damaged_segment_header_was_is_proven() {
    let sample = Sample::small();
    for name in sample.segments() {
        // All but the salt, without which nothing can be checked.
        for offset in [0, 9, 12, 16, 31, 32, 36, 48, 52, 56, 60, 63] {
            let mut damaged = sample.files[&name].clone();
            damaged[offset] ^= 0x10;
            let about = format!("{name} at {offset}");
            let files = sample.with(&name, damaged);
            assert_eq!(lost(sample, &files, &about), [0u64; 0], "{about}");
            let losses = salvage(&files).unwrap().losses();
            assert!(losses.iter().any(|loss| loss.file == name && loss.offset == 0), "{about}: {losses:?}");
        }
        let mut damaged = sample.files[&name].clone();
        damaged[..64].fill(0);
        assert!(!lost(sample, &sample.with(&name, damaged), &name).is_empty());
    }
}

#[test]
fn segments_under_each_others_names_are_read_and_told() {
    let sample = Sample::small();
    let names = sample.segments();
    let mut files = sample.files.clone();
    files.insert(names[1].clone(), sample.files[&names[2]].clone());
    files.insert(names[2].clone(), sample.files[&names[1]].clone());
    assert_eq!(lost(sample, &files, "swapped"), [0u64; 0]);
    let losses = salvage(&files).unwrap().losses();
    let said: Vec<String> = losses.iter().map(|loss| format!("{}: {}", loss.file, loss.what)).collect();
    assert_eq!(
        said,
        [
            "log/00000002.seg: the file is segment 3: rename it to log/00000003.seg",
            "log/00000003.seg: the file is segment 2: rename it to log/00000002.seg",
        ]
    );
    // One under a name far behind: all between is no loss.
    let mut files = sample.files.clone();
    let moved = files.remove(&names[1]).unwrap();
    files.insert("log/90000000.seg".to_owned(), moved);
    assert_eq!(lost(sample, &files, "moved"), [0u64; 0]);
    assert_eq!(salvage(&files).unwrap().losses().len(), 1);
    // A copy of one is no loss of any.
    let mut files = sample.files.clone();
    files.insert("log/90000000.seg".to_owned(), sample.files[&names[1]].clone());
    assert_eq!(lost(sample, &files, "copied"), [0u64; 0]);
    assert_eq!(salvage(&files).unwrap().losses().len(), 1);
}

/// A disk whose opens fail once so many were made, and that counts how many files are open.
#[derive(Clone, Debug)]
struct Scarce {
    disk: MemoryDisk,
    left: Arc<AtomicI64>,
    open: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

#[derive(Debug)]
struct ScarceFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl Drop for ScarceFile {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Disk for Scarce {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        panic!("salvage created {folder}")
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn open(&self, name: &str, _write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(name, false)?;
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::from_raw_os_error(24));
        }
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(open, Ordering::SeqCst);
        Ok(Arc::new(ScarceFile(file, self.open.clone())))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        panic!("salvage created {name}")
    }
    fn rename(&self, from: &str, _to: &str) -> io::Result<()> {
        panic!("salvage renamed {from}")
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        panic!("salvage removed {name}")
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        panic!("salvage synced {folder}")
    }
}

impl DiskFile for ScarceFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        panic!("salvage wrote at {offset}")
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        panic!("salvage cut a file to {length}")
    }
    fn sync(&self) -> io::Result<()> {
        panic!("salvage synced a file")
    }
    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.0.map(length)
    }
    fn try_lock(&self) -> io::Result<bool> {
        panic!("salvage took a lock")
    }
}

fn scarce(files: &Files, opens: i64) -> (Scarce, Result<EventStore, OpenError>) {
    let disk = Scarce {
        disk: disk_of(files),
        left: Arc::new(AtomicI64::new(opens)),
        open: Arc::default(),
        most: Arc::default(),
    };
    let store = EventStore::open_with_mode(Environment::new(disk.clone()), options(), OpenMode::Salvage);
    (disk, store)
}

#[test]
fn an_error_of_the_disk_ends_salvage_and_is_no_loss() {
    let sample = Sample::small();
    // Of a broken frame the index alone tells where its records stand.
    let name = sample.segments()[0].clone();
    let mut damaged = sample.files[&name].clone();
    let first = frames(&damaged)[0].offset;
    damaged[first + 8] ^= 0x21;
    for files in [sample.files.clone(), sample.with(&name, damaged)] {
        let (disk, store) = scarce(&files, i64::MAX);
        let losses = store.unwrap().losses();
        let opens = i64::MAX - disk.left.load(Ordering::SeqCst);
        let mut failed = 0;
        for after in 0..opens {
            match scarce(&files, after).1 {
                Err(OpenError::Read(ReadError::Io { source, .. })) => {
                    assert_eq!(source.raw_os_error(), Some(24));
                    failed += 1;
                }
                Err(other) => panic!("{other}"),
                // An index of a whole segment is a help, which salvage does without.
                Ok(store) => assert_eq!(store.losses(), losses, "after {after} of {opens}"),
            }
        }
        assert!(failed as usize >= sample.segments().len(), "{failed} of {opens}");
    }
}

#[test]
fn salvage_keeps_few_files_open() {
    let disk = MemoryDisk::new();
    let store = open_disk(disk.clone()).unwrap();
    for number in 0..60 {
        let event = Event::new("A_B_C_D_1", "s").data(&format!("{number}{}", "x".repeat(60_000)));
        store.append(Append::to(&loans()).event(event)).unwrap();
    }
    assert_eq!(store.stats().unwrap().segments, 60);
    store.close().unwrap();
    for with_indexes in [true, false] {
        let mut files = files_of(&disk);
        files.retain(|name, _| with_indexes || !name.ends_with(".idx"));
        let (disk, store) = scarce(&files, i64::MAX);
        let store = store.unwrap();
        assert_eq!(store.read(Query::new()).unwrap().filter(Result::is_ok).count(), 60);
        let most = disk.most.load(Ordering::SeqCst);
        assert!(most <= 34, "{most} files are open at once");
    }
}
