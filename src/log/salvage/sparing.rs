//! A disk that keeps few files open at once, however many are asked for: each is opened again when it is read. For reading
//! only.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::{Disk, DiskFile};
use crate::sync::Mutex;

/// How many files are open at most.
pub(super) const MAX_OPEN: usize = 32;

/// A file and its name.
type Opened = (String, Arc<dyn DiskFile>);

/// The disk; clones share the files that are open.
#[derive(Clone, Debug)]
pub(super) struct Sparing {
    disk: Arc<dyn Disk>,
    /// Used longest ago first.
    open: Arc<Mutex<VecDeque<Opened>>>,
}

impl Sparing {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Arc::default() }
    }

    fn file(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock();
        let place = open.iter().position(|(of, _)| of == name);
        let entry = match place.and_then(|place| open.remove(place)) {
            Some(entry) => entry,
            None => (name.to_owned(), self.disk.open(name, false)?),
        };
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        let file = entry.1.clone();
        open.push_back(entry);
        Ok(file)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "salvage writes nothing"))
}

impl Disk for Sparing {
    fn create_dir(&self, _folder: &str) -> io::Result<()> {
        refused()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        if write {
            return refused();
        }
        self.file(name)?;
        Ok(Arc::new(SparingFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn create(&self, _name: &str) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        refused()
    }
}

#[derive(Debug)]
struct SparingFile {
    disk: Sparing,
    name: String,
}

impl DiskFile for SparingFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.file(&self.name)?.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.file(&self.name)?.read_at(offset, buffer)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        refused()
    }

    fn set_len(&self, _length: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.disk.file(&self.name)?.map(length)
    }

    fn try_lock(&self) -> io::Result<bool> {
        refused()
    }
}
