//! A packed segment's file, opened: as a file it reads like the plain segment.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::page::{Page, is_whole, span, touch_front, touch_row};
use super::{HEAD_DAMAGED, PAGE, PAGE_DAMAGED, lz4};
use crate::log::format::{BadHeader, PACKED_VERSION, Reader, SEGMENT_HEADER_LEN, Salt, SegmentHeader, put_u32};
use crate::log::segment::segment_name;
use crate::log::{MAX_FRAME, ReadError};
use crate::storage::{Disk, DiskFile, FileIdentity};
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Ends a packed file, behind the length of the head.
const MAGIC: [u8; 4] = *b"PACK";
/// Bytes of length and magic.
const TRAILER_LEN: usize = 8;
/// Bytes of a head up to its dictionary.
const FIXED_LEN: usize = SEGMENT_HEADER_LEN + 8;
/// A dictionary is never longer.
const MAX_DICTIONARY: usize = 64 << 10;

/// What a packed file says of itself.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) header: SegmentHeader,
    pub(super) plain_len: u32,
    pub(super) dictionary: Bytes,
    /// Where each page begins, and the last one ends.
    pub(super) table: Bytes,
}

pub(super) fn pages_of(plain_len: u32) -> usize {
    (plain_len as usize).div_ceil(PAGE)
}

impl Head {
    /// Bytes of the head of a segment with this many plain bytes.
    pub(super) fn len_for(plain_len: u32, dictionary: usize) -> usize {
        FIXED_LEN + dictionary + 4 * (pages_of(plain_len) + 1) + 4
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode_version(PACKED_VERSION).to_vec();
        put_u32(&mut out, self.plain_len);
        put_u32(&mut out, self.dictionary.len() as u32);
        out.extend_from_slice(&self.dictionary);
        out.extend_from_slice(&self.table);
        let crc = Salt::new(self.header.salt).crc(&out);
        put_u32(&mut out, crc);
        out
    }

    /// What stands behind the head's copy.
    pub(super) fn trailer(head_len: usize) -> [u8; TRAILER_LEN] {
        let [a, b, c, d] = (head_len as u32).to_le_bytes();
        let [e, f, g, h] = MAGIC;
        [a, b, c, d, e, f, g, h]
    }

    /// The head that stands at `at`. `None`: it isn't whole.
    fn read(file: &dyn DiskFile, at: u64) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; FIXED_LEN];
        if file.read_up_to(at, &mut bytes)? < FIXED_LEN {
            return Ok(None);
        }
        let Some((header, sizes)) = bytes.split_at_checked(SEGMENT_HEADER_LEN) else { return Ok(None) };
        let mut fields = Reader::new(sizes);
        let (Ok(header), Some(plain_len), Some(dictionary)) =
            (SegmentHeader::decode_version(header, PACKED_VERSION), fields.u32(), fields.u32())
        else {
            return Ok(None);
        };
        let dictionary = dictionary as usize;
        let head_len = Self::len_for(plain_len, dictionary.min(MAX_DICTIONARY));
        if dictionary > MAX_DICTIONARY || file.len()?.saturating_sub(at) < head_len as u64 {
            return Ok(None);
        }
        bytes.resize(head_len, 0);
        file.read_exact_at(at, &mut bytes)?;
        let Some((covered, crc)) = bytes.split_last_chunk() else { return Ok(None) };
        if Salt::new(header.salt).crc(covered) != u32::from_le_bytes(*crc) {
            return Ok(None);
        }
        let bytes = Bytes::from(bytes);
        let table = FIXED_LEN + dictionary..head_len - 4;
        Ok(Some(Self { header, plain_len, dictionary: bytes.slice(FIXED_LEN..table.start), table: bytes.slice(table) }))
    }
}

/// Why plain bytes can't be had.
#[derive(Debug)]
pub(super) enum UnpackFailure {
    Io(io::Error),
    Damaged(DamagedPage),
}

/// A page is damaged.
#[derive(Clone, Copy, Debug, Error)]
#[error("{PAGE_DAMAGED}")]
pub(crate) struct DamagedPage {
    /// Where it begins in the plain segment.
    pub(crate) offset: u32,
    /// Up to where nothing can be read, from where that was tried.
    pub(crate) until: u32,
}

impl From<UnpackFailure> for io::Error {
    fn from(failure: UnpackFailure) -> Self {
        match failure {
            UnpackFailure::Io(error) => error,
            UnpackFailure::Damaged(page) => io::Error::new(io::ErrorKind::InvalidData, page),
        }
    }
}

fn damaged(page: usize) -> UnpackFailure {
    UnpackFailure::Damaged(DamagedPage { offset: (page * PAGE) as u32, until: 0 })
}

/// Plain bytes of rows next to each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) start: usize,
    pub(crate) bytes: Vec<u8>,
}

/// A packed segment's file.
#[derive(Debug)]
pub(crate) struct PackedFile {
    file: Arc<dyn DiskFile>,
    head: Head,
    salt: Salt,
    /// The whole file, where it is mapped.
    map: Option<Bytes>,
    /// Which pages of the map were checked since it was opened, a bit for each.
    checked: Box<[AtomicU64]>,
    /// What was read last as from a file.
    last: Mutex<Unpacked>,
    /// Whether one of the two heads is damaged, and where that begins in this file.
    damaged_head: Option<u64>,
}

impl PackedFile {
    /// Opens `file`, which is packed, mapped where wanted. `None`: neither head is whole.
    pub(super) fn open(file: Arc<dyn DiskFile>, is_mapped: bool) -> io::Result<Option<Self>> {
        let length = file.len()?;
        let front = Head::read(&*file, 0)?;
        let is_front = front.is_some();
        // That the copy is whole as well is for `verify` to say.
        let back = match copy_at(&*file, length)?.filter(|_| !is_front) {
            Some(at) => Head::read(&*file, at)?,
            None => None,
        };
        let Some(head) = front.or(back) else { return Ok(None) };
        let damaged_head = (!is_front).then_some(0);
        if damaged_head.is_some() {
            tracing::warn!(segment = head.header.number, "reads a packed segment by the copy of its damaged head");
        }
        let map = match is_mapped {
            true => Some(file.map(usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?)?),
            false => None,
        };
        let salt = Salt::new(head.header.salt);
        let checked = (0..pages_of(head.plain_len).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Some(Self { file, head, salt, map, checked, last: Mutex::default(), damaged_head }))
    }

    /// Where a head begins that is damaged, if one is; reads both.
    pub(crate) fn damaged_head(&self) -> io::Result<Option<u64>> {
        if self.damaged_head.is_some() {
            return Ok(self.damaged_head);
        }
        let end = self.page_at(pages_of(self.head.plain_len));
        let copy = copy_at(&*self.file, self.file.len()?)?.filter(|at| *at == end);
        let is_whole = match copy {
            Some(at) => Head::read(&*self.file, at)?.is_some(),
            None => false,
        };
        Ok((!is_whole).then_some(end))
    }

    fn page_at(&self, number: usize) -> u64 {
        let place = self.head.table.get(number * 4..).and_then(|rest| rest.first_chunk());
        place.map_or(0, |place| u64::from(u32::from_le_bytes(*place)))
    }

    /// Where the page begins, in the plain segment, that byte `at` of the file is in.
    #[cfg(feature = "simulation")]
    pub(crate) fn page_with(&self, at: u64) -> Option<u64> {
        let mut numbers = 0..pages_of(self.head.plain_len);
        let number = numbers.find(|number| (self.page_at(*number)..self.page_at(number + 1)).contains(&at))?;
        Some((number * PAGE) as u64)
    }

    /// The bytes of page `number`, checked.
    #[inline]
    fn page(&self, number: usize) -> Result<Cow<'_, [u8]>, UnpackFailure> {
        let (from, to) = (self.page_at(number), self.page_at(number + 1));
        let damaged = || damaged(number);
        let bit = 1 << (number % 64);
        let word = self.checked.get(number / 64).ok_or_else(damaged)?;
        let Some(map) = &self.map else {
            let end = self.file.len().map_err(UnpackFailure::Io)?;
            let length = to.checked_sub(from).filter(|_| to <= end).ok_or_else(damaged)?;
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            self.file.read_exact_at(from, &mut bytes).map_err(UnpackFailure::Io)?;
            return if is_whole(number as u32, &bytes, &self.salt) { Ok(bytes.into()) } else { Err(damaged()) };
        };
        let page = map.get(from as usize..to as usize).ok_or_else(damaged)?;
        if word.load(Ordering::Relaxed) & bit == 0 {
            if !is_whole(number as u32, page, &self.salt) {
                return Err(damaged());
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(page.into())
    }

    /// Has the memory fetched behind records that are unpacked next.
    pub(crate) fn fetch(&self, offsets: impl Iterator<Item = u32> + Clone) {
        let Some(map) = &self.map else { return };
        let page = |offset: u32| {
            let number = offset as usize / PAGE;
            map.get(self.page_at(number) as usize..self.page_at(number + 1) as usize).unwrap_or_default()
        };
        // All fronts first: what follows needs them, and waits for none of them alone.
        let fronts = offsets.clone().fold(0, |touched, offset| touched ^ touch_front(page(offset)));
        let rows = offsets.fold(fronts, |touched, offset| touched ^ touch_row(page(offset), offset as usize));
        std::hint::black_box(rows);
    }

    /// The length of the plain segment.
    pub(crate) fn plain_len(&self) -> usize {
        self.head.plain_len as usize
    }

    /// The page in which the row begins that covers `from`, with its number.
    #[inline]
    fn page_of(&self, from: usize) -> Result<(usize, Cow<'_, [u8]>), UnpackFailure> {
        let here = from / PAGE;
        for number in (0..=here).rev() {
            let page = match self.page(number) {
                // What begins before may reach beyond what is damaged.
                Err(UnpackFailure::Damaged(_)) if number == here => continue,
                page => page?,
            };
            match span(&page) {
                Some((first, _)) if number * PAGE + first > from => {}
                Some((_, end)) if number * PAGE + end > from => return Ok((number, page)),
                Some(_) => break,
                None => {}
            }
        }
        Err(damaged(here))
    }

    /// The rows from the one that covers `from` on, up to one that reaches `to` or the end of the segment. `from` is behind
    /// the segment header, and before the end.
    pub(crate) fn unpack(&self, from: usize, to: usize) -> io::Result<Unpacked> {
        self.rows_or_error(from, to, Some(&self.salt))
    }

    /// As [`unpack`](Self::unpack), but for the CRCs of records, which are zeros: for who has checked the record before.
    pub(crate) fn unpack_unsealed(&self, from: usize, to: usize) -> io::Result<Unpacked> {
        self.rows_or_error(from, to, None)
    }

    fn rows_or_error(&self, from: usize, to: usize, salt: Option<&Salt>) -> io::Result<Unpacked> {
        self.rows(from, to, salt).map_err(|failure| {
            match failure {
                UnpackFailure::Damaged(page) => {
                    let until = self.readable_after(usize::max(page.offset as usize, from) / PAGE);
                    UnpackFailure::Damaged(DamagedPage { until, ..page })
                }
                other => other,
            }
            .into()
        })
    }

    /// Where the first row begins behind a page, or the next damaged page does.
    fn readable_after(&self, page: usize) -> u32 {
        for number in page + 1..pages_of(self.head.plain_len) {
            match self.page(number).map(|page| span(&page)) {
                Ok(None) => {}
                Ok(Some((first, _))) => return (number * PAGE + first) as u32,
                Err(_) => return (number * PAGE) as u32,
            }
        }
        self.head.plain_len
    }

    fn rows(&self, from: usize, to: usize, salt: Option<&Salt>) -> Result<Unpacked, UnpackFailure> {
        let with = (salt, &self.head.dictionary[..]);
        let to = to.min(self.plain_len());
        let (mut number, mut bytes) = self.page_of(from)?;
        let mut unpacked: Option<Unpacked> = None;
        loop {
            let base = number * PAGE;
            let damaged = || damaged(number);
            if !bytes.is_empty() {
                let page = Page::decode(&bytes).ok_or_else(damaged)?;
                let row = if unpacked.is_none() { page.row_at(from.saturating_sub(base)) } else { 0 };
                let start = base + page.start(row);
                let unpacked = unpacked.get_or_insert(Unpacked { start, bytes: Vec::new() });
                if start > from && unpacked.bytes.is_empty() || start != unpacked.end() {
                    return Err(damaged());
                }
                for row in row..page.rows {
                    if unpacked.end() >= to {
                        break;
                    }
                    let most = (self.plain_len() - unpacked.end()).min(MAX_FRAME);
                    page.put_row(row, most, with, &mut unpacked.bytes).ok_or_else(damaged)?;
                }
            }
            match unpacked {
                Some(unpacked) if unpacked.end() >= to => return Ok(unpacked),
                _ if number + 1 == pages_of(self.head.plain_len) => return Err(damaged()),
                _ => number += 1,
            }
            bytes = self.page(number)?;
        }
    }

    fn read_header(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let header = self.head.header.encode();
        copy(header.get(offset..).unwrap_or_default(), buffer)
    }
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    to.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
}

/// Where the copy of the head begins, by the end of the file.
fn copy_at(file: &dyn DiskFile, length: u64) -> io::Result<Option<u64>> {
    let Some(at) = length.checked_sub(TRAILER_LEN as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER_LEN];
    if file.read_up_to(at, &mut trailer)? < TRAILER_LEN {
        return Ok(None);
    }
    let [a, b, c, d, magic @ ..] = trailer;
    Ok(at.checked_sub(u64::from(u32::from_le_bytes([a, b, c, d]))).filter(|_| magic == MAGIC))
}

/// Whether a file is a packed segment. Where its front is damaged, its end says so.
fn is_packed(file: &dyn DiskFile) -> io::Result<bool> {
    let mut header = [0; SEGMENT_HEADER_LEN];
    let found = file.read_up_to(0, &mut header)?;
    match SegmentHeader::decode(header.get(..found).unwrap_or_default()) {
        Ok(_) => Ok(false),
        Err(BadHeader::Newer(version)) => Ok(version == PACKED_VERSION),
        Err(BadHeader::Bad(_)) => match copy_at(file, file.len()?)? {
            Some(at) => Ok(Head::read(file, at)?.is_some()),
            None => Ok(false),
        },
    }
}

/// A segment's file.
#[derive(Debug)]
pub(crate) enum SegmentFile {
    Plain(Arc<dyn DiskFile>),
    Packed(Arc<PackedFile>),
}

impl SegmentFile {
    /// As a file that reads like the plain segment.
    pub(crate) fn into_plain(self) -> Arc<dyn DiskFile> {
        match self {
            Self::Plain(file) => file,
            Self::Packed(file) => file,
        }
    }
}

/// Opens a segment's file, whichever it is; a packed one mapped where wanted.
pub(crate) fn open_file(disk: &dyn Disk, name: &str, write: bool, is_mapped: bool) -> Result<SegmentFile, ReadError> {
    let io = |error| ReadError::io(name)(error);
    let file = disk.open(name, write).map_err(io)?;
    if !is_packed(&*file).map_err(io)? {
        return Ok(SegmentFile::Plain(file));
    }
    if !lz4::IS_BUILT_IN {
        return Err(ReadError::FeatureMissing { file: name.to_owned(), feature: "compression" });
    }
    match PackedFile::open(file, is_mapped).map_err(io)? {
        Some(packed) => Ok(SegmentFile::Packed(Arc::new(packed))),
        None => Err(ReadError::Corrupt { file: name.to_owned(), offset: 0, what: HEAD_DAMAGED }),
    }
}

/// A segment's file as one that reads like the plain segment; what is wrong with a packed one is an error of the disk.
pub(crate) fn open_plain(disk: &dyn Disk, name: &str) -> io::Result<Arc<dyn DiskFile>> {
    open_file(disk, name, false, false).map(SegmentFile::into_plain).map_err(|error| match error {
        ReadError::Io { source, .. } => {
            source.raw_os_error().map_or_else(|| source.kind().into(), io::Error::from_raw_os_error)
        }
        ReadError::Corrupt { what, .. } => io::Error::new(io::ErrorKind::InvalidData, what),
        other => io::Error::new(io::ErrorKind::Unsupported, other),
    })
}

/// Refuses packed segments among `numbers` where this build can't read them, without reading more than their headers. What
/// else is wrong with a segment is said when it is read.
pub(crate) fn check_built_in(disk: &dyn Disk, numbers: impl IntoIterator<Item = u32>) -> Result<(), ReadError> {
    if lz4::IS_BUILT_IN {
        return Ok(());
    }
    for number in numbers {
        if let Err(error @ ReadError::FeatureMissing { .. }) = open_file(disk, &segment_name(number), false, false) {
            return Err(error);
        }
    }
    Ok(())
}

impl Unpacked {
    pub(crate) fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "a packed segment is never written to"))
}

impl DiskFile for PackedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::from(self.head.plain_len))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.plain_len();
        let Some(offset) = usize::try_from(offset).ok().filter(|offset| *offset < end) else { return Ok(0) };
        if offset < SEGMENT_HEADER_LEN {
            return Ok(self.read_header(offset, buffer));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut last = self.last.lock();
        if !(last.start..last.end()).contains(&offset) {
            let page_end = (offset / PAGE + 1) * PAGE;
            *last = match self.rows(offset, page_end, Some(&self.salt)) {
                // What is damaged may come later.
                Err(UnpackFailure::Damaged(_)) => self.unpack(offset, offset + 1)?,
                rows => rows?,
            };
        }
        let from = last.bytes.get(offset - last.start..).unwrap_or_default();
        Ok(copy(from, buffer))
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<usize> {
        refused()
    }

    fn set_len(&self, _length: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        if length > self.plain_len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.read_exact_at(0, &mut bytes)?;
        Ok(bytes.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        self.file.identity()
    }
}
