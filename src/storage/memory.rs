//! A [`Disk`] in memory, for tests of hosts: the same code path as a real one, gone with its last handle.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Disk, DiskFile, FileIdentity};
use crate::sync::{AtomicBool, Mutex, Ordering, RwLock};

/// Files in memory. Clones share them, so a store can be closed and opened again on a clone.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Arc<Content>>>>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: RwLock<Vec<u8>>,
    locked: AtomicBool,
}

impl Content {
    fn identity(self: &Arc<Self>) -> FileIdentity {
        FileIdentity(Arc::as_ptr(self) as usize as u64, 0)
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let files = self.files.lock();
        let in_folder = |name: &String| match name.rsplit_once('/') {
            Some((of, file)) => (of == folder).then(|| file.to_owned()),
            None => folder.is_empty().then(|| name.clone()),
        };
        Ok(files.keys().filter_map(in_folder).collect())
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let content = self.files.lock().get(name).cloned().ok_or_else(not_found)?;
        Ok(Arc::new(MemoryFile { content, writes: write, holds_lock: AtomicBool::new(false) }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let content = Arc::<Content>::default();
        self.files.lock().insert(name.to_owned(), content.clone());
        Ok(Arc::new(MemoryFile { content, writes: true, holds_lock: AtomicBool::new(false) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock();
        let content = files.remove(from).ok_or_else(not_found)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(drop).ok_or_else(not_found)
    }

    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>> {
        self.files.lock().get(name).map(|content| Some(content.identity())).ok_or_else(not_found)
    }
}

#[derive(Debug)]
struct MemoryFile {
    content: Arc<Content>,
    writes: bool,
    holds_lock: AtomicBool,
}

/// What a system answers to a change through a handle that was opened for reading only: EBADF.
pub(super) fn refused_to_readers(writes: bool) -> io::Result<()> {
    const EBADF: i32 = 9;
    if writes { Ok(()) } else { Err(io::Error::from_raw_os_error(EBADF)) }
}

fn to_usize(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.bytes.read().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.bytes.read();
        let rest = content.get(to_usize(offset)?..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        refused_to_readers(self.writes)?;
        let start = to_usize(offset)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut content = self.content.bytes.write();
        if content.len() < end {
            content.resize(end, 0);
        }
        if let Some(to) = content.get_mut(start..end) {
            to.copy_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        refused_to_readers(self.writes)?;
        let length = to_usize(length)?;
        self.content.bytes.write().resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        let content = self.content.bytes.read();
        content.get(..length).map(Bytes::copy_from_slice).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let free = self.content.locked.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if free {
            self.holds_lock.store(true, Ordering::Release);
        }
        Ok(free)
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(Some(self.content.identity()))
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        if self.holds_lock.load(Ordering::Acquire) {
            self.content.locked.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealDisk;

    #[test]
    fn a_handle_opened_for_reading_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let disks: Vec<Box<dyn Disk>> = vec![
            Box::new(MemoryDisk::new()),
            Box::new(RealDisk::new(dir.path())),
            #[cfg(feature = "simulation")]
            Box::new(crate::storage::simulated::SimulatedDisk::new(1)),
        ];
        for disk in disks {
            disk.create("file").unwrap().write_all_at(0, b"whole").unwrap();
            let reader = disk.open("file", false).unwrap();
            assert_eq!(reader.write_at(0, b"other").unwrap_err().raw_os_error(), Some(9), "{disk:?}");
            assert!(reader.set_len(1).is_err(), "{disk:?}");
            let mut found = [0; 6];
            assert_eq!(reader.read_up_to(0, &mut found).unwrap(), 5, "{disk:?}");
            assert_eq!(&found[..5], b"whole", "{disk:?}");
            disk.open("file", true).unwrap().write_all_at(0, b"other").unwrap();
        }
    }
}
