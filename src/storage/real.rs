//! A directory of the file system as a [`Disk`].

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use memmap2::Mmap;

use super::{Disk, DiskFile, FileIdentity, NamesStamp};
use crate::sync::Mutex;

/// How often a lock that another has is tried again: who only asks whether it is held has it for a moment.
const LOCK_TRIES: u32 = 16;
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// How long ago a directory must have changed for its times to be a stamp of its names.
const SETTLED: Duration = Duration::from_secs(1);

/// A directory of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The directory `root`, which must exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { root: std::path::absolute(&root).unwrap_or(root) }
    }

    /// Creates the directory `root` and those above it, durably, and opens it.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        create_dir_durably(&root)?;
        Ok(Self::new(root))
    }
}

/// Creates a directory and those above it that are missing, and syncs the parent of each. Of an empty
/// one that is there the parent is synced as well: whoever created it may have been stopped before that.
fn create_dir_durably(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    if path.is_dir() {
        if std::fs::read_dir(path)?.next().is_some() {
            return Ok(());
        }
        // A parent that may not be opened (a mount point's, a sandbox's) isn't ours to have created.
        return match sync_dir(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    create_dir_durably(parent)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_dir(parent)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

impl Disk for RealDisk {
    fn create_dir(&self, folder: &str) -> io::Result<()> {
        create_dir_durably(&self.root.join(folder))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        // A name that is no UTF-8 is none of ours.
        entries.filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose()).collect()
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(write).open(self.root.join(name))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.root.join(name))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.root.join(name))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        sync_dir(&self.root.join(folder))
    }

    fn names_stamp(&self) -> io::Result<Option<NamesStamp>> {
        let found = std::fs::metadata(&self.root)?;
        // Times may stand still for some milliseconds: a change just after this look might not show.
        let is_settled = found.modified()?.elapsed().is_ok_and(|age| age >= SETTLED);
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        let [modified, nanos, changed, changed_nanos] = times;
        let stamp = [found.dev() as i64, found.ino() as i64, modified, nanos, changed, changed_nanos];
        Ok(is_settled.then_some(NamesStamp(stamp)))
    }

    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>> {
        std::fs::metadata(self.root.join(name)).map(|metadata| Some(identity(&metadata)))
    }
}

fn identity(metadata: &Metadata) -> FileIdentity {
    FileIdentity(metadata.dev(), metadata.ino())
}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// What was mapped of it last, as long as anybody reads it.
    mapped: Mutex<Weak<Mmap>>,
}

impl RealFile {
    fn new(file: File) -> Self {
        Self { file, mapped: Mutex::default() }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, length: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        let from = self.file.metadata()?.len();
        if length <= from {
            return Ok(true);
        }
        match fallocate(&self.file, FallocateFlags::empty(), from, length - from) {
            Ok(()) => Ok(true),
            // Not every file system can.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        let (bytes, mapped) = super::map::map(&self.file, length)?;
        *self.mapped.lock() = mapped;
        Ok(bytes)
    }

    fn waits(&self) -> u64 {
        super::map::major_faults()
    }

    fn will_need(&self, bytes: Range<usize>) {
        let mapped = self.mapped.lock().upgrade();
        if let Some(mapped) = mapped {
            super::map::will_need(&mapped, bytes);
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        for _ in 0..LOCK_TRIES {
            match self.file.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(Some(identity(&self.file.metadata()?)))
    }
}
