//! A disk that fails on demand.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use atlas::storage::{Disk, DiskFile, MemoryDisk};
use bytes::Bytes;

/// A disk that fails on demand.
#[derive(Clone, Debug)]
pub(crate) struct FaultyDisk {
    pub(crate) inner: MemoryDisk,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) sync_fails: AtomicBool,
    pub(crate) write_fails: AtomicBool,
    pub(crate) read_fails: AtomicBool,
    /// Other threads run between the call and the write.
    pub(crate) write_lingers: AtomicBool,
    /// No file can be created.
    pub(crate) no_new_files: AtomicBool,
    /// Bytes by which files may still grow.
    pub(crate) room: AtomicI64,
    /// Bytes that were written.
    pub(crate) written: AtomicU64,
}

impl FaultyDisk {
    pub(crate) fn new() -> Self {
        let faults = Faults {
            sync_fails: AtomicBool::new(false),
            write_fails: AtomicBool::new(false),
            read_fails: AtomicBool::new(false),
            write_lingers: AtomicBool::new(false),
            no_new_files: AtomicBool::new(false),
            room: AtomicI64::new(i64::MAX / 2),
            written: AtomicU64::new(0),
        };
        Self { inner: MemoryDisk::new(), faults: Arc::new(faults) }
    }

    /// States by how many bytes files may still grow; `None`: by any number.
    pub(crate) fn set_room(&self, bytes: impl Into<Option<i64>>) {
        self.faults.room.store(bytes.into().unwrap_or(i64::MAX / 2), Ordering::SeqCst);
    }

    fn file(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { inner, faults: self.faults.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.create_dir(folder)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.open(name, write).map(|file| self.file(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if self.faults.no_new_files.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.create(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }
}

#[derive(Debug)]
pub(crate) struct FaultyFile {
    pub(crate) inner: Arc<dyn DiskFile>,
    pub(crate) faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.faults.read_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.inner.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if self.faults.write_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        if self.faults.write_lingers.load(Ordering::SeqCst) {
            (0..200).for_each(|_| std::thread::yield_now());
        }
        let grows = (offset + bytes.len() as u64).saturating_sub(self.inner.len()?) as i64;
        if grows > self.faults.room.load(Ordering::SeqCst) {
            // Like a file system: what fits is written.
            let fits = self.faults.room.swap(0, Ordering::SeqCst).max(0) as usize;
            self.inner.write_all_at(offset, &bytes[..fits.min(bytes.len())])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.faults.room.fetch_sub(grows, Ordering::SeqCst);
        self.faults.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.inner.write_at(offset, bytes)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        self.inner.sync()
    }
    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.inner.map(length)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }
}
