//! What the log consists of at one moment: sealed segments, found through the directory, and the parts after them that
//! are indexed in memory. A view is immutable; readers take the current one and keep it as long as they read.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::derived::{Derived, NOT_CONTINUED, describes, scan_sealed};
use super::format::SegmentEnd;
use super::index::{Directory, IndexFile, KeyHash, StreamPlace, v7_micros};
use super::part::{Horizon, Part, SealedPart, StreamRef};
use super::segment::{Segment, segment_name};
use super::{Address, Loss, NEAR_MICROS, OpenError, Options, ReadError, ReadMode};
use crate::event::Scope;
use crate::planted::{Bug, planted};
use crate::storage::Disk;
use crate::sync::{Mutex, RwLock};

/// Opens sealed segments when they are first read, and keeps a bounded number open.
#[derive(Debug)]
pub(crate) struct SealedSegments {
    disk: Arc<dyn Disk>,
    store_id: [u8; 16],
    hash: KeyHash,
    read_mode: ReadMode,
    max_open: usize,
    /// Makes indexes and the directory.
    pub(crate) derived: Arc<Derived>,
    open: Mutex<OpenParts>,
}

#[derive(Debug, Default)]
struct OpenParts {
    parts: HashMap<u32, (Part, u64)>,
    clock: u64,
    /// How often a file was replaced by another.
    replaced: u64,
}

impl OpenParts {
    /// Takes in a part, and closes those that were used longest ago beyond `max`.
    fn insert(&mut self, number: u32, part: Part, max: usize) {
        while self.parts.len() >= max {
            let oldest = self.parts.iter().min_by_key(|(_, (_, used))| *used).map(|(number, _)| *number);
            match oldest.and_then(|number| self.parts.remove(&number)) {
                Some(_) => {}
                None => break,
            }
        }
        self.clock += 1;
        self.parts.insert(number, (part, self.clock));
    }
}

impl SealedSegments {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        store_id: [u8; 16],
        hash: KeyHash,
        options: &Options,
        may_write: bool,
    ) -> Self {
        let derived = Derived::new(disk.clone(), store_id, hash.clone(), may_write);
        let (read_mode, max_open) = (options.read_mode, options.max_open_segments);
        Self { disk, store_id, hash, read_mode, max_open, derived, open: Mutex::default() }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn hash(&self) -> &KeyHash {
        &self.hash
    }

    pub(crate) fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    /// Has an active segment mapped as it grows, where maps are used.
    pub(crate) fn map_active(&self, segment: &Segment) {
        if self.read_mode == ReadMode::Map {
            segment.map_as_it_grows();
        }
    }

    /// The sealed segment `number`, opened where it isn't yet.
    pub(crate) fn get(&self, number: u32) -> Result<Part, ReadError> {
        let replaced = {
            let mut open = self.open.lock();
            open.clock += 1;
            let now = open.clock;
            if let Some((part, used)) = open.parts.get_mut(&number) {
                *used = now;
                return Ok(part.clone());
            }
            open.replaced
        };
        let part = self.open(number)?;
        let mut open = self.open.lock();
        // Or a file might be kept open, and on the disk, that another stands in place of by now.
        if open.replaced == replaced {
            open.insert(number, part.clone(), self.max_open);
        }
        drop(open);
        Ok(part)
    }

    /// Opens a sealed segment with its index, which is made anew where there is none that is of this very segment.
    fn open(&self, number: u32) -> Result<Part, ReadError> {
        let part = match self.derived.open_index(number) {
            Ok(index) => {
                let segment = self.segment(number, Some(index.summary.end))?;
                let length = segment.file.len().map_err(|error| segment.io(error))?;
                // Of a clean close, after which the segment went on; or of another history of this store.
                let is_whole = length == u64::from(index.summary.end) || planted(Bug::ClosedIndexTrusted);
                let is_other = !is_whole || !describes(&index, &segment)?;
                if is_other {
                    self.indexed_anew(number)?
                } else {
                    Part::Sealed(Arc::new(SealedPart::new(segment, index)))
                }
            }
            Err(error) => {
                tracing::info!(%error, number, "rebuilds the index of a segment");
                self.indexed_anew(number)?
            }
        };
        self.check_next(&part)?;
        Ok(part)
    }

    /// Whether the segment after this one is the one that was created when this one was closed.
    pub(crate) fn check_next(&self, part: &Part) -> Result<(), ReadError> {
        // What is wrong with the next segment itself is found when that is read.
        let Ok(next) = self.segment(part.segment().number() + 1, None) else { return Ok(()) };
        let (last_crc, offset) = match part {
            Part::Sealed(part) => (part.index.summary.last_crc, part.index.summary.end),
            Part::Memory(memory) => (memory.index.read().last_crc, part.end(Horizon::Written)),
        };
        if next.header.before != (SegmentEnd { last_crc, offset }) {
            return Err(part.segment().corrupt(offset, NOT_CONTINUED));
        }
        Ok(())
    }

    /// Whether the segment before this one is the one that it continues, as far as that can be read; `recent` are the parts
    /// that the directory doesn't cover.
    pub(crate) fn check_before(&self, segment: &Segment, recent: &[Part]) -> Result<(), ReadError> {
        let Some(before) = segment.number().checked_sub(1).filter(|number| *number > 0) else { return Ok(()) };
        let part = match recent.last() {
            Some(part) => Ok(part.clone()),
            None => self.get(before),
        };
        match part.and_then(|part| self.check_next(&part)) {
            Err(error @ ReadError::Corrupt { .. }) => Err(error),
            // What is derived of it may have no room just now.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Opens the segment's file; mapped up to `end` where it is known and maps are used.
    pub(crate) fn segment(&self, number: u32, end: Option<u32>) -> Result<Arc<Segment>, ReadError> {
        let mapped_len = end.filter(|_| self.read_mode == ReadMode::Map).map(|end| end as usize);
        let corrupt = |offset, what| ReadError::Corrupt { file: segment_name(number), offset, what };
        let segment = Segment::open(self.disk(), number, false, mapped_len).map_err(|error| match error {
            OpenError::Read(ReadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                corrupt(u64::from(end.unwrap_or(0)), "the segment is shorter than its index says")
            }
            other => other.into_read(),
        })?;
        if segment.header.store_id != self.store_id {
            return Err(corrupt(16, "the segment is of another store"));
        }
        Ok(segment)
    }

    /// Scans a sealed segment and writes its index anew.
    pub(crate) fn rebuild(&self, number: u32) -> Result<(), ReadError> {
        let scan = scan_sealed(&*self.segment(number, None)?, self.hash.clone())?;
        self.derived.write_index(number, &scan.index).map(drop)
    }

    /// Scans a sealed segment and makes its index anew: on the disk if that takes it.
    pub(crate) fn indexed_anew(&self, number: u32) -> Result<Part, ReadError> {
        let scan = scan_sealed(&*self.segment(number, None)?, self.hash.clone())?;
        let segment = self.segment(number, Some(scan.index.end))?;
        let index = self.derived.write_or_keep_index(number, &scan.index)?;
        Ok(Part::Sealed(Arc::new(SealedPart::new(segment, index))))
    }

    /// Has a segment's file opened anew when it is next read: another stands in its place.
    pub(crate) fn close(&self, number: u32) {
        let mut open = self.open.lock();
        open.replaced += 1;
        open.parts.remove(&number);
    }

    /// Takes in a segment that was sealed just now.
    pub(crate) fn sealed(&self, index: Arc<IndexFile>) -> Result<(), ReadError> {
        let segment = self.segment(index.summary.segment, Some(index.summary.end))?;
        let part = Part::Sealed(Arc::new(SealedPart::new(segment.clone(), index)));
        self.open.lock().insert(segment.number(), part, self.max_open);
        Ok(())
    }
}

/// The log at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) sealed: Arc<SealedSegments>,
    pub(crate) directory: Arc<Directory>,
    /// The parts after the directory, oldest first; the last is the one that is appended to.
    pub(crate) recent: Vec<Part>,
    /// What is missing between the parts; nothing but where the log was salvaged.
    pub(crate) losses: Arc<[Loss]>,
}

/// A part that may hold a stream, or the directory's word that a segment may.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Recent(Part),
    Directory(StreamPlace),
    /// One that was looked up: it does.
    Found(Part, StreamRef),
}

impl View {
    /// How many parts there are.
    pub(crate) fn parts(&self) -> usize {
        self.directory.last() as usize + self.recent.len()
    }

    /// Part `number`, from 0, oldest first.
    pub(crate) fn part(&self, number: usize) -> Result<Option<Part>, ReadError> {
        let sealed = self.directory.last() as usize;
        match number.checked_sub(sealed) {
            Some(recent) => Ok(self.recent.get(recent).cloned()),
            None => self.sealed.get(number as u32 + 1).map(Some),
        }
    }

    /// The number of the part that holds `position`, or of the last.
    pub(crate) fn part_at_position(&self, position: u64) -> Result<usize, ReadError> {
        let sealed = self.directory.last() as usize;
        let after = self.recent.iter().rposition(|part| part.first_position() <= position);
        if let Some(recent) = after {
            // Empty parts begin at the same position as the one after them.
            return Ok(sealed + recent);
        }
        let first = self.directory.first_not(|summary| summary.next_position() <= position)?;
        Ok((first as usize - 1).min(self.parts().saturating_sub(1)))
    }

    /// The number of the first part that may hold something recorded at or after `micros`.
    pub(crate) fn part_recorded_from(&self, micros: i64) -> Result<usize, ReadError> {
        Ok(self.directory.first_not(|summary| summary.last_recorded < micros)? as usize - 1)
    }

    /// The number of the first part that holds something at or after `address`.
    pub(crate) fn part_at(&self, address: Address) -> usize {
        let sealed = self.directory.last() as usize;
        if address.segment() as usize <= sealed {
            return (address.segment() as usize).saturating_sub(1);
        }
        let at = self.recent.iter().rposition(|part| part.start() <= address);
        sealed + at.unwrap_or(0)
    }

    pub(crate) fn hash(&self) -> &KeyHash {
        &self.sealed.hash
    }

    /// The parts that hold a stream, newest first, each with what it holds.
    pub(crate) fn stream_parts_newest_first(
        &self,
        scope: &Scope,
        stream: &str,
        horizon: Horizon,
    ) -> impl Iterator<Item = Result<(Part, StreamRef), ReadError>> {
        let hash = self.hash().stream(scope, stream);
        let recent = self.recent.iter().rev().cloned().map(|part| Ok(Place::Recent(part)));
        let older = self.directory.newest_streams(hash).map(|place| place.map(Place::Directory));
        recent.chain(older).filter_map(move |place| {
            place.and_then(|place| self.stream_in(&place, hash, scope, stream, horizon)).transpose()
        })
    }

    /// Where a stream's events from version `from` on may be, oldest first.
    pub(crate) fn stream_places(
        &self,
        hash: u64,
        scope: &Scope,
        stream: &str,
        from: u64,
    ) -> Result<Vec<Place>, ReadError> {
        let mut places = self.directory.streams(hash)?;
        places.dedup_by_key(|place| place.segment);
        // The last that begins before `from` holds it, unless it is of another stream with the same hash.
        let mut needed = places.iter().rposition(|place| place.base_version < from).unwrap_or(0);
        while let Some(place) = places.get(needed).filter(|_| needed > 0) {
            let found = self.sealed.get(place.segment)?.find_stream(hash, scope, stream, Horizon::Durable)?;
            if found.is_some_and(|found| found.base_version < from) {
                break;
            }
            needed -= 1;
        }
        let older = places.into_iter().skip(needed).map(Place::Directory);
        Ok(older.chain(self.recent.iter().cloned().map(Place::Recent)).collect())
    }

    /// What a place holds of a stream.
    pub(crate) fn stream_in(
        &self,
        place: &Place,
        hash: u64,
        scope: &Scope,
        stream: &str,
        horizon: Horizon,
    ) -> Result<Option<(Part, StreamRef)>, ReadError> {
        let part = match place {
            Place::Recent(part) => part.clone(),
            Place::Directory(place) => self.sealed.get(place.segment)?,
            Place::Found(part, stream) => return Ok(Some((part.clone(), *stream))),
        };
        let found = part.find_stream(hash, scope, stream, horizon)?;
        Ok(found.map(|stream| (part, stream)))
    }

    /// Version and place of a stream: the newest version, and the newest segment that names it (0: none does).
    pub(crate) fn head(&self, scope: &Scope, stream: &str, horizon: Horizon) -> Result<(u64, u32), ReadError> {
        self.head_in(&self.recent, self.hash().stream(scope, stream), scope, stream, horizon)
    }

    fn head_in(
        &self,
        recent: &[Part],
        hash: u64,
        scope: &Scope,
        stream: &str,
        horizon: Horizon,
    ) -> Result<(u64, u32), ReadError> {
        let head_in = |part: &Part| -> Result<_, ReadError> {
            let found = part.find_stream(hash, scope, stream, horizon)?;
            Ok(found.map(|found| (found.version(), part.segment().number())))
        };
        for part in recent.iter().rev() {
            if let Some(head) = head_in(part)? {
                return Ok(head);
            }
        }
        for place in self.directory.newest_streams(hash) {
            if let Some(head) = head_in(&self.sealed.get(place?.segment)?)? {
                return Ok(head);
            }
        }
        Ok((0, 0))
    }

    /// The log without the part that is appended to: asking it takes no lock of that part.
    pub(crate) fn before_tail(&self) -> Self {
        let mut before = self.clone();
        before.recent.pop();
        before
    }

    /// As [`head`](Self::head), of everything that has its place in the log but stands before the part appended to;
    /// (0, 0) where that part knows the stream, as then what stands before doesn't matter.
    pub(crate) fn head_before_tail(&self, hash: u64, scope: &Scope, stream: &str) -> Result<(u64, u32), ReadError> {
        let (tail, before) = self.recent.split_last().unzip();
        if let Some(tail) = tail
            && tail.find_stream(hash, scope, stream, Horizon::Written)?.is_some()
        {
            return Ok((0, 0));
        }
        self.head_in(before.unwrap_or_default(), hash, scope, stream, Horizon::Written)
    }

    /// The number of the segment appended to.
    pub(crate) fn tail(&self) -> u32 {
        self.recent.last().map_or(0, |part| part.segment().number())
    }

    /// How many events that part holds.
    pub(crate) fn tail_events(&self) -> u32 {
        self.recent.last().map_or(0, |part| part.events(Horizon::Written))
    }

    /// The segments of the directory that may hold the event with `id`, newest first.
    fn id_segments(&self, id: Uuid) -> Result<Vec<u32>, ReadError> {
        if self.directory.last() == 0 {
            return Ok(Vec::new());
        }
        let mut segments = self.directory.keys(self.hash().id(id))?;
        if let Some(made_at) = v7_micros(id) {
            let from = self.directory.first_not(|s| s.last_recorded < made_at.saturating_sub(NEAR_MICROS))?;
            let to = self.directory.first_not(|s| s.first_recorded <= made_at.saturating_add(NEAR_MICROS))?;
            for segment in from..to {
                if self.directory.summary(segment)?.is_none_or(|summary| summary.may_hold_id_of(made_at)) {
                    segments.push(segment);
                }
            }
        }
        segments.sort_unstable_by(|a, b| b.cmp(a));
        segments.dedup();
        Ok(segments)
    }

    /// Whether any of these ids may have its place in the log. `false` is certain; each part in memory is asked for all of them
    /// at once.
    pub(crate) fn may_know(&self, ids: impl Iterator<Item = Uuid> + Clone) -> Result<bool, ReadError> {
        for part in self.recent.iter().rev() {
            let may = match part {
                Part::Memory(part) => part.index.read().holds_any(ids.clone()),
                Part::Sealed(part) => self.sealed_may_know(part, ids.clone())?,
            };
            if may {
                return Ok(true);
            }
        }
        for id in ids {
            if !self.id_segments(id)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sealed_may_know(&self, part: &SealedPart, ids: impl Iterator<Item = Uuid>) -> Result<bool, ReadError> {
        for id in ids {
            if part.index.ids_hashed(self.hash().id(id))?.next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the events with `id` are: part and ordinal; of one scope or of all.
    pub(crate) fn find_id(
        &self,
        scope: Option<&Scope>,
        id: Uuid,
        horizon: Horizon,
    ) -> Result<Vec<(Part, u32)>, ReadError> {
        let mut found: Vec<(Part, u32)> = Vec::new();
        let mut find_in = |part: &Part| -> Result<_, ReadError> {
            let ordinals = part.find_id(self.hash(), scope, id, horizon)?;
            found.extend(ordinals.into_iter().map(|ordinal| (part.clone(), ordinal)));
            Ok(scope.is_some() && !found.is_empty())
        };
        for part in self.recent.iter().rev() {
            if find_in(part)? {
                return Ok(found);
            }
        }
        for segment in self.id_segments(id)? {
            if find_in(&self.sealed.get(segment)?)? {
                break;
            }
        }
        Ok(found)
    }

    /// The parts that may hold what has this hash in the directory's keys, oldest first.
    pub(crate) fn keyed_parts(&self, hash: u64) -> Result<Vec<Part>, ReadError> {
        let mut parts = Vec::new();
        for segment in self.directory.keys(hash)? {
            parts.push(self.sealed.get(segment)?);
        }
        parts.extend(self.recent.iter().cloned());
        Ok(parts)
    }
}

/// The current view, and its one lock.
pub(crate) type CurrentView = RwLock<Arc<View>>;
