//! The `.idx` file of a segment: a function of that segment alone, mapped, rebuilt when missing or damaged.
//!
//! A header of 256 bytes, then sections of fixed-size rows (see [`Sections`]); `docs/design.md` draws it.

mod encode;
mod frames;
mod rows;

use std::ops::Range;
use std::sync::Arc;

use frames::FramesOf;
use rows::millis_after;
pub(crate) use rows::{StreamRow, Summary};

use super::checked_file::{CheckedFile, CheckedWriter, Healer, Section};
use super::memory::{FrameEntry, MemoryIndex, RoomEntry};
use crate::log::ReadError;
use crate::log::format::Reader;
use crate::storage::Disk;

const MAGIC: &[u8; 8] = b"ATLASIX2";
const HEADER: usize = 256;
/// The most kinds that two bytes can number.
const NARROW: usize = 1 << 16;

/// The sections, in the order of their entries in the header.
#[derive(Clone, Copy, Debug, Default)]
struct Sections {
    /// u32: offset of each event.
    offsets: Section,
    /// u16, or u32 where there are more kinds than that: index into `kinds` of each event.
    event_kinds: Section,
    /// 16: offset u32, first ordinal u32, recorded_at i64.
    frames: Section,
    /// 8: scope symbol, type symbol.
    kinds: Section,
    /// u32: offset of each symbol.
    symbols: Section,
    /// 48: see [`StreamRow`].
    streams: Section,
    /// u64, sorted: upper half of a stream's hash, number of its row.
    stream_table: Section,
    /// 8, stream by stream: ordinal, offset. An offset stands here once more, as the events of a stream are read together.
    postings: Section,
    /// 16, stream by stream, by version: version u64, CRC of the fold's name u32, offset u32.
    keyframes: Section,
    /// u64, sorted: upper half of an id's hash, ordinal.
    ids: Section,
    /// u64, sorted: upper half of a correlation id's hash, ordinal.
    correlations: Section,
    /// u64, sorted: upper half of a causation id's hash, ordinal.
    causations: Section,
    /// 8, by offset: offset u32, kind u32.
    rooms: Section,
    /// u64, sorted: upper half of a key's hash, number of its row in `rooms`.
    room_table: Section,
    /// u64, sorted: hashes by which the directory finds this segment.
    far_keys: Section,
}

impl Sections {
    fn fields(&mut self) -> [&mut Section; 15] {
        [
            &mut self.offsets,
            &mut self.event_kinds,
            &mut self.frames,
            &mut self.kinds,
            &mut self.symbols,
            &mut self.streams,
            &mut self.stream_table,
            &mut self.postings,
            &mut self.keyframes,
            &mut self.ids,
            &mut self.correlations,
            &mut self.causations,
            &mut self.rooms,
            &mut self.room_table,
            &mut self.far_keys,
        ]
    }

    /// Whether each lies within `data` bytes. Rows of the second have 2 bytes or 4.
    fn fit(&mut self, data: u64) -> bool {
        const ROWS: [u64; 15] = [4, 2, 16, 8, 4, 48, 8, 8, 16, 8, 8, 8, 8, 8, 8];
        let end = |section: &Section, row: u64| section.offset.saturating_add(u64::from(section.count) * row);
        self.fields().iter().zip(ROWS).all(|(section, row)| end(section, row) <= data)
    }
}

/// An open `.idx` file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    file: CheckedFile,
    sections: Sections,
    pub(crate) summary: Summary,
}

/// The name of a segment's index.
pub(crate) fn index_name(segment: u32) -> String {
    format!("log/{segment:08}.idx")
}

impl FrameEntry {
    fn decode(row: &[u8; 16]) -> Option<Self> {
        let mut fields = Reader::new(row);
        Some(Self { offset: fields.u32()?, first_ordinal: fields.u32()?, recorded_at: fields.i64()? })
    }
}

impl IndexFile {
    /// Writes the index of a whole segment and opens it.
    pub(crate) fn write(
        disk: &dyn Disk,
        segment: u32,
        store_id: [u8; 16],
        index: &MemoryIndex,
    ) -> Result<Arc<Self>, ReadError> {
        let name = index_name(segment);
        let mut file = CheckedWriter::create(disk, &name)?;
        file.put(&Self::encode(segment, store_id, index))?;
        file.finish(MAGIC)?;
        Self::open(disk, segment, store_id)
    }

    /// Opens the index of a segment of this store.
    pub(crate) fn open(disk: &dyn Disk, segment: u32, store_id: [u8; 16]) -> Result<Arc<Self>, ReadError> {
        Self::of_file(CheckedFile::open(disk, &index_name(segment), MAGIC)?, segment, store_id)
    }

    /// The index of a whole segment without a file on the disk.
    pub(crate) fn in_memory(segment: u32, store_id: [u8; 16], index: &MemoryIndex) -> Result<Arc<Self>, ReadError> {
        let data = Self::encode(segment, store_id, index);
        Self::of_file(CheckedFile::in_memory(&index_name(segment), data), segment, store_id)
    }

    fn of_file(file: CheckedFile, segment: u32, store_id: [u8; 16]) -> Result<Arc<Self>, ReadError> {
        let header = file.get(0, HEADER.min(file.len()))?;
        let mut fields = Reader::new(header);
        let decoded = (|| {
            let summary = Summary::decode(&mut fields)?;
            let found: [u8; 16] = fields.array()?;
            let mut sections = Sections::default();
            for section in sections.fields() {
                *section = Section { offset: u64::from(fields.u32()?), count: fields.u32()? };
            }
            let fits = sections.fit(file.len() as u64) && sections.offsets.count == summary.events;
            fits.then_some((summary, found, sections))
        })();
        match decoded {
            Some((summary, found, sections)) if summary.segment == segment && found == store_id => {
                Ok(Arc::new(Self { file, sections, summary }))
            }
            _ => Err(file.corrupt(0, "the index is of another segment or store, or its sections don't fit")),
        }
    }

    /// Checks every block.
    pub(crate) fn check_all(&self) -> Result<(), ReadError> {
        self.file.check_all()
    }

    /// States who makes the file anew where a block is damaged.
    pub(crate) fn set_healer(&self, healer: Healer) {
        self.file.set_healer(healer);
    }

    pub(crate) fn into_file(self) -> CheckedFile {
        self.file
    }

    /// Whether the file says, byte for byte, what the segment says.
    pub(crate) fn says(&self, store_id: [u8; 16], index: &MemoryIndex) -> Result<bool, ReadError> {
        let data = Self::encode(self.summary.segment, store_id, index);
        Ok(data.len() == self.file.len() && self.file.get(0, data.len())? == data)
    }

    pub(crate) fn offset(&self, ordinal: u32) -> Result<u32, ReadError> {
        self.sections.offsets.u32(&self.file, ordinal)
    }

    /// Offsets of some events next to each other.
    pub(crate) fn offsets(&self, ordinals: Range<u32>) -> Result<&[[u8; 4]], ReadError> {
        self.sections.offsets.rows(&self.file, ordinals)
    }

    /// The scope and type symbols of an event.
    pub(crate) fn kind_of(&self, ordinal: u32) -> Result<(u32, u32), ReadError> {
        self.kind(self.kind_number(ordinal)?)
    }

    /// Index into the kinds of an event.
    pub(crate) fn kind_number(&self, ordinal: u32) -> Result<u32, ReadError> {
        if self.kinds() as usize > NARROW {
            return self.sections.event_kinds.u32(&self.file, ordinal);
        }
        Ok(u32::from(u16::from_le_bytes(self.sections.event_kinds.row(&self.file, ordinal)?)))
    }

    pub(crate) fn kinds(&self) -> u32 {
        self.sections.kinds.count
    }

    pub(crate) fn kind(&self, number: u32) -> Result<(u32, u32), ReadError> {
        let row = self.sections.kinds.u64(&self.file, number)?;
        Ok((row as u32, (row >> 32) as u32))
    }

    pub(crate) fn symbol_offset(&self, symbol: u32) -> Result<u32, ReadError> {
        self.sections.symbols.u32(&self.file, symbol.wrapping_sub(1))
    }

    pub(crate) fn frames(&self) -> u32 {
        self.sections.frames.count
    }

    pub(crate) fn frame(&self, number: u32) -> Result<FrameEntry, ReadError> {
        let row: [u8; 16] = self.sections.frames.row(&self.file, number)?;
        FrameEntry::decode(&row).ok_or_else(|| self.file.corrupt(0, "a frame's row is cut short"))
    }

    /// The number of the last frame for which `before` holds, where it holds for a front part of the frames.
    fn last_frame(&self, before: impl Fn(&FrameEntry) -> bool) -> Result<u32, ReadError> {
        /// Rows that are looked at together at the end: a file's block is checked, and found, once for all of them.
        const TOGETHER: u32 = 128;
        let (mut low, mut high) = (0, self.frames());
        while high - low > TOGETHER {
            let middle = low + (high - low) / 2;
            if before(&self.frame(middle)?) { low = middle + 1 } else { high = middle }
        }
        let rows: &[[u8; 16]] = self.sections.frames.rows(&self.file, low..high)?;
        let found = rows.partition_point(|row| FrameEntry::decode(row).is_some_and(|frame| before(&frame)));
        Ok((low + found as u32).wrapping_sub(1))
    }

    /// Looks frames up for events that come in ascending order.
    pub(crate) fn frames_of(&self) -> FramesOf<'_> {
        FramesOf::new(self)
    }

    /// The frame that holds the record at `offset`.
    pub(crate) fn frame_at(&self, offset: u32) -> Result<FrameEntry, ReadError> {
        self.frame(self.last_frame(|frame| frame.offset <= offset)?)
    }

    pub(crate) fn streams(&self) -> u32 {
        self.sections.streams.count
    }

    pub(crate) fn stream(&self, number: u32) -> Result<StreamRow, ReadError> {
        let row: [u8; 48] = self.sections.streams.row(&self.file, number)?;
        StreamRow::decode(&row).ok_or_else(|| self.file.corrupt(0, "a stream's row is cut short"))
    }

    fn hashed(&self, table: Section, hash: u64) -> Result<Matches<'_>, ReadError> {
        let next = table.lower_bound(&self.file, hash & !0xffff_ffff, |row: &[u8; 8]| u64::from_le_bytes(*row))?;
        Ok(Matches { file: &self.file, table, next, upper: (hash >> 32) as u32 })
    }

    /// Numbers of streams that may have this hash.
    pub(crate) fn streams_hashed(&self, hash: u64) -> Result<Matches<'_>, ReadError> {
        self.hashed(self.sections.stream_table, hash)
    }

    /// Ordinals of events whose id may have this hash.
    pub(crate) fn ids_hashed(&self, hash: u64) -> Result<Matches<'_>, ReadError> {
        self.hashed(self.sections.ids, hash)
    }

    /// Ordinals of events whose correlation id may have this hash.
    pub(crate) fn correlations_hashed(&self, hash: u64) -> Result<Matches<'_>, ReadError> {
        self.hashed(self.sections.correlations, hash)
    }

    /// Ordinals of events whose causation id may have this hash.
    pub(crate) fn causations_hashed(&self, hash: u64) -> Result<Matches<'_>, ReadError> {
        self.hashed(self.sections.causations, hash)
    }

    /// Numbers of records of other rooms whose key may have this hash.
    pub(crate) fn rooms_hashed(&self, hash: u64) -> Result<Matches<'_>, ReadError> {
        self.hashed(self.sections.room_table, hash)
    }

    /// Ordinals and offsets of some of a stream's events, by their number among its events here.
    pub(crate) fn postings(
        &self,
        row: &StreamRow,
        numbers: Range<u32>,
    ) -> Result<impl Iterator<Item = (u32, u32)> + '_, ReadError> {
        let at = |number: u32| row.first_posting.saturating_add(number);
        let rows: &[[u8; 8]] = self.sections.postings.rows(&self.file, at(numbers.start)..at(numbers.end))?;
        Ok(rows.iter().map(|row| {
            let row = u64::from_le_bytes(*row);
            (row as u32, (row >> 32) as u32)
        }))
    }

    /// A stream's keyframes here, by version: rows of [`KeyframeEntry`].
    pub(crate) fn keyframes(&self, row: &StreamRow) -> Result<&[[u8; 16]], ReadError> {
        let numbers = row.first_keyframe..row.first_keyframe.saturating_add(row.keyframes);
        self.sections.keyframes.rows(&self.file, numbers)
    }

    pub(crate) fn rooms(&self) -> u32 {
        self.sections.rooms.count
    }

    pub(crate) fn room(&self, number: u32) -> Result<RoomEntry, ReadError> {
        let row = self.sections.rooms.u64(&self.file, number)?;
        Ok(RoomEntry { hash: 0, offset: row as u32, kind: (row >> 32) as u8 })
    }

    /// The first record of another room at or after `offset`.
    pub(crate) fn room_from(&self, offset: u32) -> Result<u32, ReadError> {
        let (mut low, mut high) = (0, self.rooms());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.room(middle)?.offset < offset { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    pub(crate) fn far_keys(&self) -> u32 {
        self.sections.far_keys.count
    }

    pub(crate) fn far_key(&self, number: u32) -> Result<u64, ReadError> {
        self.sections.far_keys.u64(&self.file, number)
    }
}

/// The numbers behind one hash in a sorted table.
pub(crate) struct Matches<'a> {
    file: &'a CheckedFile,
    table: Section,
    next: u32,
    upper: u32,
}

impl Iterator for Matches<'_> {
    type Item = Result<u32, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.table.count {
            return None;
        }
        match self.table.u64(self.file, self.next) {
            Ok(row) if (row >> 32) as u32 == self.upper => {
                self.next += 1;
                Some(Ok(row as u32))
            }
            Ok(_) => None,
            Err(error) => {
                self.next = self.table.count;
                Some(Err(error))
            }
        }
    }
}
