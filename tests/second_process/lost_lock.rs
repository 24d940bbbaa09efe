//! `LOCK` removed or replaced: a host that holds the directory notices before it acknowledges, one that opens it is told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atlas::log::{Append, AppendError, Depth, EventStore, OpenError, OpenMode, Options, Query, verify_disk};
use atlas::storage::{Disk, DiskFile, Environment, FileIdentity, MemoryDisk};
use atlas::{Event, Uuid};
use bytes::Bytes;

use crate::world::{options, scope};

fn open(disk: impl Disk) -> Result<EventStore, OpenError> {
    EventStore::open_with(Environment::new(disk), options())
}

fn append(store: &EventStore, number: u128) -> Result<(), AppendError> {
    let event = Event::new("A_B_C_D_1", format!("s-{}", number % 3)).id(Uuid::from_u128(number));
    store.append(Append::to(&scope()).event(event.data(&"x".repeat(300)))).map(drop)
}

fn ids(store: &EventStore) -> Vec<u128> {
    store.read(Query::new()).unwrap().map(|event| event.unwrap().id().as_u128()).collect()
}

fn bytes(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn log(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let mut names = disk.list("log").unwrap();
    names.sort();
    names.into_iter().map(|name| (name.clone(), bytes(disk, &format!("log/{name}")))).collect()
}

#[test]
fn a_host_whose_lock_was_removed_writes_nothing_more_and_no_second_one_gets_in() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=5).for_each(|number| append(&store, number).unwrap());
    disk.remove("LOCK").unwrap();
    let before = log(&disk);
    let second = open(disk.clone());
    assert!(matches!(second, Err(OpenError::LockMissing)), "{second:?}");
    for number in 6..9 {
        assert!(matches!(append(&store, number), Err(AppendError::LockLost)));
    }
    assert!(matches!(store.sync(), Err(AppendError::LockLost)));
    assert_eq!(ids(&store), [1, 2, 3, 4, 5], "what was durable can be read");
    assert!(matches!(store.close(), Err(AppendError::LockLost)));
    assert!(log(&disk) == before, "nothing was written");

    let report = verify_disk(Arc::new(disk.clone()), &Depth::Structure, |_, _| {}).unwrap();
    assert_eq!(report.problems.iter().map(|problem| problem.file.as_str()).collect::<Vec<_>>(), ["LOCK"]);
    let rebuilt = atlas::rebuild_with(Environment::new(disk.clone()), |_, _| {}).unwrap();
    assert!(rebuilt.lock_was_missing && rebuilt.lost.is_empty());
    assert!(disk.list("").unwrap().iter().all(|name| name != "LOCK.new"));
    let store = open(disk.clone()).unwrap();
    assert_eq!(ids(&store), [1, 2, 3, 4, 5]);
    append(&store, 6).unwrap();
    store.close().unwrap();
    assert!(!atlas::rebuild_with(Environment::new(disk), |_, _| {}).unwrap().lock_was_missing);
}

#[test]
fn a_host_whose_lock_was_replaced_leaves_the_log_to_the_other() {
    let disk = MemoryDisk::new();
    let first = open(disk.clone()).unwrap();
    (1..=300).for_each(|number| append(&first, number).unwrap());
    disk.remove("LOCK").unwrap();
    disk.create("LOCK").unwrap();
    let second = open(disk.clone()).unwrap();
    append(&second, 301).unwrap();
    assert!(matches!(append(&first, 400), Err(AppendError::LockLost)));
    assert!(matches!(first.close(), Err(AppendError::LockLost)));
    drop(first);
    (302..=600).for_each(|number| append(&second, number).unwrap());
    second.close().unwrap();
    assert!(ids(&open(disk).unwrap()).into_iter().eq(1..=600));
}

/// Removes `LOCK` when a segment is synced: after the write, before the answer.
#[derive(Clone, Debug)]
struct Removing(MemoryDisk, Arc<AtomicBool>);

#[derive(Debug)]
struct RemovingFile(Arc<dyn DiskFile>, Option<Removing>);

impl Disk for Removing {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.0.create_dir(folder)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let removing = name.ends_with(".seg").then(|| self.clone());
        Ok(Arc::new(RemovingFile(self.0.open(name, write)?, removing)))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RemovingFile(self.0.create(name)?, None)))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.0.sync_dir(folder)
    }
    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>> {
        self.0.identity(name)
    }
}

impl DiskFile for RemovingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(offset, bytes)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        if let Some(Removing(disk, armed)) = &self.1
            && armed.swap(false, Ordering::SeqCst)
        {
            disk.remove("LOCK")?;
        }
        self.0.sync()
    }
    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.0.map(length)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        self.0.identity()
    }
}

#[test]
fn nothing_is_acknowledged_whose_lock_went_while_it_was_written() {
    let disk = Removing(MemoryDisk::new(), Arc::default());
    let store = open(disk.clone()).unwrap();
    append(&store, 1).unwrap();
    disk.1.store(true, Ordering::SeqCst);
    assert!(matches!(append(&store, 2), Err(AppendError::LockLost)));
    assert!(!disk.1.load(Ordering::SeqCst), "it was removed meanwhile");
    assert_eq!(store.last_position(), 1);
    assert_eq!(ids(&store), [1]);
}

/// A later format says so in the magic, and keeps the place of the CRC.
#[test]
fn a_lock_of_a_newer_version_is_refused_and_left_as_it_is() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    append(&store, 1).unwrap();
    store.close().unwrap();
    drop(store);
    let mut newer = bytes(&disk, "LOCK");
    newer[7] = b'2';
    let crc = crc32fast::hash(&newer[..32]);
    newer[32..36].copy_from_slice(&crc.to_le_bytes());
    newer.extend_from_slice(b"and more than this version knows");
    disk.create("LOCK").unwrap().write_all_at(0, &newer).unwrap();
    for mode in [OpenMode::Write, OpenMode::Read, OpenMode::Salvage] {
        let opened = EventStore::open_with_mode(Environment::new(disk.clone()), Options::default(), mode);
        let is_newer =
            |error: &OpenError| matches!(error, OpenError::NewerFormat { file, found: 2, known: 1 } if file == "LOCK");
        assert!(opened.as_ref().is_err_and(is_newer), "{mode:?}: {opened:?}");
        assert!(bytes(&disk, "LOCK") == newer, "{mode:?}");
    }
    assert!(atlas::rebuild_with(Environment::new(disk.clone()), |_, _| {}).is_err());
    assert!(bytes(&disk, "LOCK") == newer);
}

/// A directory that has been quiet for a while is looked at instead of `LOCK`: it tells when `LOCK` goes.
#[test]
fn a_real_directory_tells_that_lock_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    for how in ["removed", "replaced", "renamed"] {
        let _ = std::fs::remove_dir_all(&path);
        let store = EventStore::open_options(&path, options()).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let look_quiet = || std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        look_quiet();
        (1..=3).for_each(|number| append(&store, number).unwrap());
        let lock = path.join("LOCK");
        match how {
            "removed" => std::fs::remove_file(&lock).unwrap(),
            "renamed" => std::fs::rename(&lock, path.join("OTHER")).unwrap(),
            _ => {
                std::fs::copy(&lock, path.join("OTHER")).unwrap();
                std::fs::rename(path.join("OTHER"), &lock).unwrap();
            }
        }
        // Even where somebody sets the time back.
        look_quiet();
        assert!(matches!(append(&store, 4), Err(AppendError::LockLost)), "{how}");
    }
}
