//! One part of the log with its index: a sealed segment, or the active one.
//!
//! Both answer the same questions. Of the active part only what is durable is seen, unless a question says otherwise.

mod lookup;
mod memory;
mod sealed;

use std::cmp::Ordering::{Equal, Greater, Less};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::format::{EventBody, KeyframeBody, RecordHeader, SEGMENT_HEADER_LEN};
use super::index::{FrameEntry, KeyframeEntry, StreamRow, Symbol};
use super::recorded::RecordedEvent;
use super::segment::{Block, Segment};
use super::{Address, ReadError, RecordKind};
use crate::event::Scope;
use bytestring::ByteString;

pub(crate) use memory::MemoryPart;
use sealed::EventKind;
pub(crate) use sealed::SealedPart;

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

/// How many names of streams a reader keeps at most.
const MAX_NAMES: usize = 1 << 14;

/// What a reader keeps between two events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    block: Block,
    /// Names of streams behind their symbols, of one segment.
    streams: HashMap<u32, ByteString>,
    streams_of: u32,
    /// The last frame, with where its part begins, and the ordinal at which the next may begin.
    frame: Option<(Address, FrameEntry, u32)>,
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

    /// The ordinals of a stream's events from its `from`th on, as many as fit.
    pub(crate) fn ordinals(&self, stream: &StreamRef, from: u32, out: &mut Vec<u32>) -> Result<(), ReadError> {
        const CHUNK: u32 = 256;
        out.clear();
        let to = stream.events.min(from.saturating_add(CHUNK));
        match (self, &stream.row) {
            (Self::Sealed(part), Some(row)) => {
                for number in from..to {
                    out.push(part.index.posting(row, number)?);
                }
            }
            (Self::Memory(part), None) => {
                let index = part.index.read();
                let events = index.streams.get(stream.number as usize).map(|entry| &entry.events);
                let wanted = events.and_then(|events| events.get(from as usize..to as usize));
                out.extend_from_slice(wanted.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    /// All keyframes of a stream that stand here, oldest first.
    pub(crate) fn keyframes(&self, stream: &StreamRef) -> Result<Vec<KeyframeEntry>, ReadError> {
        match (self, &stream.row) {
            (Self::Sealed(part), Some(row)) => {
                (0..row.keyframes).map(|number| part.index.keyframe(row, number)).collect()
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

    /// A keyframe's record: its version, and its body, which decodes.
    pub(crate) fn keyframe(&self, entry: &KeyframeEntry, stream: &StreamRef) -> Result<Bytes, ReadError> {
        let (header, body) = self.record(entry.offset, &mut Block::default())?;
        let is_it = header.kind == RecordKind::Keyframe as u8
            && header.version == entry.version
            && header.stream_symbol == stream.symbol;
        if !is_it {
            return Err(self.segment().corrupt(entry.offset, "expected the keyframe that the index says is here"));
        }
        KeyframeBody::decode(&body).map_err(|what| self.segment().corrupt(entry.offset, what))?;
        Ok(body)
    }

    /// The frame that holds an event.
    fn frame_of(&self, ordinal: u32, cursor: &mut Cursor) -> Result<FrameEntry, ReadError> {
        // Parts of one segment number their events each from 0.
        let start = self.start();
        if let Some((part, frame, next)) = &cursor.frame
            && *part == start
            && (frame.first_ordinal..*next).contains(&ordinal)
        {
            return Ok(*frame);
        }
        let (frame, next) = match self {
            Self::Sealed(part) => part.index.frame_of(ordinal)?,
            Self::Memory(part) => {
                let found = part.index.read().frame_of(ordinal);
                found.ok_or_else(|| self.segment().corrupt(0, "an event without a frame"))?
            }
        };
        cursor.frame = Some((start, frame, next));
        Ok(frame)
    }

    /// Where an event stands, and its scope and type.
    fn locate(&self, ordinal: u32, block: &mut Block) -> Result<(u32, EventKind), ReadError> {
        match self {
            Self::Sealed(part) => {
                let kind = part.kind(part.index.kind_number(ordinal)?, block)?;
                Ok((part.index.offset(ordinal)?, kind.clone()))
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let found = index.events.get(ordinal as usize).and_then(|event| {
                    let (scope, type_symbol) = *index.kinds.get(event.kind as usize)?;
                    let (scope, event_type) = (index.scope(scope)?.clone(), index.event_type(type_symbol)?.clone());
                    Some((event.offset, EventKind { scope, event_type, type_symbol }))
                });
                found.ok_or_else(|| self.segment().corrupt(0, "an event that the index doesn't hold"))
            }
        }
    }

    fn stream_text(&self, symbol: u32, cursor: &mut Cursor) -> Result<ByteString, ReadError> {
        let number = self.segment().number();
        if cursor.streams_of != number || cursor.streams.len() >= MAX_NAMES {
            cursor.streams.clear();
            cursor.streams_of = number;
        }
        if let Some(text) = cursor.streams.get(&symbol) {
            return Ok(text.clone());
        }
        let text = match self {
            Self::Sealed(part) => part.stream_name(symbol, &mut Block::default())?.2,
            Self::Memory(part) => {
                let index = part.index.read();
                let entry = match index.symbols.get(&symbol) {
                    Some(Symbol::Stream(stream)) => index.streams.get(*stream as usize),
                    _ => None,
                };
                entry.map(|entry| entry.id.clone()).ok_or_else(|| {
                    self.segment().corrupt(0, "an event refers to a stream that the index doesn't hold")
                })?
            }
        };
        cursor.streams.insert(symbol, text.clone());
        Ok(text)
    }

    /// The event with `ordinal`.
    pub(crate) fn event(&self, ordinal: u32, cursor: &mut Cursor) -> Result<RecordedEvent, ReadError> {
        let (offset, EventKind { scope, event_type, type_symbol }) = self.locate(ordinal, &mut cursor.block)?;
        let (header, body) = self.record(offset, &mut cursor.block)?;
        let is_event = [RecordKind::Event as u8, RecordKind::Erased as u8].contains(&header.kind);
        if !is_event || header.type_symbol != type_symbol {
            return Err(self.segment().corrupt(offset, "expected the event that the index says is here"));
        }
        EventBody::decode(&body).map_err(|what| self.segment().corrupt(offset, what))?;
        let stream = self.stream_text(header.stream_symbol, cursor)?;
        let frame = self.frame_of(ordinal, cursor)?;
        Ok(RecordedEvent {
            scope,
            event_type,
            stream,
            version: header.version,
            position: self.first_position().saturating_add(u64::from(ordinal)),
            recorded_at: frame.recorded_at,
            address: Address::new(self.segment().number(), offset),
            body,
        })
    }

    fn record(&self, offset: u32, block: &mut Block) -> Result<(RecordHeader, Bytes), ReadError> {
        // No further than what is durable, where that suffices: a block that was read ahead is kept, and behind the
        // durable end a frame may be half written.
        let durable = self.end(Horizon::Durable);
        let end = if offset < durable { durable } else { self.end(Horizon::Written) };
        self.segment().record(offset, end, block)
    }
}
