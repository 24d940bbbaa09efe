//! A segment file of which some pages can't be read: they are passed over, so that all before and behind them can be had.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::packed::DamagedPage;
use crate::storage::{DiskFile, FileIdentity, is_shortage};
use crate::sync::Mutex;

/// What is tried alone where a longer read fails.
const PAGE: u64 = 4096;
/// What stands for a byte that can't be read. No frame begins so, and none ends the log as zeros do.
const FILLER: u8 = 0xff;

/// Bytes that can't be read, and what the system said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) error: String,
}

/// The file. What can't be read is filled, and noted; a shortage of the process is an error.
#[derive(Debug)]
pub(super) struct Patched {
    file: Arc<dyn DiskFile>,
    /// By the offset; none overlap.
    unreadable: Mutex<BTreeMap<u64, Unreadable>>,
}

impl Patched {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, unreadable: Mutex::default() }
    }

    /// What couldn't be read so far, in order; what stands next to each other as one.
    pub(super) fn unreadable(&self) -> Vec<Unreadable> {
        let mut runs: Vec<Unreadable> = Vec::new();
        for page in self.unreadable.lock().values() {
            match runs.last_mut() {
                Some(run) if run.offset + run.bytes == page.offset && run.error == page.error => {
                    run.bytes += page.bytes
                }
                _ => runs.push(page.clone()),
            }
        }
        runs
    }

    /// Whether anything at or after `offset` couldn't be read so far.
    pub(super) fn is_unreadable_from(&self, offset: u64) -> bool {
        let unreadable = self.unreadable.lock();
        unreadable.last_key_value().is_some_and(|(_, page)| page.offset + page.bytes > offset)
    }

    /// Where the last of what is known to be unreadable ends, of what begins in these bytes or before and reaches them.
    fn known_to(&self, offset: u64, length: usize) -> Option<u64> {
        let unreadable = self.unreadable.lock();
        let (_, last) = unreadable.range(..offset.saturating_add(length as u64)).next_back()?;
        Some(last.offset + last.bytes).filter(|end| *end > offset)
    }

    /// Notes what can't be read at `at`, in 4 KiB or in a damaged page of a packed segment; where it ends.
    fn note(&self, at: u64, end: u64, error: &io::Error) -> u64 {
        let page = at - at % PAGE;
        let damaged: Option<&DamagedPage> = error.get_ref().and_then(|error| error.downcast_ref());
        let (offset, to) = match damaged {
            Some(damaged) => (at, u64::from(damaged.until).max(at + 1)),
            None => (page, (page + PAGE).min(end)),
        };
        self.unreadable.lock().insert(offset, Unreadable { offset, bytes: to - offset, error: error.to_string() });
        to
    }

    /// Reads page by page, and fills those that can't be read.
    fn read_pages(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.file.len()?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let page = at - at % PAGE;
            let length = rest.len().min((page + PAGE).min(end).saturating_sub(at) as usize);
            let part = rest.get_mut(..length).unwrap_or_default();
            let to = match self.known_to(at, 1) {
                Some(to) => to,
                None => match self.file.read_at(at, part) {
                    Ok(0) => break,
                    Ok(read) => {
                        done += read;
                        continue;
                    }
                    Err(error) if is_shortage(&error) => return Err(error),
                    Err(error) => self.note(at, end, &error),
                },
            };
            let part = part.get_mut(..length.min((to - at) as usize)).unwrap_or_default();
            part.fill(FILLER);
            done += part.len();
        }
        Ok(done)
    }
}

impl DiskFile for Patched {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.known_to(offset, buffer.len()).is_some() {
            return self.read_pages(offset, buffer);
        }
        match self.file.read_at(offset, buffer) {
            Err(error) if !is_shortage(&error) => self.read_pages(offset, buffer),
            read => read,
        }
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
        self.file.map(length)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        self.file.identity()
    }
}
