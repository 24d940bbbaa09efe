//! A disk that remembers whether a call failed for want of what the process is short of. Whoever takes such a failure for
//! one of the file finds damage where there is none, so that nothing found after it counts.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::log::ReadError;
use crate::storage::{Disk, DiskFile, FileIdentity, is_shortage};

type Shortage = Arc<OnceLock<ReadError>>;

/// The disk.
#[derive(Debug)]
pub(crate) struct Watched {
    disk: Arc<dyn Disk>,
    shortage: Shortage,
}

impl Watched {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Self { disk, shortage: Shortage::default() })
    }

    /// The first shortage that there was, as an error.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        self.shortage.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// Notes a shortage; a call that was interrupted is made again by who made it.
fn note<T>(shortage: &Shortage, name: &str, result: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &result
        && is_shortage(error)
        && error.kind() != io::ErrorKind::Interrupted
    {
        let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        let _ = shortage.set(ReadError::io(name)(same));
    }
    result
}

impl Disk for Watched {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.create_dir(folder)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        note(&self.shortage, folder, self.disk.list(folder))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = note(&self.shortage, name, self.disk.open(name, write))?;
        Ok(Arc::new(WatchedFile { file, name: name.to_owned(), shortage: self.shortage.clone() }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }

    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>> {
        note(&self.shortage, name, self.disk.identity(name))
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn DiskFile>,
    name: String,
    shortage: Shortage,
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        note(&self.shortage, &self.name, self.file.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        note(&self.shortage, &self.name, self.file.read_at(offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        note(&self.shortage, &self.name, self.file.map(length))
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        note(&self.shortage, &self.name, self.file.identity())
    }
}
