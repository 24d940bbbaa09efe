//! One part of the log with its index: a sealed segment, or the active one.
//!
//! Both answer the same questions. Of the active part only what is durable is seen, unless a question says otherwise.

mod cursor;
mod lookup;
mod memory;
mod sealed;

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{KeyframeBody, RecordHeader, SEGMENT_HEADER_LEN};
use super::index::{KeyframeEntry, StreamRow, Symbol};
use super::memo::Memo;
use super::recorded::RecordedEvent;
use super::segment::{Segment, Window};
use super::{Address, ReadError, RecordKind};
use crate::event::Scope;
use bytestring::ByteString;

pub(crate) use cursor::Cursor;
pub(crate) use memory::MemoryPart;
pub(crate) use sealed::SealedPart;

/// What a part's index says of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRow {
    pub(crate) ordinal: u32,
    pub(crate) offset: u32,
    pub(crate) recorded_at: i64,
}

/// Which records a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Horizon {
    /// Those that are durable: what readers may see.
    Durable,
    /// All that have their place in the log and stand in the file: what the next append follows, but for the frame that
    /// is being written, which only the committer sees.
    Written,
}

/// Either.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Sealed(Arc<SealedPart>),
    Memory(Arc<MemoryPart>),
}

/// A stream as one part holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamRef {
    number: u32,
    row: Option<StreamRow>,
    pub(crate) symbol: u32,
    pub(crate) base_version: u64,
    /// How many of its events are here, within the horizon.
    pub(crate) events: u32,
}

impl StreamRef {
    /// The version of its newest event up to here.
    pub(crate) fn version(&self) -> u64 {
        self.base_version.saturating_add(u64::from(self.events))
    }
}

impl Part {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        match self {
            Self::Sealed(part) => &part.segment,
            Self::Memory(part) => &part.segment,
        }
    }

    /// Where it begins: the address of its segment, or of where in it an older part ends.
    pub(crate) fn start(&self) -> Address {
        let offset = match self {
            Self::Sealed(_) => 0,
            Self::Memory(part) => part.start,
        };
        let begins_segment = offset <= SEGMENT_HEADER_LEN as u32;
        Address::new(self.segment().number(), if begins_segment { 0 } else { offset })
    }

    /// The offset in this part from which on records are at or after `address`; beyond its end where none is.
    pub(crate) fn offset_from(&self, address: Address) -> u32 {
        match address.segment().cmp(&self.segment().number()) {
            Less => 0,
            Equal => address.offset(),
            Greater => u32::MAX,
        }
    }

    /// Where it ends, within the horizon.
    pub(crate) fn end(&self, horizon: Horizon) -> u32 {
        match self {
            Self::Sealed(part) => part.index.summary.end,
            Self::Memory(part) => part.end(horizon),
        }
    }

    pub(crate) fn first_position(&self) -> u64 {
        match self {
            Self::Sealed(part) => part.index.summary.first_position,
            Self::Memory(part) => part.index.read().first_position,
        }
    }

    /// How many events it holds.
    pub(crate) fn events(&self, horizon: Horizon) -> u32 {
        match self {
            Self::Sealed(part) => part.index.summary.events,
            Self::Memory(part) => part.events(horizon),
        }
    }

    /// Recorded times of the first and last frame; `None` where there is none.
    pub(crate) fn recorded_range(&self) -> Option<(i64, i64)> {
        match self {
            Self::Sealed(part) => {
                let summary = &part.index.summary;
                (part.index.frames() > 0).then_some((summary.first_recorded, summary.last_recorded))
            }
            Self::Memory(part) => {
                let index = part.index.read();
                Some((index.frames.first()?.recorded_at, index.frames.last()?.recorded_at))
            }
        }
    }

    /// The stream, where this part names it.
    pub(crate) fn find_stream(
        &self,
        hash: u64,
        scope: &Scope,
        stream: &str,
        horizon: Horizon,
    ) -> Result<Option<StreamRef>, ReadError> {
        match self {
            Self::Sealed(part) => Ok(part.find_stream(hash, scope, stream)?.map(|(number, row)| StreamRef {
                number,
                row: Some(row),
                symbol: row.symbol,
                base_version: row.base_version,
                events: row.events,
            })),
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(horizon);
                let found = index.find_stream(hash, scope, stream).and_then(|number| {
                    let entry = index.streams.get(number as usize)?;
                    let events = entry.events.partition_point(|ordinal| *ordinal < visible) as u32;
                    let (symbol, base_version) = (entry.symbol, entry.base_version);
                    Some(StreamRef { number, row: None, symbol, base_version, events })
                });
                Ok(found)
            }
        }
    }

    /// A stream's events from its `from`th on, at most `count` of them.
    pub(crate) fn stream_rows(
        &self,
        stream: &StreamRef,
        from: u32,
        count: u32,
        out: &mut Vec<EventRow>,
    ) -> Result<(), ReadError> {
        out.clear();
        let to = stream.events.min(from.saturating_add(count));
        let from = from.min(to);
        out.reserve((to - from) as usize);
        match (self, &stream.row) {
            (Self::Sealed(part), Some(row)) => part.rows(part.index.postings(row, from..to)?, out),
            (Self::Memory(part), None) => {
                let index = part.index.read();
                let events = index.streams.get(stream.number as usize).map(|entry| &entry.events);
                let ordinals = events.and_then(|events| events.get(from as usize..to as usize)).unwrap_or_default();
                part.rows(&index, ordinals.iter().copied(), out)
            }
            _ => Ok(()),
        }
    }

    /// Events next to each other.
    pub(crate) fn rows(&self, ordinals: Range<u32>, out: &mut Vec<EventRow>) -> Result<(), ReadError> {
        out.clear();
        match self {
            Self::Sealed(part) => {
                let offsets = part.index.offsets(ordinals.clone())?.iter().map(|offset| u32::from_le_bytes(*offset));
                part.rows(ordinals.zip(offsets), out)
            }
            Self::Memory(part) => part.rows(&part.index.read(), ordinals, out),
        }
    }

    /// All keyframes of a stream that stand here, by version.
    pub(crate) fn keyframes(&self, stream: &StreamRef) -> Result<Vec<KeyframeEntry>, ReadError> {
        match (self, &stream.row) {
            (Self::Sealed(part), Some(row)) => {
                Ok(part.index.keyframes(row)?.iter().map(KeyframeEntry::decode).collect())
            }
            (Self::Memory(part), _) => {
                let index = part.index.read();
                let mut keyframes =
                    index.streams.get(stream.number as usize).map(|s| s.keyframes.clone()).unwrap_or_default();
                let end = part.end(Horizon::Written);
                keyframes.retain(|keyframe| keyframe.offset < end);
                Ok(keyframes)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The newest keyframe of a fold (the CRC of its name) that stands here, of a version after the first and up to the
    /// second.
    pub(crate) fn newest_keyframe(
        &self,
        stream: &StreamRef,
        fold: u32,
        (after, to): (u64, u64),
    ) -> Result<Option<KeyframeEntry>, ReadError> {
        let fits = |keyframe: &KeyframeEntry| keyframe.fold == fold && keyframe.version <= to;
        let is_old = |keyframe: &KeyframeEntry| keyframe.version <= after;
        match (self, &stream.row) {
            (Self::Sealed(part), Some(row)) => {
                let rows = part.index.keyframes(row)?;
                let end = rows.partition_point(|row| KeyframeEntry::decode(row).version <= to);
                let mut newest_first = rows.iter().take(end).rev().map(KeyframeEntry::decode);
                Ok(newest_first.by_ref().take_while(|keyframe| !is_old(keyframe)).find(fits))
            }
            (Self::Memory(part), _) => {
                let index = part.index.read();
                let end = part.end(Horizon::Written);
                let keyframes = index.streams.get(stream.number as usize).map_or(&[][..], |s| &s.keyframes);
                let count = keyframes.partition_point(|keyframe| keyframe.version <= to);
                let mut newest_first = keyframes.iter().take(count).rev().copied();
                let mut newer = newest_first.by_ref().take_while(|keyframe| !is_old(keyframe));
                Ok(newer.find(|keyframe| fits(keyframe) && keyframe.offset < end))
            }
            _ => Ok(None),
        }
    }

    /// A keyframe's record: its version, and its body, which decodes.
    pub(crate) fn keyframe(&self, entry: &KeyframeEntry, stream: &StreamRef) -> Result<Bytes, ReadError> {
        let (header, body) = self.record(entry.offset, &mut Window::default())?;
        let is_it = header.kind == RecordKind::Keyframe as u8
            && header.version == entry.version
            && header.stream_symbol == stream.symbol;
        if !is_it {
            return Err(self.segment().corrupt(entry.offset, "expected the keyframe that the index says is here"));
        }
        KeyframeBody::decode(&body).map_err(|what| self.segment().corrupt(entry.offset, what))?;
        Ok(body)
    }

    /// Scope and id behind a stream's symbol.
    fn stream_name(&self, symbol: u32) -> Result<(Arc<Scope>, ByteString), ReadError> {
        match self {
            Self::Sealed(part) => {
                let mut window = Window::default();
                let (scope, _, id) = part.stream_name(symbol, &mut window)?;
                Ok((part.scope(scope, &mut window)?, id))
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let entry = match index.symbols.get(symbol) {
                    Some(Symbol::Stream(stream)) => index.streams.get(*stream as usize),
                    _ => None,
                };
                let name = entry.and_then(|entry| Some((index.scope(entry.scope_symbol)?.clone(), entry.id.clone())));
                name.ok_or_else(|| self.segment().corrupt(0, "an event refers to a stream that the index doesn't hold"))
            }
        }
    }

    /// Types by symbol, where the part keeps them for all readers.
    fn types(&self) -> Option<Arc<Memo<ByteString>>> {
        match self {
            Self::Sealed(part) => Some(part.types().clone()),
            Self::Memory(_) => None,
        }
    }

    /// The event type behind a symbol.
    fn event_type(&self, symbol: u32) -> Result<ByteString, ReadError> {
        match self {
            Self::Sealed(part) => part.event_type(symbol, &mut Window::default()),
            Self::Memory(part) => {
                let found = part.index.read().event_type(symbol).cloned();
                found.ok_or_else(|| self.segment().corrupt(0, "an event refers to a type that the index doesn't hold"))
            }
        }
    }

    /// The event with `ordinal`.
    pub(crate) fn event(&self, ordinal: u32, cursor: &mut Cursor) -> Result<RecordedEvent, ReadError> {
        // Parts of one segment number their events each from 0.
        if cursor.part().is_none_or(|part| part.start() != self.start()) {
            cursor.enter(self.clone());
        }
        cursor.go_to_ordinal(ordinal)?;
        Ok(cursor.event()?.to_recorded())
    }

    fn record(&self, offset: u32, window: &mut Window) -> Result<(RecordHeader, Bytes), ReadError> {
        self.segment().record(offset, self.end_for(offset), window)
    }

    /// Up to where a reader of the record at `offset` may look.
    fn end_for(&self, offset: u32) -> u32 {
        // No further than what is durable, where that suffices: a block that was read ahead is kept, and behind the
        // durable end a frame may be half written.
        let durable = self.end(Horizon::Durable);
        if offset < durable { durable } else { self.end(Horizon::Written) }
    }
}
