//! A mapped file whose bytes are checked, 4 KiB block by 4 KiB block, the first time each is used since it was opened.
//!
//! ```text
//! data, then the CRC-32 of each 4 KiB of it (4 each), then the footer:
//!   magic 8, length of the data 8, CRC of the block CRCs 4, CRC of the footer before this field 4
//! ```
//!
//! Such files are derived: written under another name, synced, and renamed into place; never changed. Where a block turns
//! out to be damaged the file's healer makes the whole file anew, and reading goes on with that.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::log::ReadError;
use crate::log::format::Reader;
use crate::storage::{Disk, DiskFile};
use crate::sync::{AtomicU64, Mutex, Ordering};

const BLOCK: usize = 4096;
const FOOTER: usize = 24;
/// Said of a file that an older version of Atlas wrote.
const OLDER: &str = "the file is of an older version of Atlas; it is derived, and the next open makes it anew";
const DAMAGED_BLOCK: &str =
    "a block's CRC doesn't match; the file is derived: remove it, and the next open makes it anew";
/// At the front of every file: what of it is read at open and decides where the rest stands.
const HEAD: usize = 256;
/// A multiple of [`BLOCK`].
const BUFFER: usize = 64 * BLOCK;

/// An open file.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    name: String,
    bytes: Bytes,
    data_len: usize,
    /// One bit a block: already checked.
    checked: Box<[AtomicU64]>,
    healer: OnceLock<Healer>,
    /// What is read instead since a block was found damaged.
    healed: OnceLock<Box<Self>>,
    healing: Mutex<()>,
}

/// Makes a damaged file anew.
#[derive(Clone)]
pub(crate) struct Healer(Arc<dyn Fn() -> Result<CheckedFile, ReadError> + Send + Sync>);

impl Healer {
    pub(crate) fn new(make: impl Fn() -> Result<CheckedFile, ReadError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl std::fmt::Debug for Healer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Healer")
    }
}

/// Whether an error of [`CheckedFile::open`] says that the file is whole, but of an older version.
pub(crate) fn is_older(error: &ReadError) -> bool {
    matches!(error, ReadError::Corrupt { what: OLDER, .. })
}

/// Writes a file front to back, in memory of a fixed size.
pub(crate) struct CheckedWriter<'a> {
    disk: &'a dyn Disk,
    file: Arc<dyn DiskFile>,
    name: &'a str,
    buffer: Vec<u8>,
    written: u64,
    crcs: Vec<u8>,
    is_finished: bool,
}

impl Drop for CheckedWriter<'_> {
    /// What was not finished must not take room from others. Should it stay, the next open removes it.
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.disk.remove(&temporary(self.name));
        }
    }
}

impl<'a> CheckedWriter<'a> {
    /// Begins the file `name`, under another name until it is finished.
    pub(crate) fn create(disk: &'a dyn Disk, name: &'a str) -> Result<Self, ReadError> {
        let file = disk.create(&temporary(name)).map_err(ReadError::io(name))?;
        Ok(Self {
            disk,
            file,
            name,
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            crcs: Vec::new(),
            is_finished: false,
        })
    }

    /// Appends data.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<(), ReadError> {
        while !bytes.is_empty() {
            let room = BUFFER - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ReadError> {
        for block in self.buffer.chunks(BLOCK) {
            self.crcs.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
        }
        self.file.write_all_at(self.written, &self.buffer).map_err(ReadError::io(self.name))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the file durably and gives it its name, in place of one that exists.
    pub(crate) fn finish(mut self, magic: &[u8; 8]) -> Result<(), ReadError> {
        self.flush()?;
        let mut footer = Vec::with_capacity(FOOTER);
        footer.extend_from_slice(magic);
        footer.extend_from_slice(&self.written.to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&self.crcs).to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        self.crcs.extend_from_slice(&footer);
        let finish = || {
            self.file.write_all_at(self.written, &self.crcs)?;
            self.file.sync()?;
            self.disk.rename(&temporary(self.name), self.name)?;
            self.disk.sync_dir(self.name.rsplit_once('/').map_or("", |(folder, _)| folder))
        };
        finish().map_err(ReadError::io(self.name))?;
        self.is_finished = true;
        Ok(())
    }
}

fn temporary(name: &str) -> String {
    format!("{name}.new")
}

impl CheckedFile {
    /// Opens a file and checks its footer and block CRCs, but none of its data yet.
    pub(crate) fn open(disk: &dyn Disk, name: &str, magic: &[u8; 8]) -> Result<Self, ReadError> {
        let file = disk.open(name, false).map_err(ReadError::io(name))?;
        let length = file.len().map_err(ReadError::io(name))? as usize;
        let bytes = file.map(length).map_err(ReadError::io(name))?;
        let corrupt = |what| ReadError::Corrupt { file: name.to_owned(), offset: length as u64, what };
        let (rest, footer) = bytes
            .len()
            .checked_sub(FOOTER)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or_else(|| corrupt("the file is shorter than its footer"))?;
        let covered = footer.get(..FOOTER - 4).unwrap_or_default();
        let mut fields = Reader::new(footer);
        let (found, data_len, crcs, crc) = (fields.array::<8>(), fields.u64(), fields.u32(), fields.u32());
        // The last byte of a magic tells the version.
        let is_older =
            |found: [u8; 8]| found.split_last().map(|(_, kind)| kind) == magic.split_last().map(|(_, kind)| kind);
        if crc == Some(crc32fast::hash(covered)) && found.is_some_and(|found| is_older(found) && found < *magic) {
            return Err(corrupt(OLDER));
        }
        if found != Some(*magic) || crc != Some(crc32fast::hash(covered)) {
            return Err(corrupt("the footer is damaged"));
        }
        let data_len = data_len.unwrap_or_default() as usize;
        let blocks = data_len.div_ceil(BLOCK);
        let table = rest.get(data_len..).filter(|table| table.len() == blocks * 4);
        if table.is_none_or(|table| Some(crc32fast::hash(table)) != crcs) {
            return Err(corrupt("the block CRCs are damaged"));
        }
        Ok(Self::new(name, bytes, data_len, 0))
    }

    /// A file that is in memory only: its data, which need no check.
    pub(crate) fn in_memory(name: &str, data: Vec<u8>) -> Self {
        let length = data.len();
        Self::new(name, data.into(), length, u64::MAX)
    }

    fn new(name: &str, bytes: Bytes, data_len: usize, checked: u64) -> Self {
        let words = data_len.div_ceil(BLOCK).div_ceil(64);
        let checked = (0..words).map(|_| AtomicU64::new(checked)).collect();
        let (healer, healed, healing) = (OnceLock::new(), OnceLock::new(), Mutex::new(()));
        Self { name: name.to_owned(), bytes, data_len, checked, healer, healed, healing }
    }

    /// States who makes the file anew where a block is damaged. The first one counts.
    pub(crate) fn set_healer(&self, healer: Healer) {
        let _ = self.healer.set(healer);
    }

    /// Bytes of data.
    pub(crate) fn len(&self) -> usize {
        self.data_len
    }

    /// `length` bytes of data from `offset`, checked.
    #[inline]
    pub(crate) fn get(&self, offset: usize, length: usize) -> Result<&[u8], ReadError> {
        let end = offset.wrapping_add(length);
        let (first, last) = (offset / BLOCK, end.wrapping_sub(1) / BLOCK);
        // Nearly always: within one block, which was found whole, so that nothing was healed either.
        if first == last
            && end <= self.data_len
            && self.was_whole(first)
            && let Some(bytes) = self.bytes.get(offset..end)
        {
            return Ok(bytes);
        }
        self.get_blocks(offset, length)
    }

    #[inline]
    fn was_whole(&self, block: usize) -> bool {
        self.checked.get(block / 64).is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (block % 64) != 0)
    }

    fn get_blocks(&self, offset: usize, length: usize) -> Result<&[u8], ReadError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.data_len);
        let Some(end) = end else {
            return Err(self.corrupt(offset, "a section reaches beyond the file"));
        };
        if let Some(healed) = self.healed.get() {
            return healed.get(offset, length);
        }
        if length > 0 {
            for block in offset / BLOCK..=(end - 1) / BLOCK {
                if !self.is_whole(block) {
                    return self.heal(block)?.get(offset, length);
                }
            }
        }
        Ok(self.bytes.get(offset..end).unwrap_or_default())
    }

    fn is_whole(&self, block: usize) -> bool {
        if self.was_whole(block) {
            return true;
        }
        let Some(word) = self.checked.get(block / 64) else { return false };
        let start = block * BLOCK;
        let data = self.bytes.get(start..self.data_len.min(start + BLOCK)).unwrap_or_default();
        let crc = self.bytes.get(self.data_len + block * 4..).and_then(|rest| rest.first_chunk::<4>());
        let whole = crc == Some(&crc32fast::hash(data).to_le_bytes());
        if whole {
            word.fetch_or(1 << (block % 64), Ordering::Relaxed);
        }
        whole
    }

    /// The file that takes the place of this one, in which `block` is damaged.
    fn heal(&self, block: usize) -> Result<&Self, ReadError> {
        let _one = self.healing.lock();
        let damaged = || self.corrupt(block * BLOCK, DAMAGED_BLOCK);
        if let Some(healed) = self.healed.get() {
            return Ok(healed);
        }
        let healer = self.healer.get().ok_or_else(damaged)?;
        tracing::warn!(file = self.name, offset = block * BLOCK, "makes a damaged file anew, as it is derived");
        let made = (healer.0)()?;
        let head = HEAD.min(self.data_len);
        // What was read at open holds for both.
        if made.data_len != self.data_len || Some(made.get(0, head)?) != self.bytes.get(..head) {
            return Err(damaged());
        }
        made.set_healer(healer.clone());
        Ok(self.healed.get_or_init(|| Box::new(made)))
    }

    /// Checks every block.
    pub(crate) fn check_all(&self) -> Result<(), ReadError> {
        (0..self.data_len.div_ceil(BLOCK)).try_for_each(|block| self.get(block * BLOCK, 1).map(drop))
    }

    pub(crate) fn corrupt(&self, offset: usize, what: &'static str) -> ReadError {
        ReadError::Corrupt { file: self.name.clone(), offset: offset as u64, what }
    }
}

/// A section of a checked file: `count` rows of a fixed size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) count: u32,
}

impl Section {
    /// Row `number` of rows of `N` bytes.
    #[inline]
    pub(crate) fn row<const N: usize>(self, file: &CheckedFile, number: u32) -> Result<[u8; N], ReadError> {
        let offset = (self.offset as usize).saturating_add(number as usize * N);
        if number >= self.count {
            return Err(file.corrupt(offset, "a row beyond its section"));
        }
        let row = file.get(offset, N)?.first_chunk::<N>();
        row.copied().ok_or_else(|| file.corrupt(offset, "a row beyond its section"))
    }

    /// Some rows of `N` bytes, next to each other.
    pub(crate) fn rows<const N: usize>(self, file: &CheckedFile, numbers: Range<u32>) -> Result<&[[u8; N]], ReadError> {
        let offset = (self.offset as usize).saturating_add(numbers.start as usize * N);
        if numbers.end > self.count {
            return Err(file.corrupt(offset, "a row beyond its section"));
        }
        Ok(file.get(offset, numbers.len() * N)?.as_chunks().0)
    }

    #[inline]
    pub(crate) fn u32(self, file: &CheckedFile, number: u32) -> Result<u32, ReadError> {
        self.row(file, number).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(self, file: &CheckedFile, number: u32) -> Result<u64, ReadError> {
        self.row(file, number).map(u64::from_le_bytes)
    }

    /// In rows of `N` bytes that are sorted by `key`: the first whose key is not below `target`. Interpolates first, as
    /// keys are hashes and so spread evenly, then halves.
    pub(crate) fn lower_bound<const N: usize>(
        self,
        file: &CheckedFile,
        target: u64,
        key: impl Fn(&[u8; N]) -> u64,
    ) -> Result<u32, ReadError> {
        let (mut low, mut high) = (0u32, self.count);
        let (mut low_key, mut high_key) = (0u64, u64::MAX);
        for step in 0.. {
            if low >= high {
                break;
            }
            let middle = if step < 4 && high - low > 8 {
                let part = u128::from(target.saturating_sub(low_key)) * u128::from(high - low);
                let whole = u128::from(high_key.saturating_sub(low_key)).max(1);
                low + ((part / whole) as u32).min(high - low - 1)
            } else {
                low + (high - low) / 2
            };
            let found = key(&self.row::<N>(file, middle)?);
            if found < target {
                (low, low_key) = (middle + 1, found);
            } else {
                (high, high_key) = (middle, found);
            }
        }
        Ok(low)
    }
}
