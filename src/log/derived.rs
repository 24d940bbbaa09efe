//! Makes the derived files of the log, indexes and runs of the directory, and makes them anew where they turn out to be
//! damaged: whoever reads doesn't notice.

use std::sync::Arc;

use super::format::SEGMENT_HEADER_LEN;
use super::index::{CheckedFile, Directory, Healer, IndexFile, KeyHash, MemoryIndex, Summary};
use super::recovery::{self, Before, Stop};
use super::segment::Segment;
use super::{OpenError, ReadError};
use crate::storage::{Disk, MemoryDisk};
use crate::sync::{Mutex, RwLock};

/// Makes derived files: on the disk where the store may write, in memory where it may not.
#[derive(Debug)]
pub(crate) struct Derived {
    disk: Arc<dyn Disk>,
    store_id: [u8; 16],
    hash: KeyHash,
    /// Held for reading while a file is written. Never waited for: who can't have it keeps what it made in memory.
    may_write: RwLock<bool>,
    /// Two writers of one index must not share its temporary name.
    writing_index: Mutex<()>,
    making_run: Mutex<()>,
}

impl Derived {
    pub(crate) fn new(disk: Arc<dyn Disk>, store_id: [u8; 16], hash: KeyHash, may_write: bool) -> Arc<Self> {
        let (writing_index, making_run) = (Mutex::new(()), Mutex::new(()));
        Arc::new(Self { disk, store_id, hash, may_write: RwLock::new(may_write), writing_index, making_run })
    }

    /// Writes nothing from here on: the directory may be another's.
    pub(crate) fn release(&self) {
        *self.may_write.write() = false;
    }

    /// Does what writes to the disk, where the store may; `None` where it may not.
    pub(crate) fn on_disk<T>(&self, write: impl FnOnce() -> T) -> Option<T> {
        self.may_write.try_read().filter(|may_write| **may_write).map(|_held| write())
    }

    /// Opens the index of a segment, if its file is whole as far as that is known now.
    pub(crate) fn open_index(self: &Arc<Self>, number: u32) -> Result<Arc<IndexFile>, ReadError> {
        IndexFile::open(&*self.disk, number, self.store_id).map(|index| self.watch_index(index))
    }

    /// Writes the index of a segment.
    pub(crate) fn write_index(self: &Arc<Self>, number: u32, index: &MemoryIndex) -> Result<Arc<IndexFile>, ReadError> {
        let written = self.on_disk(|| {
            let _one = self.writing_index.lock();
            IndexFile::write(&*self.disk, number, self.store_id, index)
        });
        let file = written.unwrap_or_else(|| IndexFile::in_memory(number, self.store_id, index))?;
        Ok(self.watch_index(file))
    }

    /// As [`write_index`](Self::write_index); where the disk doesn't take it the index stays in memory.
    pub(crate) fn write_or_keep_index(
        self: &Arc<Self>,
        number: u32,
        index: &MemoryIndex,
    ) -> Result<Arc<IndexFile>, ReadError> {
        match self.write_index(number, index) {
            Err(ReadError::Io { file, source }) => {
                tracing::warn!(%source, file, "an index stays in memory for now");
                IndexFile::in_memory(number, self.store_id, index).map(|index| self.watch_index(index))
            }
            other => other,
        }
    }

    /// The index of a sealed segment, made where there is none that is of this very segment.
    pub(crate) fn index(self: &Arc<Self>, number: u32) -> Result<Arc<IndexFile>, ReadError> {
        let segment = Segment::open(&*self.disk, number, false, None).map_err(OpenError::into_read)?;
        match self.open_index(number) {
            Ok(index) if describes(&index, &segment)? => Ok(index),
            _ => self.write_or_keep_index(number, &scan_sealed(&segment, self.hash.clone())?.index),
        }
    }

    fn watch_index(self: &Arc<Self>, index: Arc<IndexFile>) -> Arc<IndexFile> {
        let (this, summary) = (self.clone(), index.summary);
        index.set_healer(Healer::new(move || this.index_anew(&summary)));
        index
    }

    /// Has the runs of a directory made anew where they are damaged.
    pub(crate) fn watch_directory(self: &Arc<Self>, directory: &Directory) {
        directory.set_healers(|first, last| {
            let this = self.clone();
            Healer::new(move || this.run_anew(first, last))
        });
    }

    /// What the index file of a segment says up to where it ended, from the segment itself.
    fn index_anew(&self, was: &Summary) -> Result<CheckedFile, ReadError> {
        let segment = Segment::open(&*self.disk, was.segment, false, None).map_err(OpenError::into_read)?;
        let before = Before::Segment(Some(was.first_position));
        let scan = recovery::scan(&segment, self.hash.clone(), &before, Some(was.end), |_| {})?;
        check_end(&segment, &scan, u64::from(was.end))?;
        let in_memory = || IndexFile::in_memory(was.segment, self.store_id, &scan.index);
        let written = self.on_disk(|| {
            let _one = self.writing_index.lock();
            let found = IndexFile::open(&*self.disk, was.segment, self.store_id);
            if found.is_ok_and(|found| found.summary.end > was.end) {
                return in_memory();
            }
            IndexFile::write(&*self.disk, was.segment, self.store_id, &scan.index).or_else(|error| {
                tracing::warn!(%error, "an index that was made anew stays in memory");
                in_memory()
            })
        });
        let made = written.unwrap_or_else(in_memory)?;
        Arc::into_inner(made).map(IndexFile::into_file).ok_or(ReadError::Closed)
    }

    /// The run of the directory over some segments, from their indexes.
    fn run_anew(self: &Arc<Self>, first: u32, last: u32) -> Result<CheckedFile, ReadError> {
        let _one = self.making_run.lock();
        let index = |number| self.index(number);
        match self.on_disk(|| Directory::run_anew(&*self.disk, self.store_id, first, last, index)) {
            Some(Err(ReadError::Io { file, source })) => {
                tracing::warn!(%source, file, "a part of the directory that was made anew stays in memory");
            }
            Some(made) => return made,
            None => {}
        }
        Directory::run_anew(&MemoryDisk::new(), self.store_id, first, last, index)
    }
}

/// Whether an index is of this very segment as it is: the CRC of the last frame stands for all before it, as each frame
/// states the one before.
pub(crate) fn describes(index: &IndexFile, segment: &Segment) -> Result<bool, ReadError> {
    let Some(last) = index.frames().checked_sub(1) else {
        return Ok(index.summary.end as usize == SEGMENT_HEADER_LEN);
    };
    let offset = index.frame(last)?.offset;
    let mut bytes = [0; 8];
    segment.file.read_up_to(u64::from(offset), &mut bytes).map_err(|error| segment.io(error))?;
    let [length, crc] = [bytes.first_chunk(), bytes.last_chunk()]
        .map(|field: Option<&[u8; 4]>| field.map_or(0, |bytes| u32::from_le_bytes(*bytes)));
    Ok(crc == index.summary.last_crc && offset.checked_add(length) == Some(index.summary.end))
}

/// What is wrong with a sealed segment whose last frame isn't a closing one.
pub(crate) const NOT_CLOSED: &str = "the segment's last frames are missing";

/// What is wrong with a sealed segment that ends in another way than the next one states.
pub(crate) const NOT_CONTINUED: &str = "the segment doesn't end as the next one says; it is another copy of it";

/// Scans a segment that must be whole to its end.
pub(crate) fn scan_sealed(segment: &Segment, hash: KeyHash) -> Result<recovery::Scan, ReadError> {
    let scan = recovery::scan(segment, hash, &Before::Segment(None), None, |_| {})?;
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    check_end(segment, &scan, length)?;
    if !scan.index.closed {
        return Err(segment.corrupt(scan.index.end, NOT_CLOSED));
    }
    Ok(scan)
}

fn check_end(segment: &Segment, scan: &recovery::Scan, end: u64) -> Result<(), ReadError> {
    match scan.stop {
        Stop::End if u64::from(scan.index.end) == end => Ok(()),
        Stop::End => Err(segment.corrupt(scan.index.end, "zeros where the next frame of a sealed segment should be")),
        Stop::Bad(what) | Stop::Damaged(what) => Err(segment.corrupt(scan.index.end, what)),
    }
}

impl OpenError {
    /// What a segment that can't be opened is to a reader.
    pub(crate) fn into_read(self) -> ReadError {
        let (file, what) = match self {
            Self::Read(error) => return error,
            Self::NewerFormat { file, .. } => (file, "the segment's format is newer than this version knows"),
            _ => (String::new(), "the segment can't be opened"),
        };
        ReadError::Corrupt { file, offset: 0, what }
    }
}
