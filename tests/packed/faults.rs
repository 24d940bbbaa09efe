//! Calls of the disk that fail while a segment is packed: it stays plain, nothing is lost, refused or poisoned, and it is
//! packed later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use atlas::log::{Compress, Depth, EventStore, Folds, OpenMode, verify_disk};
use atlas::storage::{Disk, DiskFile, MemoryDisk};
use bytes::Bytes;

use crate::world::{environment, files_of, fill, open, options, packed, told};

/// Fails the call that is due, of those about a packed file that isn't finished.
#[derive(Clone, Debug)]
struct OneFails {
    inner: MemoryDisk,
    /// Calls until then.
    left: Arc<AtomicI64>,
}

impl OneFails {
    /// Whether it is a packed file that isn't finished, and not the next segment.
    fn is_packing(&self, name: &str) -> bool {
        name.ends_with(".seg.new") && self.inner.open(name.trim_end_matches(".new"), false).is_ok()
    }

    fn call<T>(&self, is_counted: bool, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if is_counted && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        call()
    }

    fn file(&self, name: &str, open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        let is_counted = self.is_packing(name);
        Ok(Arc::new(FileOf { inner: self.call(is_counted, open)?, disk: self.clone(), is_counted }))
    }
}

impl Disk for OneFails {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.create_dir(folder)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.file(name, || self.inner.open(name, write))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.file(name, || self.inner.create(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(self.is_packing(from), || self.inner.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }
}

#[derive(Debug)]
struct FileOf {
    inner: Arc<dyn DiskFile>,
    disk: OneFails,
    is_counted: bool,
}

impl DiskFile for FileOf {
    fn len(&self) -> io::Result<u64> {
        self.disk.call(self.is_counted, || self.inner.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.call(self.is_counted, || self.inner.read_at(offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.disk.call(self.is_counted, || self.inner.write_at(offset, bytes))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(self.is_counted, || self.inner.sync())
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.inner.map(length)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }
}

#[test]
fn whichever_call_fails_the_segment_stays_plain_and_is_packed_later() {
    let mut failed = 0;
    for call in 0.. {
        let disk = OneFails { inner: MemoryDisk::new(), left: Arc::new(AtomicI64::new(call)) };
        let store = EventStore::open_with(environment(disk.clone()), options(64 << 10, Compress::All)).unwrap();
        // Up to the first rotation.
        let mut number = 0;
        while disk.inner.list("log").unwrap().iter().filter(|name| name.ends_with(".seg")).count() < 2 {
            fill(&store, number, number + 1);
            number += 100;
        }
        let files = files_of(&disk.inner);
        assert!(!files.keys().any(|name| name.ends_with(".new")), "call {call}: what isn't finished is removed");
        if disk.left.load(Ordering::SeqCst) >= 0 {
            assert_eq!(packed(&files), ["log/00000001.seg"], "no call failed");
            break;
        }
        failed += 1;
        assert_eq!(packed(&files), [""; 0], "call {call}");
        fill(&store, number, number + 200);
        let all = told(&store);
        store.close().unwrap();
        assert!(packed(&files_of(&disk.inner)).len() > 1, "call {call}");
        let store = open(&disk.inner, OpenMode::Write, options(64 << 10, Compress::All)).unwrap();
        assert!(told(&store) == all, "call {call}");
        let report = verify_disk(Arc::new(disk.inner), &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
        assert!(report.ok, "call {call}: {report:?}");
    }
    println!("{failed} calls failed in turn");
    assert!(failed > 10, "{failed}");
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let disk = MemoryDisk::new();
    let store = open(&disk, OpenMode::Write, options(64 << 10, Compress::All)).unwrap();
    fill(&store, 0, 200);
    store.close().unwrap();
    disk.create("log/00000001.seg.new").unwrap().write_all_at(0, &[7; 100]).unwrap();
    let all = told(&open(&disk, OpenMode::Read, options(64 << 10, Compress::All)).unwrap());
    assert!(files_of(&disk).contains_key("log/00000001.seg.new"), "a look writes nothing");
    let store = open(&disk, OpenMode::Write, options(64 << 10, Compress::All)).unwrap();
    assert!(told(&store) == all && !files_of(&disk).contains_key("log/00000001.seg.new"));
}
