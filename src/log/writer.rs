//! The committer's side of the log: turns batches of prepared appends into frames, one at a time.

use std::io;
use std::sync::Arc;

use super::format::{
    ClosingReason, FRAME_HEADER_LEN, FrameHeader, RecordHeader, SEGMENT_HEADER_LEN, Salt, SegmentEnd, SegmentHeader,
    SymbolBody, crc_of_body, encode_closing, encode_symbol, put_record, seal_frame,
};
use super::index::{MemoryIndex, NewEvent};
use super::part::{Horizon, MemoryPart};
use super::prepared::{Prepared, PreparedEvent, PreparedStream};
use super::segment::{Segment, segment_name};
use super::view::View;
use super::{Address, AppendError, Durability, MAX_SEGMENT_ENTRIES, ReadError, RecordKind, Written};
use crate::event::Scope;
use crate::planted::{Bug, planted};
use crate::storage::{Disk, Environment};

/// Space is zero-filled and synced ahead of the writer in chunks that double from the first to the last of these.
const CHUNKS: (u64, u64) = (1 << 20, 32 << 20);
/// Kept free in a segment for its closing frame.
const CLOSING_ROOM: u64 = 128;

/// The end of the log, where frames are added.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) part: Arc<MemoryPart>,
    /// The end of what is written, durable or not.
    pub(crate) offset: u32,
    pub(crate) last_crc: u32,
    pub(crate) last_recorded: i64,
    /// The file is filled with zeros, durably, up to here.
    filled: u64,
    /// The file may reach beyond that: it was being filled when there was no more room.
    overfilled: bool,
    chunk: u64,
    /// The end of what is durable.
    pub(crate) synced_to: Address,
    /// Whether the last frame written is a closing one.
    closed: bool,
    frame: Vec<u8>,
    crcs: Vec<u32>,
}

/// What became of one append of a batch.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It is in the log.
    Written(Vec<Written>),
    /// Ids that were new when it was prepared are known now: it is to be prepared again.
    Again,
}

/// What a batch came to.
pub(crate) struct Batch {
    pub(crate) results: Vec<Result<Committed, AppendError>>,
    /// Whether an answer must not be given before all that is written is durable.
    pub(crate) must_sync: bool,
}

/// Why a batch could not be written.
pub(crate) enum Failure {
    /// Nothing was written; the log is as before.
    Refused(AppendError),
    /// The frame may stand in part; the store takes no more.
    Poisoned { operation: &'static str, source: io::Error },
}

/// Why an append of a batch isn't in its frame.
enum Refusal {
    /// Nothing of it is. `undurable`: the reason is not durable yet, and must be before the caller is told.
    No { error: AppendError, undurable: bool },
    /// Part of it may be: the frame must not be written.
    Broken(ReadError),
}

/// A batch while its frame is built.
struct Build<'a> {
    /// What stands before the part that is written to.
    before: &'a View,
    /// The segment that is written to.
    tail: u32,
    index: &'a mut MemoryIndex,
    frame: &'a mut Vec<u8>,
    crcs: &'a mut Vec<u32>,
    salt: &'a Salt,
    /// Where the frame will stand.
    at: u32,
    recorded_at: i64,
}

/// Where a stream of an append is written to.
#[derive(Clone, Copy, Debug, Default)]
struct Target {
    /// Its entry in the index of the active part, once it has one.
    number: Option<u32>,
    symbol: u32,
    /// Its version so far.
    version: u64,
    /// The newest segment that names it; 0: none does.
    segment: u32,
}

impl Build<'_> {
    /// Adds a record to the frame; says where it will stand.
    fn put(&mut self, kind: RecordKind, symbols: (u32, u32), version: u64, body: &[u8], crc: u32) -> u32 {
        let offset = self.at + self.frame.len() as u32;
        self.crcs.push(put_record(self.frame, self.salt, kind as u8, symbols, version, body, crc));
        offset
    }

    /// Adds a record to the frame and to the index.
    fn put_indexed(
        &mut self,
        kind: RecordKind,
        symbols: (u32, u32),
        version: u64,
        body: &[u8],
        crc: u32,
    ) -> Result<(), ReadError> {
        let offset = self.put(kind, symbols, version, body, crc);
        let header = RecordHeader {
            body_len: body.len() as u32,
            crc: 0,
            kind: kind as u8,
            type_symbol: symbols.0,
            stream_symbol: symbols.1,
            version,
        };
        self.index.add(offset, &header, body).map_err(|what| self.refused(offset, what))
    }

    /// The index refuses what recovery would refuse: it can't happen, and must not reach the disk.
    fn refused(&self, offset: u32, what: &'static str) -> ReadError {
        ReadError::Corrupt { file: segment_name(self.tail), offset: u64::from(offset), what }
    }

    fn put_symbol(&mut self, symbol: &SymbolBody<'_>, version: u64) -> Result<u32, ReadError> {
        let number = self.index.next_symbol;
        let body = encode_symbol(symbol);
        let crc = crc_of_body(&body);
        self.put_indexed(RecordKind::Symbol, (0, number), version, &body, crc)?;
        Ok(number)
    }

    fn scope(&mut self, scope: &Scope) -> Result<u32, ReadError> {
        match self.index.scope_symbol(scope) {
            Some(symbol) => Ok(symbol),
            None => self.put_symbol(&SymbolBody::of_scope(scope), 0),
        }
    }

    fn event_type(&mut self, event_type: &str) -> Result<u32, ReadError> {
        match self.index.type_symbol(event_type) {
            Some(symbol) => Ok(symbol),
            None => self.put_symbol(&SymbolBody::Type(event_type), 0),
        }
    }

    /// Names the stream in this segment where it isn't named yet.
    fn name(&mut self, scope: &Scope, stream: &PreparedStream, target: &mut Target) -> Result<u32, ReadError> {
        if let Some(number) = target.number {
            return Ok(number);
        }
        let scope_symbol = self.scope(scope)?;
        let adopted = if target.segment == self.tail {
            // An older part of this very segment may name it.
            let mut parts = self.before.stream_parts_newest_first(scope, &stream.id, Horizon::Written);
            parts.next().transpose()?.map(|(_, found)| found.symbol)
        } else {
            None
        };
        target.symbol = match adopted {
            Some(symbol) => {
                let scope = Arc::new(scope.clone());
                self.index.adopt_stream(symbol, scope_symbol, &scope, (*stream.id).into(), target.version);
                symbol
            }
            None => {
                let (previous_segment, id) = (target.segment, &*stream.id);
                self.put_symbol(&SymbolBody::Stream { scope: scope_symbol, previous_segment, id }, target.version)?
            }
        };
        // Both add it at the end.
        let number = (self.index.streams.len() as u32).saturating_sub(1);
        target.number = Some(number);
        Ok(number)
    }

    /// Where a stream is at this point of the serial order.
    fn target(&self, prepared: &Prepared, scope: &Scope, stream: &PreparedStream) -> Result<Target, ReadError> {
        let number = self.index.find_stream(stream.hash, scope, &stream.id);
        if let Some(entry) = number.and_then(|number| self.index.streams.get(number as usize)) {
            let (symbol, version) = (entry.symbol, entry.version());
            return Ok(Target { number, symbol, version, segment: self.tail });
        }
        // (0, 0) of a stream that the active part knew when this was prepared, in a segment that is sealed by now.
        let (version, segment) = match prepared.tail == self.tail {
            true => stream.head,
            false => self.before.head(scope, &stream.id, Horizon::Written)?,
        };
        Ok(Target { number: None, symbol: 0, version, segment })
    }

    /// Whether an id has become known since the append was prepared.
    fn is_known(&self, prepared: &Prepared, scope: &Scope, id: uuid::Uuid) -> Result<bool, ReadError> {
        let here = self.index.find_id(id).any(|ordinal| {
            let kind = self.index.events.get(ordinal as usize).map(|event| event.kind as usize);
            let of = kind.and_then(|kind| self.index.scope(self.index.kinds.get(kind)?.0));
            of.is_some_and(|of| **of == *scope)
        });
        if here || prepared.tail == self.tail {
            return Ok(here);
        }
        Ok(!self.before.find_id(Some(scope), id, Horizon::Written)?.is_empty())
    }

    /// Adds one append, or nothing of it.
    fn append(&mut self, prepared: &Prepared, durable_events: u32) -> Result<Committed, Refusal> {
        let refuse = |error| Refusal::No { error, undurable: false };
        let fail = |error: ReadError| refuse(error.into());
        let mut targets = Vec::with_capacity(prepared.streams.len());
        if let Some(scope) = &prepared.scope {
            // Where nothing came in since the look-ups, they still hold.
            let is_same = (prepared.tail, prepared.tail_events) == (self.tail, self.index.events.len() as u32);
            for event in prepared.events.iter().filter(|_| !is_same) {
                if self.is_known(prepared, scope, event.id).map_err(fail)? {
                    return Ok(Committed::Again);
                }
            }
            for stream in &prepared.streams {
                let target = self.target(prepared, scope, stream).map_err(fail)?;
                let is_checked = !planted(Bug::VersionCheckedEarly);
                let mut expected = stream.expected.iter();
                if let Some(expected) = expected.find(|expected| is_checked && !expected.allows(target.version)) {
                    let (stream, actual) = (stream.id.to_string(), target.version);
                    let error = AppendError::Conflict { stream, expected: *expected, actual };
                    // The caller must not learn of a head that a crash could still take back.
                    let undurable =
                        self.index.events.len() as u32 > durable_events && !planted(Bug::ConflictNotDurable);
                    return Err(Refusal::No { error, undurable });
                }
                targets.push(target);
            }
            for keyframe in &prepared.keyframes {
                if targets.get(keyframe.stream).is_none_or(|target| keyframe.version > target.version) {
                    return Err(refuse(AppendError::Empty));
                }
            }
        }
        if let Some(recorded) = prepared.as_recorded
            && recorded.first_position != self.index.next_position()
        {
            let conflict = AppendError::Conflict {
                stream: "the whole log".to_owned(),
                expected: super::ExpectedVersion::Exact(recorded.first_position.saturating_sub(1)),
                actual: self.index.next_position().saturating_sub(1),
            };
            return Err(refuse(conflict));
        }
        // From here on nothing can refuse it.
        self.write(prepared, &mut targets).map(Committed::Written).map_err(Refusal::Broken)
    }

    fn write(&mut self, prepared: &Prepared, targets: &mut [Target]) -> Result<Vec<Written>, ReadError> {
        let mut written = Vec::with_capacity(prepared.events.len());
        if let Some(scope) = &prepared.scope {
            let mut types = vec![0; prepared.types.len()];
            let mut body_start = 0;
            for event in &prepared.events {
                let (Some(event_type), Some(type_symbol), Some(stream), Some(target), Some(body)) = (
                    prepared.types.get(event.event_type),
                    types.get_mut(event.event_type),
                    prepared.streams.get(event.stream),
                    targets.get_mut(event.stream),
                    prepared.bodies.get(body_start..event.body_end),
                ) else {
                    return Err(self.refused(self.at, "an append whose parts don't fit"));
                };
                body_start = event.body_end;
                if *type_symbol == 0 {
                    *type_symbol = self.event_type(event_type)?;
                }
                let (number, type_symbol) = (self.name(scope, stream, target)?, *type_symbol);
                target.version += 1;
                let (symbol, version, position) = (target.symbol, target.version, self.index.next_position());
                let offset = self.put(RecordKind::Event, (type_symbol, symbol), version, body, event.body_crc);
                let PreparedEvent { id, correlation_id, causation_id, .. } = *event;
                let new = NewEvent { offset, stream: number, type_symbol, version, id, correlation_id, causation_id };
                self.index.push_event(&new).map_err(|what| self.refused(offset, what))?;
                written.push(Written { id, version, position, recorded_at: self.recorded_at });
            }
            for keyframe in &prepared.keyframes {
                let at = keyframe.stream;
                let (Some(stream), Some(target)) = (prepared.streams.get(at), targets.get_mut(at)) else { continue };
                self.name(scope, stream, target)?;
                let (symbols, crc) = ((0, target.symbol), keyframe.body_crc);
                self.put_indexed(RecordKind::Keyframe, symbols, keyframe.version, &keyframe.body, crc)?;
            }
        }
        for record in &prepared.records {
            self.put_indexed(record.kind, (0, 0), 0, &record.body, record.body_crc)?;
        }
        Ok(written)
    }
}

impl Writer {
    /// A writer at the end of `part`, whose file is filled up to its length.
    pub(crate) fn new(
        part: Arc<MemoryPart>,
        last_crc: u32,
        last_recorded: i64,
        closed: bool,
    ) -> Result<Self, ReadError> {
        let filled = part.segment.file.len().map_err(|error| part.segment.io(error))?;
        let offset = part.index.read().end;
        Ok(Self {
            offset,
            last_crc,
            last_recorded,
            filled,
            overfilled: false,
            chunk: CHUNKS.0,
            synced_to: Address::new(part.segment.number(), offset),
            closed,
            part,
            frame: Vec::new(),
            crcs: Vec::new(),
        })
    }

    /// Whether the segment ends with a closing frame, and its file there too.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed && !self.overfilled && self.filled == u64::from(self.offset)
    }

    /// Where what was written ends, which the segment after this one states.
    pub(crate) fn segment_end(&self) -> SegmentEnd {
        SegmentEnd { last_crc: self.last_crc, offset: self.offset }
    }

    fn segment(&self) -> &Segment {
        &self.part.segment
    }

    /// Whether a batch of `size` bytes and `events` events should begin a new segment.
    pub(crate) fn is_full(&self, size: usize, events: usize, segment_size: u64) -> bool {
        let empty = self.offset == SEGMENT_HEADER_LEN as u32;
        let index = self.part.index.read();
        let entries = index.events.len() + index.rooms.len() + index.streams.len();
        let too_many = entries + events > MAX_SEGMENT_ENTRIES;
        !empty && (u64::from(self.offset) + size as u64 + CLOSING_ROOM > segment_size || too_many)
    }

    /// Fills space for `size` more bytes and a closing frame, durably. Nothing is lost where there is no room. A sync that
    /// fails poisons here as well: it may have been about frames that wait to be made durable.
    pub(crate) fn fill(&mut self, size: usize, segment_size: u64) -> Result<(), Failure> {
        let needed = u64::from(self.offset) + size as u64 + CLOSING_ROOM;
        if needed <= self.filled {
            return Ok(());
        }
        let to = (self.filled + self.chunk).min(segment_size).max(needed);
        let zeros = vec![0; (to - self.filled).min(1 << 20) as usize];
        let no_space = |source: io::Error| {
            Failure::Refused(AppendError::NoSpace { needed: size as u64, source: Arc::new(source) })
        };
        let mut at = self.filled;
        self.overfilled = true;
        while at < to {
            let part = zeros.get(..zeros.len().min((to - at) as usize)).unwrap_or_default();
            self.segment().file.write_all_at(at, part).map_err(no_space)?;
            at += part.len() as u64;
        }
        let synced = self.segment().file.sync();
        synced.map_err(|source| Failure::Poisoned { operation: "sync", source })?;
        (self.filled, self.overfilled) = (to, false);
        self.chunk = (self.chunk * 2).min(CHUNKS.1);
        Ok(())
    }

    /// Writes one frame of a batch for which there is room. Nothing of it is visible before [`sync`](Self::sync).
    pub(crate) fn write_batch(
        &mut self,
        batch: &[Prepared],
        before: &View,
        environment: &Environment,
        durable_events: u32,
    ) -> Result<Batch, Failure> {
        let forced = batch.first().and_then(|prepared| prepared.as_recorded).map(|recorded| recorded.recorded_at);
        let recorded_at = forced.unwrap_or_else(|| environment.clock.now_micros());
        let recorded_at = if planted(Bug::TimeRunsBack) { recorded_at } else { recorded_at.max(self.last_recorded) };
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_LEN, 0);
        self.crcs.clear();
        let part = self.part.clone();
        let mut index = part.index.write();
        let events_before = index.events.len();
        let header = FrameHeader {
            length: 0,
            crc: 0,
            first_position: index.next_position(),
            recorded_at,
            records: 0,
            events: 0,
            previous_crc: self.last_crc,
            body_len: 0,
            synced_to: match planted(Bug::SyncedToAhead) {
                true => Address::new(part.segment.number(), self.offset + 8),
                false => self.synced_to,
            },
        };
        // The index numbers frames only when there is one: begun here, taken back where nothing is added.
        let _ = index.begin_frame(self.offset, &header);
        let mut build = Build {
            before,
            tail: part.segment.number(),
            index: &mut index,
            frame: &mut self.frame,
            crcs: &mut self.crcs,
            salt: &part.segment.salt,
            at: self.offset,
            recorded_at,
        };
        let mut results = Vec::with_capacity(batch.len());
        let mut must_sync = false;
        for prepared in batch {
            match build.append(prepared, durable_events) {
                Ok(committed) => {
                    must_sync |= prepared.durability == Durability::Sync;
                    results.push(Ok(committed));
                }
                Err(Refusal::No { error, undurable }) => {
                    must_sync |= undurable;
                    results.push(Err(error));
                }
                Err(Refusal::Broken(error)) => {
                    return Err(Failure::Poisoned { operation: "write", source: io::Error::other(error) });
                }
            }
        }
        if self.crcs.is_empty() {
            index.frames.pop();
            index.end = self.offset;
            index.last_crc = self.last_crc;
            return Ok(Batch { results, must_sync });
        }
        let events = (index.events.len() - events_before) as u32;
        let header = FrameHeader { records: self.crcs.len() as u32, events, ..header };
        let crc = seal_frame(&mut self.frame, header, &self.crcs, &part.segment.salt);
        index.end = self.offset + self.frame.len() as u32;
        index.last_crc = crc;
        drop(index);
        self.put_frame(crc, recorded_at)?;
        self.closed = false;
        Ok(Batch { results, must_sync })
    }

    fn put_frame(&mut self, crc: u32, recorded_at: i64) -> Result<(), Failure> {
        let written = self.segment().file.write_all_at(u64::from(self.offset), &self.frame);
        written.map_err(|source| match planted(Bug::PartialBatchKept) {
            true => Failure::Refused(AppendError::NoSpace { needed: 0, source: Arc::new(source) }),
            false => Failure::Poisoned { operation: "write", source },
        })?;
        self.offset += self.frame.len() as u32;
        self.last_crc = crc;
        self.last_recorded = recorded_at;
        self.part.set_written();
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<Address, Failure> {
        if !planted(Bug::AcknowledgeBeforeSync) {
            self.segment().file.sync().map_err(|source| Failure::Poisoned { operation: "sync", source })?;
        }
        self.synced_to = Address::new(self.segment().number(), self.offset);
        Ok(self.synced_to)
    }

    /// Ends the segment, or the log for now, with a closing frame, unless it ends with one; makes all durable and gives
    /// back unused space.
    pub(crate) fn close_segment(&mut self, reason: ClosingReason, segment_size: u64) -> Result<Address, Failure> {
        if !self.closed {
            self.fill(0, segment_size)?;
            self.put_closing(reason)?;
        }
        if reason == ClosingReason::Sealed && planted(Bug::RotateWithoutSync) {
            self.synced_to = Address::new(self.segment().number(), self.offset);
            self.filled = u64::from(self.offset);
            return Ok(self.synced_to);
        }
        let end = self.sync()?;
        let file = &self.part.segment.file;
        // Only once the frames are durable: what is cut is zeros.
        file.set_len(u64::from(self.offset))
            .and_then(|()| file.sync())
            .map_err(|source| Failure::Poisoned { operation: "sync", source })?;
        (self.filled, self.overfilled) = (u64::from(self.offset), false);
        self.chunk = CHUNKS.0;
        Ok(end)
    }

    fn put_closing(&mut self, reason: ClosingReason) -> Result<(), Failure> {
        let part = self.part.clone();
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_LEN, 0);
        self.crcs.clear();
        let body = encode_closing(reason);
        let crc = crc_of_body(&body);
        let salt = &part.segment.salt;
        self.crcs.push(put_record(&mut self.frame, salt, RecordKind::Closing as u8, (0, 0), 0, &body, crc));
        let mut index = part.index.write();
        let header = FrameHeader {
            length: 0,
            crc: 0,
            first_position: index.next_position(),
            recorded_at: self.last_recorded,
            records: 1,
            events: 0,
            previous_crc: self.last_crc,
            body_len: 0,
            synced_to: self.synced_to,
        };
        let crc = seal_frame(&mut self.frame, header, &self.crcs, salt);
        let _ = index.begin_frame(self.offset, &FrameHeader { length: self.frame.len() as u32, crc, ..header });
        drop(index);
        self.put_frame(crc, self.last_recorded)?;
        self.closed = true;
        Ok(())
    }
}

/// Creates the file of segment `number`, durably, with its header and nothing else; it gets its name only when it is
/// whole. Once it may have its name there is no way back.
pub(crate) fn create_segment(
    disk: &dyn Disk,
    environment: &Environment,
    store_id: [u8; 16],
    number: u32,
    before: SegmentEnd,
) -> Result<(), Failure> {
    let header = SegmentHeader { store_id, number, salt: environment.entropy.next_u64(), before };
    let temporary = format!("log/{number:08}.seg.new");
    let write = || {
        let file = disk.create(&temporary)?;
        file.write_all_at(0, &header.encode())?;
        file.sync()
    };
    write().map_err(|source| {
        // A file that was never named; an open would remove it as well.
        let _ = disk.remove(&temporary);
        Failure::Refused(AppendError::NoSpace { needed: SEGMENT_HEADER_LEN as u64, source: Arc::new(source) })
    })?;
    let name = || {
        disk.rename(&temporary, &segment_name(number))?;
        if planted(Bug::SegmentNameNotSynced) { Ok(()) } else { disk.sync_dir("log") }
    };
    name().map_err(|source| Failure::Poisoned { operation: "sync", source })
}
