//! Files that can't be opened or read, in whole or in part: salvage gives all the rest, and `verify` takes no shortage of the
//! process for damage.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use atlas::Event;
use atlas::log::{Append, Depth, Durability, EventStore, Folds, OpenError, OpenMode, ReadError, verify_disk};
use atlas::storage::{Disk, DiskFile, Environment, MemoryDisk};
use bytes::Bytes;

use crate::layout::may_be_lost;
use crate::world::{Files, Sample, disk_of, files_of, loans, open_disk, options};

const NOT_FOUND: i32 = 2;
const IO: i32 = 5;
const NO_MEMORY: i32 = 12;
const DENIED: i32 = 13;
const IS_A_DIRECTORY: i32 = 21;
const TOO_MANY_FILES: i32 = 24;

/// A call: of which file, and of a read which bytes.
type Call<'a> = (&'a str, Option<Range<u64>>);

/// A disk whose opens and reads fail as it is told; nothing may be changed.
#[derive(Clone)]
struct Failing {
    disk: MemoryDisk,
    fails: Arc<dyn Fn(Call<'_>) -> Option<i32> + Send + Sync>,
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl Failing {
    fn new(files: &Files, fails: impl Fn(Call<'_>) -> Option<i32> + Send + Sync + 'static) -> Self {
        Self { disk: disk_of(files), fails: Arc::new(fails) }
    }

    fn call(&self, call: Call<'_>) -> io::Result<()> {
        (self.fails)(call).map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }

    fn salvage(&self) -> Result<EventStore, OpenError> {
        EventStore::open_with_mode(Environment::new(self.clone()), options(), OpenMode::Salvage)
    }
}

impl Disk for Failing {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        panic!("created {folder}")
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        assert!(!write, "{name} is opened to be written to");
        self.call((name, None))?;
        let file = self.disk.open(name, false)?;
        Ok(Arc::new(FailingFile { disk: self.clone(), file, name: name.to_owned() }))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        panic!("created {name}")
    }
    fn rename(&self, from: &str, _to: &str) -> io::Result<()> {
        panic!("renamed {from}")
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        panic!("removed {name}")
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        panic!("synced {folder}")
    }
}

#[derive(Debug)]
struct FailingFile {
    disk: Failing,
    file: Arc<dyn DiskFile>,
    name: String,
}

impl DiskFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.call((&self.name, Some(offset..offset + buffer.len() as u64)))?;
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        panic!("wrote at {offset}")
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        panic!("cut a file to {length}")
    }
    fn sync(&self) -> io::Result<()> {
        panic!("synced a file")
    }
    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.file.map(length)
    }
    fn try_lock(&self) -> io::Result<bool> {
        panic!("took a lock")
    }
}

fn words(number: i32) -> String {
    io::Error::from_raw_os_error(number).to_string()
}

#[test]
fn a_segment_that_cant_be_read_at_all_is_one_loss() {
    let sample = Sample::small();
    for name in sample.segments() {
        let without = {
            let mut files = sample.files.clone();
            files.remove(&name);
            sample.assert_salvaged(&files, &name)
        };
        // A symlink to nothing, a file of somebody else, a bad disk, a directory.
        for (of_opens, number) in [(true, NOT_FOUND), (true, DENIED), (true, IO), (false, IO), (false, IS_A_DIRECTORY)]
        {
            let bad = name.clone();
            let disk = Failing::new(&sample.files, move |(name, read)| {
                (name == bad && read.is_none() == of_opens).then_some(number)
            });
            let about = format!("{name}: {}", words(number));
            let store = disk.salvage().unwrap_or_else(|error| panic!("{about}: {error}"));
            assert_eq!(sample.assert_salvaged_store(&store, &about), without, "{about}");
            let losses = store.losses();
            assert_eq!(losses.len(), 1, "{about}: {losses:?}");
            assert_eq!((losses[0].file.as_str(), losses[0].offset), (name.as_str(), 0), "{about}");
            assert!(losses[0].what.contains(&words(number)), "{about}: {losses:?}");
        }
    }
}

#[test]
fn bytes_that_cant_be_read_cost_what_stands_in_them() {
    let sample = Sample::small();
    let segments = sample.segments();
    for (with_index, name) in [(true, &segments[0]), (false, &segments[1]), (true, segments.last().unwrap())] {
        let bytes = &sample.files[name];
        let mut files = sample.files.clone();
        if !with_index {
            files.remove(&name.replace(".seg", ".idx"));
        }
        let pages = bytes.len().div_ceil(4096);
        for page in (0..pages).step_by(3).chain([pages - 1]) {
            let (from, to) = (page * 4096, bytes.len().min(page * 4096 + 4096));
            // A sector, or more than a page.
            for bad in [from as u64 + 512..from as u64 + 1024, from as u64..to as u64 + 10] {
                if bad.start >= to as u64 {
                    continue;
                }
                let to = bytes.len().min((bad.end as usize).next_multiple_of(4096));
                let (bad_name, about) = (name.clone(), format!("{name}: {bad:?}"));
                let disk = Failing::new(&files, move |(name, read)| {
                    let hit = |read: Range<u64>| read.start < bad.end && bad.start < read.end;
                    (name == bad_name && read.is_some_and(hit)).then_some(IO)
                });
                let store = disk.salvage().unwrap_or_else(|error| panic!("{about}: {error}"));
                let lost = sample.assert_salvaged_store(&store, &about);
                let may: BTreeSet<u64> = may_be_lost(bytes, from, to);
                assert!(lost.is_subset(&may), "{about}: {lost:?} of {may:?}");
                let losses = store.losses();
                let told = losses.iter().any(|loss| loss.file == *name && loss.what.contains(&words(IO)));
                assert!(told, "{about}: {losses:?}");
            }
        }
    }
}

/// Behind them stand frames that say nothing of having been synced, and `LOCK` doesn't say either: no torn tail all the same.
#[test]
fn bytes_at_the_end_of_the_log_that_cant_be_read_hide_nothing() {
    let disk = MemoryDisk::new();
    let store = open_disk(disk.clone()).unwrap();
    let append = |number: u32, durability| {
        let event = Event::new("A_B_C_D_1", format!("s-{}", number % 3)).data(&"x".repeat(200));
        store.append(Append::to(&loans()).event(event).durability(durability)).unwrap();
    };
    (0..6).for_each(|number| append(number, Durability::Sync));
    (0..90).for_each(|number| append(number, Durability::Deferred));
    let mut files = files_of(&disk);
    files.insert("LOCK".to_owned(), Vec::new());
    let sample = Sample::of(files);
    let name = sample.segments()[0].clone();
    let (from, to) = (8192, 12288);
    let bad_name = name.clone();
    let disk = Failing::new(&sample.files, move |(name, read)| {
        let hit = |read: Range<u64>| read.start < to && from < read.end;
        (name == bad_name && read.is_some_and(hit)).then_some(IO)
    });
    let store = disk.salvage().unwrap();
    let lost = sample.assert_salvaged_store(&store, "the end");
    let may = may_be_lost(&sample.files[&name], from as usize, to as usize);
    assert!(!lost.is_empty() && lost.is_subset(&may), "{lost:?} of {may:?}");
    let losses = store.losses();
    assert!(losses.iter().any(|loss| loss.file == name && loss.what.contains(&words(IO))), "{losses:?}");
}

#[test]
fn a_lock_that_cant_be_read_is_told_and_costs_nothing() {
    let sample = Sample::small();
    for (of_opens, number) in [(true, DENIED), (false, IS_A_DIRECTORY), (false, IO)] {
        let disk = Failing::new(&sample.files, move |(name, read)| {
            (name == "LOCK" && read.is_none() == of_opens).then_some(number)
        });
        let about = words(number);
        let store = disk.salvage().unwrap_or_else(|error| panic!("{about}: {error}"));
        assert!(sample.assert_salvaged_store(&store, &about).is_empty(), "{about}");
        let losses = store.losses();
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert!(losses[0].file == "LOCK" && losses[0].what.contains(&about), "{losses:?}");
        let report = verify_disk(Arc::new(disk), &Depth::Structure, |_, _| {}).unwrap();
        assert_eq!(report.problems.len(), 1, "{report:?}");
        assert!(report.problems[0].file == "LOCK" && report.problems[0].what.contains(&about), "{report:?}");
    }
}

#[test]
fn a_shortage_ends_verify_and_is_no_damage() {
    let sample = Sample::small();
    for depth in [Depth::Tail, Depth::Structure, Depth::Deep(Folds::default())] {
        for (of_opens, number) in [(true, TOO_MANY_FILES), (false, NO_MEMORY)] {
            let check = |after: i64| {
                let left = Arc::new(AtomicI64::new(after));
                let counter = left.clone();
                let disk = Failing::new(&sample.files, move |(_, read)| {
                    let counts = read.is_none() == of_opens;
                    (counts && counter.fetch_sub(1, Ordering::SeqCst) <= 0).then_some(number)
                });
                (verify_disk(Arc::new(disk), &depth, |_, _| {}), after - left.load(Ordering::SeqCst))
            };
            let (whole, calls) = check(i64::MAX);
            let whole = whole.unwrap();
            assert!(whole.ok && calls > 3, "{calls}: {whole:?}");
            let step = 1 + calls as usize / 200;
            for after in (0..calls).step_by(step) {
                match check(after).0 {
                    Err(OpenError::Read(ReadError::Io { source, .. })) => {
                        assert_eq!(source.raw_os_error(), Some(number), "{depth:?}, after {after}");
                    }
                    other => panic!("{depth:?}, after {after} of {calls}: {other:?}"),
                }
            }
        }
    }
}
