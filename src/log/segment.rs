//! The bytes of one segment file: mapped once it is sealed. While it is active what stands in it is mapped anew whenever it
//! has grown by an eighth, or is read often behind the map; what came in since is read with pread.

mod checked;
mod growing;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use checked::Checked;
use growing::Growing;

use super::format::{
    BadHeader, PACKED_VERSION, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, Salt, SegmentHeader, check_record,
};
use super::packed::{DamagedPage, PAGE, PAGE_DAMAGED, PackedFile, SegmentFile, open_file};
use super::{OpenError, ReadError};
use crate::planted::{Bug, planted};
use crate::storage::{Disk, DiskFile};

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Map(Bytes),
    File(Growing),
    Packed(Arc<PackedFile>),
}

/// What a window is moved for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A record, whose CRC doesn't matter where it was checked before.
    Record,
    /// All of the bytes.
    Bytes,
}

/// How much of a record is fetched ahead at most, in bytes.
const MAX_FETCHED: usize = 1 << 10;
/// Bytes of a line of the processor's cache, as a rule.
const LINE: usize = 64;
/// How many records tell whether those that come next are in memory.
const PROBED: usize = 4;

/// One segment, open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) salt: Salt,
    pub(crate) file: Arc<dyn DiskFile>,
    source: Source,
    name: String,
    /// Of what is mapped: which records were checked since it was opened.
    checked: Checked,
}

/// The name of a segment's file.
pub(crate) fn segment_name(number: u32) -> String {
    format!("log/{number:08}.seg")
}

/// The segment number that a file name in `log/` says.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let number = digits.parse().ok().filter(|number| *number >= 1)?;
    (format!("{number:08}") == digits).then_some(number)
}

/// The segment number that the name of an index in `log/` says.
pub(crate) fn index_number(name: &str) -> Option<u32> {
    segment_number(&format!("{}.seg", name.strip_suffix(".idx")?))
}

/// The numbers of the segments among the names in `log/`, in order.
pub(crate) fn segment_numbers(names: &[String]) -> Vec<u32> {
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether a name in `log/` is one that the log gives: a segment's, or of something derived, finished or not.
pub(crate) fn is_own_name(name: &str) -> bool {
    let finished = name.strip_suffix(".new").unwrap_or(name);
    let is_number = |digits: &str| digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    match finished.rsplit_once('.') {
        Some((number, "seg" | "idx")) => is_number(number),
        Some((run, "dir")) => run.split_once('-').is_some_and(|(first, last)| is_number(first) && is_number(last)),
        _ => false,
    }
}

impl Segment {
    /// Opens the file of segment `number`; `mapped_len` says how much of it to map, `None` to read it with pread.
    pub(crate) fn open(
        disk: &dyn Disk,
        number: u32,
        write: bool,
        mapped_len: Option<usize>,
    ) -> Result<Arc<Self>, OpenError> {
        let name = segment_name(number);
        let opened = open_file(disk, &name, write, mapped_len.is_some())?;
        let packed = match &opened {
            SegmentFile::Packed(packed) => Some(packed.clone()),
            SegmentFile::Plain(_) => None,
        };
        let file = opened.into_plain();
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let found = file.read_up_to(0, &mut bytes).map_err(ReadError::io(&name))?;
        let corrupt = |what| ReadError::Corrupt { file: name.clone(), offset: 0, what };
        let header = match SegmentHeader::decode(bytes.get(..found).unwrap_or_default()) {
            Ok(header) if header.number == number => header,
            Ok(_) => return Err(corrupt("the header is of another segment").into()),
            Err(BadHeader::Newer(found)) => {
                return Err(OpenError::NewerFormat { file: name, found, known: PACKED_VERSION });
            }
            Err(BadHeader::Bad(what)) => return Err(corrupt(what).into()),
        };
        let source = match (packed, mapped_len) {
            (Some(packed), _) => Source::Packed(packed),
            (None, Some(length)) => Source::Map(file.map(length).map_err(ReadError::io(&name))?),
            (None, None) => Source::File(Growing::default()),
        };
        let salt = Salt::new(header.salt);
        Ok(Arc::new(Self { header, salt, file, source, name, checked: Checked::default() }))
    }

    /// A file as the segment that `header` says: one that was just created, or whatever its name, where salvage found it.
    pub(crate) fn of_file(name: String, file: Arc<dyn DiskFile>, header: SegmentHeader) -> Arc<Self> {
        let salt = Salt::new(header.salt);
        Arc::new(Self {
            header,
            salt,
            file,
            source: Source::File(Growing::default()),
            name,
            checked: Checked::default(),
        })
    }

    /// Has what stands in an active segment mapped, too.
    pub(crate) fn map_as_it_grows(&self) {
        if let Source::File(growing) = &self.source {
            growing.want();
        }
    }

    /// States up to where an active segment is durable.
    pub(crate) fn set_durable(&self, end: u32) {
        if let Source::File(growing) = &self.source {
            growing.set_durable(end);
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.header.number
    }

    /// Its file, where it is packed: nothing is ever written to it.
    pub(crate) fn packed(&self) -> Option<&PackedFile> {
        match &self.source {
            Source::Packed(packed) => Some(packed),
            _ => None,
        }
    }

    pub(crate) fn corrupt(&self, offset: u32, what: &'static str) -> ReadError {
        ReadError::Corrupt { file: self.name.clone(), offset: u64::from(offset), what }
    }

    pub(crate) fn io(&self, error: std::io::Error) -> ReadError {
        if let Some(DamagedPage { offset, .. }) = error.get_ref().and_then(|error| error.downcast_ref()) {
            return self.corrupt(*offset, PAGE_DAMAGED);
        }
        ReadError::io(&self.name)(error)
    }

    /// The record at `offset`, checked: its header, and where in the window its body is. Nothing at or after `end` is
    /// looked at.
    #[inline]
    pub(crate) fn find_record(
        &self,
        offset: u32,
        end: u32,
        window: &mut Window,
    ) -> Result<(RecordHeader, Range<usize>), ReadError> {
        let at = offset as usize;
        // Nearly always: in the map that the window holds, and checked before.
        if window.is_map
            && window.segment == self.number()
            && let Some(header) = window.bytes.get(at..).and_then(RecordHeader::decode)
            && at + header.record_len() <= window.bytes.len().min(end as usize)
            && self.checked.holds(offset)
        {
            return Ok((header, at + RECORD_HEADER_LEN..at + header.record_len()));
        }
        self.check_record(offset, end, window)
    }

    fn check_record(
        &self,
        offset: u32,
        end: u32,
        window: &mut Window,
    ) -> Result<(RecordHeader, Range<usize>), ReadError> {
        let beyond = || self.corrupt(offset, "a record reaches beyond the end of the log");
        let at = offset as usize;
        if at + RECORD_HEADER_LEN > end as usize {
            return Err(beyond());
        }
        self.reach(at..at + RECORD_HEADER_LEN, end, window, Wanted::Record)?;
        let header = window.from(at).and_then(RecordHeader::decode).ok_or_else(beyond)?;
        let record = at..at + header.record_len();
        if record.end > end as usize {
            return Err(beyond());
        }
        self.reach(record.clone(), end, window, Wanted::Record)?;
        let in_window = record.start - window.start..record.end - window.start;
        // What is packed doesn't change either, and each page is checked whenever it is read from a file.
        let is_constant = window.is_map || self.packed().is_some();
        if !(is_constant && self.checked.holds(offset)) {
            self.check(offset, window.bytes.get(in_window.clone()).unwrap_or_default())?;
            if is_constant {
                self.checked.add(offset);
            }
        }
        Ok((header, in_window.start + RECORD_HEADER_LEN..in_window.end))
    }

    /// As [`find_record`](Self::find_record), its body shared.
    pub(crate) fn record(
        &self,
        offset: u32,
        end: u32,
        window: &mut Window,
    ) -> Result<(RecordHeader, Bytes), ReadError> {
        let (header, body) = self.find_record(offset, end, window)?;
        Ok((header, window.bytes.slice(body)))
    }

    fn check(&self, offset: u32, record: &[u8]) -> Result<(), ReadError> {
        if planted(Bug::RecordUnchecked) {
            return Ok(());
        }
        check_record(record, &self.salt).map(drop).map_err(|what| self.corrupt(offset, what))
    }

    /// `length` bytes from `at`, unchecked; short reads are errors.
    pub(crate) fn slice(&self, at: usize, length: usize, end: u32, window: &mut Window) -> Result<Bytes, ReadError> {
        self.reach(at..at.saturating_add(length), end, window, Wanted::Bytes)?;
        Ok(window.bytes.slice(at - window.start..at - window.start + length))
    }

    /// Has the memory behind some records, of about `length` bytes each, fetched together as far as it is mapped, which takes
    /// a fraction of the time of one after the other. Where the first of them have to come from the disk, the others are
    /// asked for all at once.
    pub(crate) fn fetch(&self, offsets: impl Iterator<Item = u32> + Clone, length: usize) {
        let grown;
        let map = match &self.source {
            Source::Packed(packed) => return packed.fetch(offsets),
            Source::Map(map) => map,
            Source::File(growing) => {
                grown = growing.mapped();
                &grown
            }
        };
        if map.is_empty() {
            return;
        }
        let length = length.min(MAX_FETCHED);
        // Of each line a byte, of the last one the last; and the bit that says whether the record was checked.
        let touch = |offset: u32| {
            let (at, end) = (offset as usize, map.len().min(offset as usize + length));
            let (lines, rest) = map.get(at..end).unwrap_or_default().as_chunks::<LINE>();
            let first = rest.first().copied().unwrap_or_default();
            let last = end.checked_sub(1).and_then(|last| map.get(last)).copied().unwrap_or_default();
            let touched = lines.iter().fold(first ^ last, |all, line| all ^ line[0]);
            std::hint::black_box((touched, self.checked.holds(offset)));
        };
        let mut first = offsets.clone().take(PROBED);
        if first.clone().any(|offset| !self.checked.holds(offset)) {
            let waits = self.file.waits();
            first.by_ref().for_each(touch);
            if self.file.waits() != waits {
                for offset in offsets.clone().skip(PROBED) {
                    self.file.will_need(offset as usize..offset as usize + length);
                }
            }
        }
        offsets.for_each(touch);
    }

    /// Has a stretch read that will be needed as a whole.
    pub(crate) fn read_ahead(&self, from: u32, to: u32) {
        // Offsets in a packed file are others.
        if self.packed().is_none() {
            self.file.will_need(from as usize..to as usize);
        }
    }

    /// Moves the window to where it holds the bytes `wanted`, unless it does already; short reads are errors.
    #[inline]
    fn reach(&self, wanted: Range<usize>, end: u32, window: &mut Window, what: Wanted) -> Result<(), ReadError> {
        if window.holds(self.number(), &wanted) { Ok(()) } else { self.move_window(wanted, end, window, what) }
    }

    fn move_window(&self, wanted: Range<usize>, end: u32, window: &mut Window, what: Wanted) -> Result<(), ReadError> {
        let at = wanted.start;
        let short = || self.corrupt(at.min(u32::MAX as usize) as u32, "the file is shorter than the log says");
        let map = match &self.source {
            Source::Map(map) if wanted.end <= map.len() => Some(map.clone()),
            Source::Map(_) => return Err(short()),
            Source::File(growing) => growing.map(&*self.file, wanted.end),
            Source::Packed(packed) if wanted.end > packed.plain_len() => return Err(short()),
            Source::Packed(packed) => {
                // Who reads what comes next gets the whole page.
                let is_next = window.is_followed_by(self.number(), at);
                let to = if is_next { wanted.end.max((at / PAGE + 1) * PAGE) } else { wanted.end };
                let unpacked = match what == Wanted::Record && self.checked.holds(at as u32) && !is_next {
                    true => packed.unpack_unsealed(at, to),
                    false => packed.unpack(at, to),
                }
                .map_err(|error| self.io(error))?;
                let (start, bytes) = (unpacked.start, Bytes::from(unpacked.bytes));
                *window = Window { segment: self.number(), start, bytes, is_map: false };
                return Ok(());
            }
        };
        if let Some(bytes) = map {
            *window = Window { segment: self.number(), start: 0, bytes, is_map: true };
            return Ok(());
        }
        // Read ahead only where the reads so far went forward.
        let ahead = if window.precedes(self.number(), at) { 256 << 10 } else { 8 << 10 };
        let to = wanted.end.max(at.saturating_add(ahead).min(end as usize));
        let mut bytes = vec![0; to.saturating_sub(at)];
        let found = self.file.read_up_to(at as u64, &mut bytes).map_err(|error| self.io(error))?;
        bytes.truncate(found);
        if found < wanted.len() {
            return Err(short());
        }
        *window = Window { segment: self.number(), start: at, bytes: Bytes::from(bytes), is_map: false };
        Ok(())
    }
}

/// What a reader has in hand of one segment: all that is mapped of it, or the last block that was read with pread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    segment: u32,
    start: usize,
    bytes: Bytes,
    is_map: bool,
}

impl Window {
    #[inline]
    fn holds(&self, segment: u32, wanted: &Range<usize>) -> bool {
        self.segment == segment && wanted.start >= self.start && wanted.end <= self.start + self.bytes.len()
    }

    /// What it holds from `at` of the segment on.
    #[inline]
    fn from(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(at.checked_sub(self.start)?..)
    }

    /// What it holds.
    #[inline]
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether a record at `at` is the next one, or begins the next frame.
    fn is_followed_by(&self, segment: u32, at: usize) -> bool {
        let end = self.start + self.bytes.len();
        self.segment == segment && (end..=end + 64).contains(&at)
    }

    /// Whether `at` is near the end of a block that was read: the reader goes forward.
    fn precedes(&self, segment: u32, at: usize) -> bool {
        let end = self.start + self.bytes.len();
        self.segment == segment && !self.is_map && at >= self.start && at <= end + (64 << 10)
    }
}
