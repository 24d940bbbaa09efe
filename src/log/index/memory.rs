//! The index of the active segment, in memory: filled record by record as the committer writes them or as recovery
//! scans them, and the source that an `.idx` file is written from.
//!
//! Events are numbered by ordinal, 0, 1, 2 along the segment. Memory: about 60 bytes an event and 200 a stream.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap as FastMap, HashTable};
use uuid::Uuid;

use super::hash::KeyHash;
use super::symbols::{Symbol, Symbols};
use crate::event::Scope;
use crate::log::format::{Bad, EventBody, FrameHeader, KeyframeBody, RecordHeader, RoomBody, SymbolBody};
use crate::log::{NEAR_MICROS, RecordKind};
use crate::planted::{Bug, planted};
use bytestring::ByteString;

/// A run of events with one `recorded_at`: a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameEntry {
    pub(crate) offset: u32,
    /// Ordinal of its first event, or of the next event where it holds none.
    pub(crate) first_ordinal: u32,
    pub(crate) recorded_at: i64,
}

/// What the segment knows of one stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamEntry {
    pub(crate) hash: u64,
    pub(crate) scope_symbol: u32,
    pub(crate) symbol: u32,
    pub(crate) id: ByteString,
    /// The newest segment before this one that names the stream, or 0.
    pub(crate) previous_segment: u32,
    /// Its last version before what is indexed here.
    pub(crate) base_version: u64,
    /// Ordinals of its events; the first has version `base_version + 1`.
    pub(crate) events: Vec<u32>,
    pub(crate) keyframes: Vec<KeyframeEntry>,
}

impl StreamEntry {
    /// Whether the log names the stream here for the first time.
    pub(crate) fn is_new(&self) -> bool {
        self.previous_segment == 0 && self.base_version == 0
    }

    /// The version of its newest event up to here.
    pub(crate) fn version(&self) -> u64 {
        self.base_version.saturating_add(self.events.len() as u64)
    }
}

/// One keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyframeEntry {
    pub(crate) version: u64,
    pub(crate) fold: u32,
    pub(crate) offset: u32,
}

impl KeyframeEntry {
    pub(crate) fn decode(row: &[u8; 16]) -> Self {
        let row = u128::from_le_bytes(*row);
        Self { version: row as u64, fold: (row >> 64) as u32, offset: (row >> 96) as u32 }
    }
}

/// One record of another room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomEntry {
    pub(crate) hash: u64,
    pub(crate) offset: u32,
    pub(crate) kind: u8,
}

/// Per event: where it is and of which scope and type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventEntry {
    pub(crate) offset: u32,
    /// Index into [`MemoryIndex::kinds`].
    pub(crate) kind: u32,
    /// Index into [`MemoryIndex::frames`].
    frame: u32,
    pub(crate) id: Uuid,
}

/// An event to be added, taken from its record or known by who writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEvent {
    pub(crate) offset: u32,
    /// Index into [`MemoryIndex::streams`].
    pub(crate) stream: u32,
    pub(crate) type_symbol: u32,
    pub(crate) version: u64,
    pub(crate) id: Uuid,
    /// Where it isn't its own id.
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
}

/// The index of one segment from some offset on.
#[derive(Clone, Debug)]
pub(crate) struct MemoryIndex {
    hash: KeyHash,
    /// What is indexed begins here.
    pub(crate) start: u32,
    /// And ends here.
    pub(crate) end: u32,
    /// CRC of the last frame.
    pub(crate) last_crc: u32,
    /// Position of the event with ordinal 0.
    pub(crate) first_position: u64,
    pub(crate) events: Vec<EventEntry>,
    pub(crate) frames: Vec<FrameEntry>,
    pub(crate) streams: Vec<StreamEntry>,
    /// Pairs of scope and type symbol that occur, in order of appearance.
    pub(crate) kinds: Vec<(u32, u32)>,
    pub(crate) correlations: Vec<(u64, u32)>,
    pub(crate) causations: Vec<(u64, u32)>,
    pub(crate) rooms: Vec<RoomEntry>,
    /// Hashes by which the directory finds this segment, beside streams and near ids.
    pub(crate) far_keys: Vec<u64>,
    /// When the other ids were made: the first and the last.
    pub(crate) near_ids: Option<(i64, i64)>,
    /// Symbols by number; of those numbered before `start` only the ones in use here.
    pub(crate) symbols: Symbols,
    pub(crate) next_symbol: u32,
    /// Where the symbols stand that are numbered from the first here on.
    pub(crate) symbol_offsets: Vec<u32>,
    scopes: FastMap<Scope, u32>,
    types: FastMap<ByteString, u32>,
    kind_table: FastMap<(u32, u32), u32>,
    stream_table: HashTable<u32>,
    id_table: HashTable<u32>,
    id_hasher: DefaultHashBuilder,
    /// The largest id of version 7: those made later are larger.
    newest_v7: Uuid,
    correlation_table: FastMap<u64, Vec<u32>>,
    causation_table: FastMap<u64, Vec<u32>>,
    room_table: FastMap<u64, Vec<u32>>,
    /// Streams whose first segment this is.
    pub(crate) new_streams: u32,
    /// The last frame says that the segment or the store was closed, as it does at the end of every sealed segment.
    pub(crate) closed: bool,
}

impl MemoryIndex {
    /// An empty index of what begins at `start`, where the next symbol is `next_symbol` and the next event has
    /// `first_position`.
    pub(crate) fn new(hash: KeyHash, start: u32, next_symbol: u32, first_position: u64) -> Self {
        Self {
            hash,
            start,
            end: start,
            last_crc: 0,
            first_position,
            events: Vec::new(),
            frames: Vec::new(),
            streams: Vec::new(),
            kinds: Vec::new(),
            correlations: Vec::new(),
            causations: Vec::new(),
            rooms: Vec::new(),
            far_keys: Vec::new(),
            near_ids: None,
            symbols: Symbols::from(next_symbol),
            next_symbol,
            symbol_offsets: Vec::new(),
            scopes: FastMap::new(),
            types: FastMap::new(),
            kind_table: FastMap::new(),
            stream_table: HashTable::new(),
            id_table: HashTable::new(),
            id_hasher: DefaultHashBuilder::default(),
            newest_v7: Uuid::nil(),
            correlation_table: FastMap::new(),
            causation_table: FastMap::new(),
            room_table: FastMap::new(),
            new_streams: 0,
            closed: false,
        }
    }

    pub(crate) fn hash(&self) -> &KeyHash {
        &self.hash
    }

    /// Makes room for about so many events, which costs less than growing to them.
    pub(crate) fn expect_events(&mut self, more: usize) {
        let (events, hasher) = (&self.events, &self.id_hasher);
        let hash_of = |ordinal: &u32| events.get(*ordinal as usize).map_or(0, |event| hash_of_id(hasher, event.id));
        self.id_table.reserve(more, hash_of);
        self.events.reserve(more);
    }

    /// The position after the newest event.
    pub(crate) fn next_position(&self) -> u64 {
        self.first_position.saturating_add(self.events.len() as u64)
    }

    pub(crate) fn scope_symbol(&self, scope: &Scope) -> Option<u32> {
        self.scopes.get(scope).copied()
    }

    pub(crate) fn type_symbol(&self, event_type: &str) -> Option<u32> {
        self.types.get(event_type).copied()
    }

    pub(crate) fn scope(&self, symbol: u32) -> Option<&Arc<Scope>> {
        match self.symbols.get(symbol)? {
            Symbol::Scope(scope) => Some(scope),
            _ => None,
        }
    }

    pub(crate) fn event_type(&self, symbol: u32) -> Option<&ByteString> {
        match self.symbols.get(symbol)? {
            Symbol::Type(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a stream's entry in [`streams`](Self::streams); `hash` is its [`KeyHash::stream`].
    pub(crate) fn find_stream(&self, hash: u64, scope: &Scope, stream: &str) -> Option<u32> {
        let is_it = |number: &u32| {
            self.streams.get(*number as usize).is_some_and(|entry| {
                let is_named = entry.id.as_bytes() == stream.as_bytes()
                    || planted(Bug::StreamByLength) && entry.id.as_bytes().len() == stream.len();
                is_named && self.scope(entry.scope_symbol).is_some_and(|of| **of == *scope)
            })
        };
        self.stream_table.find(hash, is_it).copied()
    }

    /// The ordinals of the events with `id`, of any scope.
    pub(crate) fn find_id(&self, id: Uuid) -> impl Iterator<Item = u32> {
        let is_newer = id.get_version_num() == 7 && id > self.newest_v7;
        let hashed = (!is_newer).then(|| self.id_table.iter_hash(hash_of_id(&self.id_hasher, id)));
        let is_it = move |ordinal: &u32| self.events.get(*ordinal as usize).is_some_and(|event| event.id == id);
        hashed.into_iter().flatten().copied().filter(move |ordinal| is_it(ordinal))
    }

    /// Whether it holds an event with any of these ids, of any scope.
    pub(crate) fn holds_any(&self, mut ids: impl Iterator<Item = Uuid>) -> bool {
        ids.any(|id| self.find_id(id).next().is_some())
    }

    /// Ordinals of events that may have this correlation id (other than by being its event).
    pub(crate) fn correlated(&self, id: Uuid) -> &[u32] {
        self.correlation_table.get(&self.hash.correlation(id)).map_or(&[], Vec::as_slice)
    }

    /// Ordinals of events that may have this causation id.
    pub(crate) fn caused_by(&self, id: Uuid) -> &[u32] {
        self.causation_table.get(&self.hash.causation(id)).map_or(&[], Vec::as_slice)
    }

    /// Offsets of records of other rooms that may have this key.
    pub(crate) fn rooms_with(&self, kind: u8, key: &[u8]) -> impl Iterator<Item = u32> {
        let numbers = self.room_table.get(&self.hash.room(kind, key)).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|number| self.rooms.get(*number as usize)).map(|entry| entry.offset)
    }

    /// Where the event with `ordinal` is, and when its frame was recorded.
    #[inline]
    pub(crate) fn place_of(&self, ordinal: u32) -> Option<(u32, i64)> {
        let event = self.events.get(ordinal as usize)?;
        Some((event.offset, self.frames.get(event.frame as usize)?.recorded_at))
    }

    /// The frame that holds the record at `offset`.
    pub(crate) fn frame_at(&self, offset: u32) -> Option<FrameEntry> {
        let after = self.frames.partition_point(|frame| frame.offset <= offset);
        self.frames.get(after.checked_sub(1)?).copied()
    }

    /// Takes a stream into the index that an older part of the same segment has named: its symbol and version there.
    pub(crate) fn adopt_stream(
        &mut self,
        symbol: u32,
        scope_symbol: u32,
        scope: &Arc<Scope>,
        id: ByteString,
        version: u64,
    ) {
        self.adopt_scope(scope_symbol, scope.clone());
        self.add_stream(symbol, scope_symbol, id, 0, version);
    }

    /// Takes a scope's symbol from an older part of the same segment.
    pub(crate) fn adopt_scope(&mut self, symbol: u32, scope: Arc<Scope>) {
        self.scopes.entry((*scope).clone()).or_insert(symbol);
        self.symbols.insert_new(symbol, Symbol::Scope(scope));
    }

    /// Takes a type's symbol from an older part of the same segment.
    pub(crate) fn adopt_type(&mut self, symbol: u32, text: ByteString) {
        self.types.entry(text.clone()).or_insert(symbol);
        self.symbols.insert_new(symbol, Symbol::Type(text));
    }

    fn add_stream(&mut self, symbol: u32, scope_symbol: u32, id: ByteString, previous_segment: u32, base_version: u64) {
        let hash = match self.scope(scope_symbol) {
            Some(scope) => self.hash.stream(scope, &id),
            None => return,
        };
        let number = self.streams.len() as u32;
        self.streams.push(StreamEntry {
            hash,
            scope_symbol,
            symbol,
            id,
            previous_segment,
            base_version,
            events: Vec::new(),
            keyframes: Vec::new(),
        });
        self.symbols.insert(symbol, Symbol::Stream(number));
        let streams = &self.streams;
        let hash_of = |number: &u32| streams.get(*number as usize).map_or(0, |entry| entry.hash);
        self.stream_table.insert_unique(hash, number, hash_of);
    }

    /// Begins a frame at `offset`.
    pub(crate) fn begin_frame(&mut self, offset: u32, header: &FrameHeader) -> Result<(), Bad> {
        if header.first_position != self.next_position() {
            return Err("the frame's first position doesn't follow the position before it");
        }
        let first_ordinal = self.events.len() as u32;
        self.frames.push(FrameEntry { offset, first_ordinal, recorded_at: header.recorded_at });
        self.closed = false;
        self.last_crc = header.crc;
        self.end = offset + header.length;
        Ok(())
    }

    /// Adds a record of the frame begun last. Its CRC was checked, or it is about to be written.
    pub(crate) fn add(&mut self, offset: u32, header: &RecordHeader, body: &[u8]) -> Result<(), Bad> {
        match RecordKind::from_number(header.kind) {
            Some(RecordKind::Event | RecordKind::Erased) => self.add_event(offset, header, body),
            Some(RecordKind::Symbol) => self.add_symbol(offset, header, SymbolBody::decode(body)?),
            Some(RecordKind::Keyframe) => self.add_keyframe(offset, header, body),
            Some(RecordKind::Closing) => {
                self.closed = true;
                Ok(())
            }
            Some(_) => {
                let key = RoomBody::decode(body)?.key;
                self.add_room(offset, header.kind, key);
                Ok(())
            }
            None => {
                tracing::warn!(kind = header.kind, offset, "a record of an unknown kind is skipped");
                Ok(())
            }
        }
    }

    fn stream_of(&self, symbol: u32) -> Result<u32, Bad> {
        match self.symbols.get(symbol) {
            Some(Symbol::Stream(number)) => Ok(*number),
            _ => Err("the record refers to a stream that is not named before it"),
        }
    }

    fn add_event(&mut self, offset: u32, header: &RecordHeader, body: &[u8]) -> Result<(), Bad> {
        let EventBody { id, correlation_id, causation_id, .. } = EventBody::decode(body)?;
        if self.event_type(header.type_symbol).is_none() {
            return Err("the event refers to a type that is not named before it");
        }
        let stream = self.stream_of(header.stream_symbol)?;
        let (type_symbol, version) = (header.type_symbol, header.version);
        self.push_event(&NewEvent { offset, stream, type_symbol, version, id, correlation_id, causation_id })
    }

    /// Adds an event of a stream and a type that are known here.
    pub(crate) fn push_event(&mut self, event: &NewEvent) -> Result<(), Bad> {
        let ordinal = self.events.len() as u32;
        let entry = self.streams.get_mut(event.stream as usize).ok_or("the event's stream is not known")?;
        if Some(event.version) != entry.version().checked_add(1) {
            return Err("the event's version doesn't follow the version before it");
        }
        entry.events.push(ordinal);
        let next_kind = self.kinds.len() as u32;
        let pair = (entry.scope_symbol, event.type_symbol);
        let kind = *self.kind_table.entry(pair).or_insert(next_kind);
        if kind == next_kind {
            self.kinds.push(pair);
        }
        let frame = (self.frames.len() as u32).saturating_sub(1);
        self.events.push(EventEntry { offset: event.offset, kind, frame, id: event.id });
        let hasher = &self.id_hasher;
        let events = &self.events;
        let hash_of = |ordinal: &u32| events.get(*ordinal as usize).map_or(0, |event| hash_of_id(hasher, event.id));
        let hash = hash_of_id(hasher, event.id);
        self.id_table.insert_unique(hash, ordinal, hash_of);
        if event.id.get_version_num() == 7 {
            self.newest_v7 = self.newest_v7.max(event.id);
        }
        let recorded_at = self.frames.last().map_or(0, |frame| frame.recorded_at);
        match near_micros(event.id, recorded_at) {
            Some(made_at) => {
                let (first, last) = self.near_ids.unwrap_or((made_at, made_at));
                self.near_ids = Some((first.min(made_at), last.max(made_at)));
            }
            None => self.far_keys.push(self.hash.id(event.id)),
        }
        if let Some(id) = event.correlation_id {
            let hash = self.hash.correlation(id);
            self.correlations.push((hash, ordinal));
            self.correlation_table.entry(hash).or_default().push(ordinal);
            self.far_keys.push(hash);
        }
        if let Some(id) = event.causation_id {
            let hash = self.hash.causation(id);
            self.causations.push((hash, ordinal));
            self.causation_table.entry(hash).or_default().push(ordinal);
            self.far_keys.push(hash);
        }
        Ok(())
    }

    fn add_symbol(&mut self, offset: u32, header: &RecordHeader, symbol: SymbolBody<'_>) -> Result<(), Bad> {
        let number = header.stream_symbol;
        if number != self.next_symbol {
            return Err("the symbol's number doesn't follow the number before it");
        }
        self.next_symbol += 1;
        self.symbol_offsets.push(offset);
        match symbol {
            SymbolBody::Scope { tenant, application } => {
                let scope = Scope::new(tenant, application).map_err(|_| "the symbol names no scope")?;
                self.adopt_scope(number, Arc::new(scope));
            }
            SymbolBody::Type(text) => self.adopt_type(number, ByteString::from(text)),
            SymbolBody::Stream { scope, previous_segment, id } => {
                if self.scope(scope).is_none() {
                    return Err("the stream's symbol refers to a scope that is not named before it");
                }
                self.new_streams += u32::from(previous_segment == 0);
                self.add_stream(number, scope, ByteString::from(id), previous_segment, header.version);
            }
        }
        Ok(())
    }

    fn add_keyframe(&mut self, offset: u32, header: &RecordHeader, body: &[u8]) -> Result<(), Bad> {
        let keyframe = KeyframeBody::decode(body)?;
        let number = self.stream_of(header.stream_symbol)?;
        let entry = self.streams.get_mut(number as usize).ok_or("the keyframe's stream is not known")?;
        if header.version > entry.version() || header.version == 0 {
            return Err("the keyframe's version is beyond its stream");
        }
        let fold = crc32fast::hash(keyframe.fold.as_bytes());
        let place = entry.keyframes.partition_point(|keyframe| keyframe.version <= header.version);
        entry.keyframes.insert(place, KeyframeEntry { version: header.version, fold, offset });
        Ok(())
    }

    fn add_room(&mut self, offset: u32, kind: u8, key: &[u8]) {
        let hash = self.hash.room(kind, key);
        self.room_table.entry(hash).or_default().push(self.rooms.len() as u32);
        self.rooms.push(RoomEntry { hash, offset, kind });
        self.far_keys.push(hash);
    }
}

fn hash_of_id(hasher: &DefaultHashBuilder, id: Uuid) -> u64 {
    hasher.hash_one(id.as_u128())
}

/// When an id was made that is a version 7 UUID made within [`NEAR_MICROS`] of when it was recorded. Such ids are looked
/// for in the segments that hold ids made about then; all others in the directory.
fn near_micros(id: Uuid, recorded_at: i64) -> Option<i64> {
    v7_micros(id).filter(|made_at| made_at.abs_diff(recorded_at) <= NEAR_MICROS.unsigned_abs())
}

/// When a version 7 UUID was made, in microseconds since the Unix epoch.
pub(crate) fn v7_micros(id: Uuid) -> Option<i64> {
    if id.get_version_num() != 7 {
        return None;
    }
    i64::try_from((id.as_u128() >> 80) as u64).ok()?.checked_mul(1_000)
}
