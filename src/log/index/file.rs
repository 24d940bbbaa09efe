//! The `.idx` file of a segment: a function of that segment alone, mapped, rebuilt when missing or damaged.
//!
//! A header of 256 bytes, then sections of fixed-size rows (see [`Sections`]); `docs/design.md` draws it.

mod encode;

use std::ops::Range;
use std::sync::Arc;

use super::checked_file::{CheckedFile, CheckedWriter, Healer, Section};
use super::memory::{FrameEntry, FrameOf, MemoryIndex, RoomEntry};
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

/// What a segment's index says of the whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) segment: u32,
    /// The index covers the segment up to here.
    pub(crate) end: u32,
    pub(crate) first_position: u64,
    pub(crate) events: u32,
    pub(crate) next_symbol: u32,
    /// CRC of the last frame covered.
    pub(crate) last_crc: u32,
    pub(crate) first_recorded: i64,
    pub(crate) last_recorded: i64,
    pub(crate) new_streams: u32,
    /// When its ids were made that are looked for by that: the first and the last, in milliseconds after `first_recorded`.
    pub(crate) near_ids: Option<(i32, i32)>,
}

/// A row of the stream section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamRow {
    pub(crate) hash: u64,
    pub(crate) base_version: u64,
    pub(crate) scope_symbol: u32,
    pub(crate) symbol: u32,
    pub(crate) previous_segment: u32,
    pub(crate) first_posting: u32,
    pub(crate) events: u32,
    pub(crate) first_keyframe: u32,
    pub(crate) keyframes: u32,
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
        let per_event = f64::from(self.frames()) / f64::from(self.summary.events.max(1));
        FramesOf { index: self, per_event, rows: &[], first: 0, found: None }
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

/// Which frames hold some events: rows next to each other are found, and checked, together, and each frame is guessed, as
/// frames hold about as many events each.
pub(crate) struct FramesOf<'a> {
    index: &'a IndexFile,
    per_event: f64,
    /// Rows of frames from `first` on.
    rows: &'a [[u8; 16]],
    first: u32,
    found: Option<FrameOf>,
}

/// How many rows of frames are looked at together, at most: as many as are in a block.
const FRAMES_TOGETHER: u32 = 256;

fn first_ordinal(row: &[u8; 16]) -> u32 {
    let [_, _, _, _, a, b, c, d, ..] = *row;
    u32::from_le_bytes([a, b, c, d])
}

impl FramesOf<'_> {
    /// When the event with `ordinal` was recorded.
    #[inline]
    pub(crate) fn recorded_at(&mut self, ordinal: u32) -> Result<i64, ReadError> {
        match &self.found {
            Some(found) if found.holds(ordinal) => Ok(found.recorded_at),
            _ => self.find(ordinal),
        }
    }

    fn find(&mut self, ordinal: u32) -> Result<i64, ReadError> {
        let found = match self.in_rows(ordinal) {
            Some(found) => found,
            None => {
                let number = self.index.last_frame(|frame| frame.first_ordinal <= ordinal)?;
                let after = self.index.frames().min(number.saturating_add(FRAMES_TOGETHER));
                self.rows = self.index.sections.frames.rows(&self.index.file, number..after)?;
                self.first = number;
                let none = || self.index.file.corrupt(0, "an event without a frame");
                self.in_rows(ordinal).ok_or_else(none)?
            }
        };
        self.found = Some(found);
        Ok(found.recorded_at)
    }

    fn in_rows(&self, ordinal: u32) -> Option<FrameOf> {
        let near = self.found.map_or(0, |found| found.number.saturating_sub(self.first) as usize);
        let row = self.rows.get(near)?;
        let ahead = f64::from(ordinal) - f64::from(first_ordinal(row));
        let mut at = (near + (ahead * self.per_event) as usize).min(self.rows.len() - 1);
        while first_ordinal(self.rows.get(at)?) > ordinal {
            at = at.checked_sub(1)?;
        }
        while let Some(next) = self.rows.get(at + 1)
            && first_ordinal(next) <= ordinal
        {
            at += 1;
        }
        let number = self.first + at as u32;
        let next = match self.rows.get(at + 1) {
            Some(next) => first_ordinal(next),
            None if number + 1 == self.index.frames() => self.index.summary.events,
            // The frame may be a later one.
            None => return None,
        };
        let frame = FrameEntry::decode(self.rows.get(at)?)?;
        Some(FrameOf { number, recorded_at: frame.recorded_at, ordinals: (frame.first_ordinal, next) })
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

/// Milliseconds from one time to another, both in microseconds; what doesn't fit is the nearest that does.
fn millis_after(from: i64, micros: i64) -> i32 {
    let millis = micros.saturating_sub(from).div_euclid(1_000);
    i32::try_from(millis).unwrap_or(if millis < 0 { i32::MIN } else { i32::MAX })
}

impl Summary {
    pub(crate) const LEN: usize = 56;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        for number in [self.segment, self.end, self.events, self.next_symbol, self.last_crc, self.new_streams] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.first_position.to_le_bytes());
        out.extend_from_slice(&self.first_recorded.to_le_bytes());
        out.extend_from_slice(&self.last_recorded.to_le_bytes());
        // An empty range where there are none.
        let (first, last) = self.near_ids.unwrap_or((0, -1));
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out
    }

    pub(crate) fn decode(fields: &mut Reader<'_>) -> Option<Self> {
        let (segment, end, events) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (next_symbol, last_crc, new_streams) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let first_position = fields.u64()?;
        let (first_recorded, last_recorded) = (fields.i64()?, fields.i64()?);
        let range = (i32::from_le_bytes(fields.array()?), i32::from_le_bytes(fields.array()?));
        Some(Self {
            near_ids: Some(range).filter(|(first, last)| first <= last),
            segment,
            end,
            first_position,
            events,
            next_symbol,
            last_crc,
            first_recorded,
            last_recorded,
            new_streams,
        })
    }

    /// Whether it may hold an id that was made at `micros` and is looked for by that.
    pub(crate) fn may_hold_id_of(&self, micros: i64) -> bool {
        let at = millis_after(self.first_recorded, micros);
        self.near_ids.is_some_and(|(first, last)| first <= at && at <= last)
    }

    /// The position after its last event.
    pub(crate) fn next_position(&self) -> u64 {
        self.first_position.saturating_add(u64::from(self.events))
    }
}

impl StreamRow {
    fn encode(&self) -> [u8; 48] {
        let numbers = [
            self.scope_symbol,
            self.symbol,
            self.previous_segment,
            self.first_posting,
            self.events,
            self.first_keyframe,
            self.keyframes,
            0,
        ];
        let bytes = self
            .hash
            .to_le_bytes()
            .into_iter()
            .chain(self.base_version.to_le_bytes())
            .chain(numbers.into_iter().flat_map(u32::to_le_bytes));
        let mut row = [0; 48];
        row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        row
    }

    fn decode(row: &[u8; 48]) -> Option<Self> {
        let mut fields = Reader::new(row);
        Some(Self {
            hash: fields.u64()?,
            base_version: fields.u64()?,
            scope_symbol: fields.u32()?,
            symbol: fields.u32()?,
            previous_segment: fields.u32()?,
            first_posting: fields.u32()?,
            events: fields.u32()?,
            first_keyframe: fields.u32()?,
            keyframes: fields.u32()?,
        })
    }

    /// The version of its newest event up to here.
    pub(crate) fn version(&self) -> u64 {
        self.base_version.saturating_add(u64::from(self.events))
    }
}
