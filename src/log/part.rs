//! One part of the log with its index: a sealed segment, or the active one.
//!
//! Both answer the same questions. Of the active part only what is durable is seen, unless a question says otherwise.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use uuid::Uuid;

use super::format::{EventBody, KeyframeBody, RecordHeader, RoomBody, SEGMENT_HEADER_LEN, SymbolBody};
use super::index::{FrameEntry, IndexFile, KeyframeEntry, MemoryIndex, StreamRow, Symbol};
use super::recorded::{RecordedEvent, RoomRecord};
use super::segment::{Block, Segment};
use super::text::Text;
use super::{Address, ReadError, RecordKind};
use crate::event::Scope;

/// Which records a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Horizon {
    /// Those that are durable: what readers may see.
    Durable,
    /// All that have their place in the log and stand in the file: what the next append follows, but for the frame that
    /// is being written, which only the committer sees.
    Written,
}

/// A sealed segment with its index.
#[derive(Debug)]
pub(crate) struct SealedPart {
    pub(crate) segment: Arc<Segment>,
    pub(crate) index: Arc<IndexFile>,
    scopes: RwLock<HashMap<u32, Arc<Scope>>>,
    types: RwLock<HashMap<u32, Text>>,
}

/// A part of a segment that is indexed in memory.
#[derive(Debug)]
pub(crate) struct MemoryPart {
    pub(crate) segment: Arc<Segment>,
    pub(crate) index: RwLock<MemoryIndex>,
    durable: Extent,
    written: Extent,
}

/// How far something reaches: events, and an offset.
#[derive(Debug)]
struct Extent {
    events: AtomicU32,
    end: AtomicU32,
}

impl Extent {
    fn of(index: &MemoryIndex) -> Self {
        Self { events: AtomicU32::new(index.events.len() as u32), end: AtomicU32::new(index.end) }
    }

    fn set(&self, index: &MemoryIndex) {
        self.events.store(index.events.len() as u32, Ordering::Release);
        self.end.store(index.end, Ordering::Release);
    }
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
        self.base_version + u64::from(self.events)
    }
}

/// Where an event stands, and its scope and type.
struct Located {
    offset: u32,
    type_symbol: u32,
    scope: Arc<Scope>,
    event_type: Text,
}

/// What a reader keeps between two events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    block: Block,
    /// The stream's name behind the last symbol, with its segment.
    stream: Option<(u32, u32, Text)>,
    /// The last frame, with its segment, and the ordinal at which the next may begin.
    frame: Option<(u32, FrameEntry, u32)>,
}

impl MemoryPart {
    pub(crate) fn new(segment: Arc<Segment>, index: MemoryIndex) -> Self {
        let (durable, written) = (Extent::of(&index), Extent::of(&index));
        Self { segment, index: RwLock::new(index), durable, written }
    }

    /// Makes all that is indexed so far visible to readers.
    pub(crate) fn publish(&self) {
        self.durable.set(&self.index.read());
    }

    /// States that all that is indexed so far stands in the file.
    pub(crate) fn set_written(&self) {
        self.written.set(&self.index.read());
    }

    fn extent(&self, horizon: Horizon) -> &Extent {
        match horizon {
            Horizon::Durable => &self.durable,
            Horizon::Written => &self.written,
        }
    }

    fn events(&self, horizon: Horizon) -> u32 {
        self.extent(horizon).events.load(Ordering::Acquire)
    }

    fn end(&self, horizon: Horizon) -> u32 {
        self.extent(horizon).end.load(Ordering::Acquire)
    }
}

impl SealedPart {
    pub(crate) fn new(segment: Arc<Segment>, index: Arc<IndexFile>) -> Self {
        Self { segment, index, scopes: RwLock::default(), types: RwLock::default() }
    }

    fn symbol(&self, number: u32, block: &mut Block) -> Result<Bytes, ReadError> {
        let offset = self.index.symbol_offset(number)?;
        let (header, body) = self.segment.record(offset, self.index.summary.end, block)?;
        if header.kind != RecordKind::Symbol as u8 || header.stream_symbol != number {
            return Err(self.segment.corrupt(offset, "expected the symbol that the index says is here"));
        }
        Ok(body)
    }

    pub(crate) fn scope(&self, number: u32, block: &mut Block) -> Result<Arc<Scope>, ReadError> {
        if let Some(scope) = self.scopes.read().get(&number) {
            return Ok(scope.clone());
        }
        let body = self.symbol(number, block)?;
        let scope = match SymbolBody::decode(&body) {
            Ok(SymbolBody::Scope { tenant, application }) => Scope::new(tenant, application).ok(),
            _ => None,
        };
        let scope = Arc::new(scope.ok_or_else(|| self.segment.corrupt(0, "expected the symbol of a scope"))?);
        self.scopes.write().insert(number, scope.clone());
        Ok(scope)
    }

    pub(crate) fn event_type(&self, number: u32, block: &mut Block) -> Result<Text, ReadError> {
        if let Some(text) = self.types.read().get(&number) {
            return Ok(text.clone());
        }
        let body = self.symbol(number, block)?;
        let text = match SymbolBody::decode(&body) {
            Ok(SymbolBody::Type(text)) => Text::from(text),
            _ => return Err(self.segment.corrupt(0, "expected the symbol of an event type")),
        };
        self.types.write().insert(number, text.clone());
        Ok(text)
    }

    /// Name and scope symbol of a stream's symbol.
    pub(crate) fn stream_name(&self, number: u32, block: &mut Block) -> Result<(u32, u32, Text), ReadError> {
        let body = self.symbol(number, block)?;
        match SymbolBody::decode(&body) {
            Ok(SymbolBody::Stream { scope, previous_segment, id }) => {
                let id = Text::new(body.slice(body.len() - id.len()..)).unwrap_or_default();
                Ok((scope, previous_segment, id))
            }
            _ => Err(self.segment.corrupt(0, "expected the symbol of a stream")),
        }
    }

    /// A stream's row and its number, where this segment names it.
    pub(crate) fn find_stream(
        &self,
        hash: u64,
        scope: &Scope,
        stream: &str,
    ) -> Result<Option<(u32, StreamRow)>, ReadError> {
        let mut block = Block::default();
        for number in self.index.streams_hashed(hash)? {
            let number = number?;
            let row = self.index.stream(number)?;
            if row.hash != hash {
                continue;
            }
            let (scope_symbol, _, id) = self.stream_name(row.symbol, &mut block)?;
            if id.as_str() == stream && *self.scope(scope_symbol, &mut block)? == *scope {
                return Ok(Some((number, row)));
            }
        }
        Ok(None)
    }
}

impl Part {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        match self {
            Self::Sealed(part) => &part.segment,
            Self::Memory(part) => &part.segment,
        }
    }

    /// Whether a damaged block was found in its index file.
    pub(crate) fn index_is_damaged(&self) -> bool {
        matches!(self, Self::Sealed(part) if part.index.is_damaged())
    }

    /// Where it begins: the address of its segment, or of where in it an older part ends.
    pub(crate) fn start(&self) -> Address {
        let offset = match self {
            Self::Sealed(_) => 0,
            Self::Memory(part) => part.index.read().start,
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
                let found = index.find_stream(scope, stream).and_then(|number| {
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
        let number = self.segment().number();
        if let Some((segment, frame, next)) = &cursor.frame
            && *segment == number
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
        cursor.frame = Some((number, frame, next));
        Ok(frame)
    }

    /// Where an event stands, and its scope and type.
    fn locate(&self, ordinal: u32, block: &mut Block) -> Result<Located, ReadError> {
        match self {
            Self::Sealed(part) => {
                let (scope, type_symbol) = part.index.kind_of(ordinal)?;
                let offset = part.index.offset(ordinal)?;
                let (scope, event_type) = (part.scope(scope, block)?, part.event_type(type_symbol, block)?);
                Ok(Located { offset, type_symbol, scope, event_type })
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let found = index.events.get(ordinal as usize).and_then(|event| {
                    let (scope, type_symbol) = *index.kinds.get(event.kind as usize)?;
                    let (scope, event_type) = (index.scope(scope)?.clone(), index.event_type(type_symbol)?.clone());
                    Some(Located { offset: event.offset, type_symbol, scope, event_type })
                });
                found.ok_or_else(|| self.segment().corrupt(0, "an event that the index doesn't hold"))
            }
        }
    }

    fn stream_text(&self, symbol: u32, cursor: &mut Cursor) -> Result<Text, ReadError> {
        let number = self.segment().number();
        if let Some((segment, known, text)) = &cursor.stream
            && (*segment, *known) == (number, symbol)
        {
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
        cursor.stream = Some((number, symbol, text.clone()));
        Ok(text)
    }

    /// The event with `ordinal`.
    pub(crate) fn event(&self, ordinal: u32, cursor: &mut Cursor) -> Result<RecordedEvent, ReadError> {
        let Located { offset, type_symbol, scope, event_type } = self.locate(ordinal, &mut cursor.block)?;
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
            position: self.first_position() + u64::from(ordinal),
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

    /// The ordinal of the event of `scope` with `id`.
    pub(crate) fn find_id(
        &self,
        hash: u64,
        scope: Option<&Scope>,
        id: Uuid,
        horizon: Horizon,
    ) -> Result<Vec<u32>, ReadError> {
        let mut block = Block::default();
        let mut found = Vec::new();
        match self {
            Self::Sealed(part) => {
                for ordinal in part.index.ids_hashed(hash)? {
                    let ordinal = ordinal?;
                    let (_, body) = self.record(part.index.offset(ordinal)?, &mut block)?;
                    let (scope_symbol, _) = part.index.kind_of(ordinal)?;
                    if EventBody::id(&body) == Some(id)
                        && (scope.is_none() || scope == Some(&*part.scope(scope_symbol, &mut block)?))
                    {
                        found.push(ordinal);
                    }
                }
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(horizon);
                found.extend(index.find_id(id).filter(|ordinal| {
                    let kind = index.events.get(*ordinal as usize).map(|event| event.kind as usize);
                    let of = kind.and_then(|kind| index.scope(index.kinds.get(kind)?.0));
                    *ordinal < visible && (scope.is_none() || scope == of.map(|of| &**of))
                }));
            }
        }
        Ok(found)
    }

    /// Ordinals of events that may have this correlation id, beside its own event.
    pub(crate) fn correlated(&self, hash: u64, id: Uuid) -> Result<Vec<u32>, ReadError> {
        match self {
            Self::Sealed(part) => part.index.correlations_hashed(hash)?.collect(),
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(Horizon::Durable);
                Ok(index.correlated(id).iter().copied().filter(|ordinal| *ordinal < visible).collect())
            }
        }
    }

    /// Ordinals of events that may have this causation id.
    pub(crate) fn caused_by(&self, hash: u64, id: Uuid) -> Result<Vec<u32>, ReadError> {
        match self {
            Self::Sealed(part) => part.index.causations_hashed(hash)?.collect(),
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(Horizon::Durable);
                Ok(index.caused_by(id).iter().copied().filter(|ordinal| *ordinal < visible).collect())
            }
        }
    }

    /// The record of another room at `offset`.
    pub(crate) fn room(&self, offset: u32, block: &mut Block) -> Result<RoomRecord, ReadError> {
        let (header, body) = self.record(offset, block)?;
        let corrupt = |what| self.segment().corrupt(offset, what);
        let kind = RecordKind::from_number(header.kind).filter(|kind| kind.is_of_a_room());
        let kind = kind.ok_or_else(|| corrupt("expected the record of another room that the index says is here"))?;
        let decoded = RoomBody::decode(&body).map_err(corrupt)?;
        let key = body.slice(2..2 + decoded.key.len());
        let bytes = body.slice(2 + decoded.key.len()..);
        let frame = match self {
            Self::Sealed(part) => part.index.frame_at(offset)?,
            Self::Memory(part) => {
                let found = part.index.read().frame_at(offset);
                found.ok_or_else(|| corrupt("a record without a frame"))?
            }
        };
        let address = Address::new(self.segment().number(), offset);
        Ok(RoomRecord { kind, key, body: bytes, address, recorded_at: frame.recorded_at })
    }

    /// Offsets of durable records of other rooms with a key.
    pub(crate) fn rooms_with(&self, hash: u64, kind: RecordKind, key: &[u8]) -> Result<Vec<u32>, ReadError> {
        let end = self.end(Horizon::Durable);
        match self {
            Self::Sealed(part) => {
                let mut offsets = Vec::new();
                for number in part.index.rooms_hashed(hash)? {
                    let entry = part.index.room(number?)?;
                    if entry.kind == kind as u8 {
                        offsets.push(entry.offset);
                    }
                }
                Ok(offsets)
            }
            Self::Memory(part) => {
                Ok(part.index.read().rooms_with(kind as u8, key).filter(|offset| *offset < end).collect())
            }
        }
    }

    /// The first durable record of another room at or after `offset`, of one kind or any.
    pub(crate) fn next_room(&self, offset: u32, kind: Option<RecordKind>) -> Result<Option<u32>, ReadError> {
        let wanted = |number: u8| kind.is_none_or(|kind| kind as u8 == number);
        let end = self.end(Horizon::Durable);
        match self {
            Self::Sealed(part) => {
                for number in part.index.room_from(offset)?..part.index.rooms() {
                    let entry = part.index.room(number)?;
                    if wanted(entry.kind) {
                        return Ok(Some(entry.offset));
                    }
                }
                Ok(None)
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let from = index.rooms.partition_point(|entry| entry.offset < offset);
                let mut rest = index.rooms.get(from..).unwrap_or_default().iter();
                Ok(rest.find(|entry| wanted(entry.kind)).map(|entry| entry.offset).filter(|offset| *offset < end))
            }
        }
    }

    /// The first event at or after `offset`, and its offset.
    pub(crate) fn next_event(&self, offset: u32) -> Result<Option<(u32, u32)>, ReadError> {
        let visible = self.events(Horizon::Durable);
        let (mut low, mut high) = (0, visible);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.offset_of(middle)? < offset { low = middle + 1 } else { high = middle }
        }
        if low == visible { Ok(None) } else { Ok(Some((low, self.offset_of(low)?))) }
    }

    /// Where the event with `ordinal` stands.
    pub(crate) fn offset_of(&self, ordinal: u32) -> Result<u32, ReadError> {
        match self {
            Self::Sealed(part) => part.index.offset(ordinal),
            Self::Memory(part) => {
                let offset = part.index.read().events.get(ordinal as usize).map(|event| event.offset);
                offset.ok_or_else(|| self.segment().corrupt(0, "an event that the index doesn't hold"))
            }
        }
    }

    /// The first ordinal recorded at or after `micros`.
    pub(crate) fn first_recorded_from(&self, micros: i64) -> Result<u32, ReadError> {
        let visible = self.events(Horizon::Durable);
        match self {
            Self::Sealed(part) => {
                let (mut low, mut high) = (0, part.index.frames());
                while low < high {
                    let middle = low + (high - low) / 2;
                    if part.index.frame(middle)?.recorded_at < micros { low = middle + 1 } else { high = middle }
                }
                if low == part.index.frames() { Ok(visible) } else { Ok(part.index.frame(low)?.first_ordinal) }
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let after = index.frames.partition_point(|frame| frame.recorded_at < micros);
                Ok(index.frames.get(after).map_or(visible, |frame| frame.first_ordinal.min(visible)))
            }
        }
    }

    /// For each kind (scope and type) that occurs here, in order: whether it passes `wanted`.
    pub(crate) fn kinds_wanted(&self, wanted: impl Fn(&Scope, &str) -> bool) -> Result<Vec<bool>, ReadError> {
        match self {
            Self::Sealed(part) => {
                let mut block = Block::default();
                let mut kinds = Vec::new();
                for number in 0..part.index.kinds() {
                    let (scope, event_type) = part.index.kind(number)?;
                    let (scope, event_type) =
                        (part.scope(scope, &mut block)?, part.event_type(event_type, &mut block)?);
                    kinds.push(wanted(&scope, event_type.as_str()));
                }
                Ok(kinds)
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let of = |(scope, event_type): &(u32, u32)| {
                    let scope = index.scope(*scope)?;
                    Some(wanted(scope, index.event_type(*event_type)?.as_str()))
                };
                Ok(index.kinds.iter().map(|kind| of(kind).unwrap_or(false)).collect())
            }
        }
    }

    /// Index of an event's kind.
    pub(crate) fn kind_number(&self, ordinal: u32) -> Result<u32, ReadError> {
        match self {
            Self::Sealed(part) => part.index.kind_number(ordinal),
            Self::Memory(part) => Ok(part.index.read().events.get(ordinal as usize).map_or(0, |event| event.kind)),
        }
    }

    /// How many streams this part names.
    pub(crate) fn stream_count(&self) -> u32 {
        match self {
            Self::Sealed(part) => part.index.streams(),
            Self::Memory(part) => part.index.read().streams.len() as u32,
        }
    }

    /// A stream named here, if here first: scope and id.
    pub(crate) fn new_stream(&self, number: u32) -> Result<Option<(Arc<Scope>, Text)>, ReadError> {
        match self {
            Self::Sealed(part) => {
                let row = part.index.stream(number)?;
                if row.previous_segment != 0 {
                    return Ok(None);
                }
                let mut block = Block::default();
                let (scope, _, id) = part.stream_name(row.symbol, &mut block)?;
                Ok(Some((part.scope(scope, &mut block)?, id)))
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(Horizon::Durable);
                let is_visible = |ordinal: &u32| *ordinal < visible;
                let entry = index.streams.get(number as usize);
                let entry = entry.filter(|entry| entry.is_new() && entry.events.first().is_some_and(is_visible));
                Ok(entry.and_then(|entry| Some((index.scope(entry.scope_symbol)?.clone(), entry.id.clone()))))
            }
        }
    }
}
