//! What Atlas asks of a disk: one directory of files, read and written at offsets, synced when told.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// What [`Disk::names_stamp`] gives: only good for being compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesStamp(pub [i64; 6]);

/// Tells a file from every other of its disk, whatever name it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity(pub u64, pub u64);

/// One data directory. Names are relative, with `/` between folder and file (`log/00000001.seg`).
///
/// Every call may fail with the error of the system. A name that doesn't exist is [`io::ErrorKind::NotFound`].
pub trait Disk: Send + Sync + std::fmt::Debug + 'static {
    /// Creates a folder and those above it, durably; nothing happens where it exists.
    fn create_dir(&self, folder: &str) -> io::Result<()>;

    /// The names of the files in a folder, in no order; empty where the folder doesn't exist.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Opens a file for reading, and for writing where `write`.
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates an empty file for reading and writing, in place of one that exists. Durable after
    /// [`sync_dir`](Self::sync_dir).
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, over another where one exists. Durable after [`sync_dir`](Self::sync_dir).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`sync_dir`](Self::sync_dir).
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// A stamp of the names in the directory itself: where it is the same as before, no file was added, removed, renamed or
    /// replaced there since. `None` where the disk can't tell, or not yet.
    fn names_stamp(&self) -> io::Result<Option<NamesStamp>> {
        Ok(None)
    }

    /// Which file has this name now; `None` where the disk can't tell.
    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>> {
        let _ = name;
        Ok(None)
    }
}

/// An open file. Calls may come from several threads at once.
pub trait DiskFile: Send + Sync + std::fmt::Debug + 'static {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at `offset` into `buffer`, and returns how much that was: maybe less than there is; 0 only at the end of the
    /// file (or of an empty buffer).
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes `bytes` at `offset`, growing the file where needed, and returns how much was written: maybe less than all.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts or grows the file.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Grows the file to `length` with zeros for which the disk keeps space, though it writes none: they can be written
    /// later even if the disk is full by then. `false` where it can't.
    fn reserve(&self, _length: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// Makes what was written durable (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// The file's first `length` bytes as shared memory: a mapping on a real disk. The file must not be cut below
    /// `length` while any clone of the bytes lives.
    fn map(&self, length: usize) -> io::Result<Bytes>;

    /// How often this thread had to wait for bytes of a map that came from the disk; 0 where the disk can't tell.
    fn waits(&self) -> u64 {
        0
    }

    /// States that some bytes that were mapped will be read soon. Only advice.
    fn will_need(&self, _bytes: Range<usize>) {}

    /// Takes the lock that one holder at a time may have; `false` where another has it. Released when the file is
    /// closed.
    fn try_lock(&self) -> io::Result<bool>;

    /// Which file this is, whatever name it has by now; `None` where the disk can't tell.
    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(None)
    }

    /// Reads at `offset` until `buffer` is full or the file ends; returns how much was read.
    fn read_up_to(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(offset + done as u64, rest) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Reads exactly `buffer.len()` bytes at `offset`; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.read_up_to(offset, buffer)? == buffer.len() {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Writes all of `bytes` at `offset`. Where it fails, any part of them may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.write_at(offset + done as u64, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
