//! What is whole of one damaged segment: frame by frame, looking for the next one that is genuine after each damage.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Found, FoundRecord, examine};
use super::unreadable::Patched;
use crate::event::Scope;
use crate::log::derived::NOT_CLOSED;
use crate::log::format::{
    FRAME_HEADER_LEN, FrameHeader, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN, SegmentEnd, SymbolBody,
};
use crate::log::index::{FrameEntry, IndexFile, KeyHash, MemoryIndex};
use crate::log::recovery;
use crate::log::segment::{Segment, Window};
use crate::log::{Address, MAX_FRAME, ReadError, RecordKind};
use bytestring::ByteString;

/// Bytes of a segment that are no record that was written, or one that can't be understood any more.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) offset: u32,
    pub(super) bytes: u32,
    pub(super) what: Cow<'static, str>,
}

/// What a symbol number stands for.
enum Name {
    Scope(Arc<Scope>),
    Type(ByteString),
    Stream { scope: u32, id: ByteString },
}

/// A segment on its way to being salvaged.
pub(super) struct Salvaged {
    pub(super) segment: Arc<Segment>,
    /// The segment's file.
    patched: Arc<Patched>,
    hash: KeyHash,
    /// What was sealed, where there is an index of it: finds records of frames that aren't whole.
    pub(super) index: Option<Arc<IndexFile>>,
    /// Of the file.
    pub(super) end: u32,
    /// Indexes of what is whole, in order, no event missing within one.
    pub(super) pieces: Vec<MemoryIndex>,
    pub(super) damages: Vec<Damage>,
    pub(super) piece: Option<MemoryIndex>,
    /// Where the events of the last whole frame end.
    pub(super) next_position: u64,
    names: HashMap<u32, Name>,
    pub(super) last_recorded: i64,
    last_crc: u32,
    /// How the segment ends, where the last frame taken closes it.
    pub(super) closing: Option<SegmentEnd>,
    /// CRCs of the frames taken: a copy of one, within somebody's data, is no frame of its own.
    pub(super) taken: HashSet<u32>,
}

/// Whether a frame may stand after those taken before.
#[derive(PartialEq, Eq)]
enum Follows {
    Directly,
    AfterLoss,
    No,
}

pub(super) const NO_FRAME: &str = "no whole frame";
const NOT_NEXT: &str = "frames are missing here";

/// Takes what is whole. Of the segment that the log ends with, `durable_end` is where `LOCK` says that it ended.
pub(super) fn salvage(
    segment: &Arc<Segment>,
    patched: &Arc<Patched>,
    hash: &KeyHash,
    durable_end: Option<Address>,
    index: Option<Arc<IndexFile>>,
) -> Result<Salvaged, ReadError> {
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    let mut salvaged = Salvaged {
        segment: segment.clone(),
        patched: patched.clone(),
        hash: hash.clone(),
        index,
        end: u32::try_from(length).unwrap_or(u32::MAX),
        pieces: Vec::new(),
        damages: Vec::new(),
        piece: None,
        next_position: 0,
        names: HashMap::new(),
        last_recorded: i64::MIN,
        last_crc: recovery::header_crc(segment),
        closing: None,
        taken: HashSet::new(),
    };
    salvaged.run(durable_end)?;
    Ok(salvaged)
}

impl Salvaged {
    fn run(&mut self, durable_end: Option<Address>) -> Result<(), ReadError> {
        let mut window = Window::default();
        let mut at = SEGMENT_HEADER_LEN as u32;
        while at < self.end {
            let frame = self.frame_at(at, &mut window)?;
            let follows = frame.as_ref().map_or(Follows::No, |(found, _)| self.follows(&found.header));
            if let (Follows::Directly, Some((found, bytes))) = (&follows, &frame) {
                self.take(at, found, bytes);
                at += found.header.length;
                continue;
            }
            self.end_piece();
            if let Some(durable_end) = durable_end
                && durable_end <= Address::new(self.segment.number(), at)
                && !recovery::was_synced(&self.segment, at)?
                && !(self.patched.is_unreadable_from(u64::from(at)) && self.next_frame(at + 1)?.is_some())
            {
                // The end of the log, or what a crash left of writes that nobody was told were durable.
                break;
            }
            if let (Follows::AfterLoss, Some((found, bytes))) = (&follows, &frame) {
                self.lost(at, 0, NOT_NEXT);
                self.take(at, found, bytes);
                at += found.header.length;
                continue;
            }
            let next = self.next_frame(at + 1)?.unwrap_or(self.end);
            let frame = self.frame_at(next, &mut window)?;
            self.take_indexed(at, next, frame.as_ref().map(|(found, _)| found.header.first_position))?;
            at = next;
            if let Some((found, bytes)) = frame {
                self.take(at, &found, &bytes);
                at += found.header.length;
            }
        }
        self.end_piece();
        if durable_end.is_none() && self.closing.is_none() {
            self.lost(at, 0, NOT_CLOSED);
        }
        let ended = Address::new(self.segment.number(), at);
        if let Some(durable_end) = durable_end.filter(|durable_end| *durable_end > ended) {
            let bytes = durable_end.offset().saturating_sub(at);
            self.lost(at, bytes, "the segment ends before what LOCK says was durable");
        }
        self.end = at;
        Ok(())
    }

    /// Where the frames that were taken end.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    fn frame_at(&self, at: u32, window: &mut Window) -> Result<Option<(Found, Bytes)>, ReadError> {
        let left = self.end.saturating_sub(at) as usize;
        if left < FRAME_HEADER_LEN {
            return Ok(None);
        }
        let head = self.segment.slice(at as usize, FRAME_HEADER_LEN, self.end, window)?;
        let Ok(header) = FrameHeader::decode(&head, MAX_FRAME.min(left)) else { return Ok(None) };
        let bytes = self.segment.slice(at as usize, header.length as usize, self.end, window)?;
        let after = at as usize + header.length as usize;
        let chained = if after + FRAME_HEADER_LEN <= self.end as usize {
            let next = self.segment.slice(after, FRAME_HEADER_LEN, self.end, &mut Window::default())?;
            next.get(32..).and_then(|rest| rest.first_chunk()).map(|crc| u32::from_le_bytes(*crc))
        } else {
            None
        };
        Ok(examine(&bytes, &self.segment.salt, chained).map(|found| (found, bytes)))
    }

    fn follows(&self, header: &FrameHeader) -> Follows {
        let chains = header.previous_crc == self.last_crc;
        let is_first = self.taken.is_empty() && self.next_position == 0;
        let goes_on = header.first_position == self.next_position || is_first;
        if chains && goes_on {
            return Follows::Directly;
        }
        let later = header.first_position >= self.next_position && header.recorded_at >= self.last_recorded;
        let known = self.taken.contains(&header.crc) || (!chains && self.taken.contains(&header.previous_crc));
        if later && !known { Follows::AfterLoss } else { Follows::No }
    }

    /// The first genuine frame at or after `from`, wherever it stands: bytes may have been put in or taken out.
    fn next_frame(&self, from: u32) -> Result<Option<u32>, ReadError> {
        const WINDOW: u32 = 256 << 10;
        let mut window = Window::default();
        let mut at = from;
        while self.end.saturating_sub(at) >= FRAME_HEADER_LEN as u32 {
            let to = self.end.min(at.saturating_add(WINDOW + FRAME_HEADER_LEN as u32));
            let stretch = self.segment.slice(at as usize, (to - at) as usize, self.end, &mut Window::default())?;
            let heads = stretch.windows(FRAME_HEADER_LEN).take(WINDOW as usize);
            for (head, candidate) in heads.zip(at..) {
                let left = (self.end - candidate) as usize;
                if FrameHeader::decode(head, MAX_FRAME.min(left)).is_err() {
                    continue;
                }
                if let Some((found, _)) = self.frame_at(candidate, &mut window)?
                    && self.follows(&found.header) != Follows::No
                {
                    return Ok(Some(candidate));
                }
            }
            at = at.saturating_add(WINDOW);
        }
        Ok(None)
    }

    pub(super) fn lost(&mut self, offset: u32, bytes: u32, what: &'static str) {
        self.end_piece();
        self.damages.push(Damage { offset, bytes, what: what.into() });
    }

    fn end_piece(&mut self) {
        let holds_something = |piece: &MemoryIndex| !piece.events.is_empty() || !piece.rooms.is_empty();
        self.pieces.extend(self.piece.take().filter(holds_something));
    }

    /// Takes what is whole of a genuine frame.
    fn take(&mut self, at: u32, found: &Found, frame: &[u8]) {
        let header = &found.header;
        self.next_position = header.first_position;
        let entry = |first_ordinal| FrameEntry { offset: at, first_ordinal, recorded_at: header.recorded_at };
        if let Some(piece) = &mut self.piece {
            piece.frames.push(entry(piece.events.len() as u32));
        }
        for record in &found.records {
            let offset = at + record.offset;
            if !record.whole {
                self.lost(offset, record.length, "the record's CRC doesn't match");
                continue;
            }
            let body_at = record.offset as usize + RECORD_HEADER_LEN;
            let body = frame.get(body_at..body_at + record.header.body_len as usize).unwrap_or_default();
            if let Err(what) = self.take_record(offset, record, body, entry(0)) {
                self.lost(offset, record.length, what);
            }
        }
        if let Some(piece) = &mut self.piece {
            piece.end = at + header.length;
        }
        self.next_position = header.first_position.saturating_add(u64::from(header.events));
        self.last_recorded = header.recorded_at;
        self.last_crc = header.crc;
        let closes = |record: &FoundRecord| record.whole && record.header.kind == RecordKind::Closing as u8;
        let end = SegmentEnd { last_crc: header.crc, offset: at + header.length };
        self.closing = found.records.iter().any(closes).then_some(end);
        self.taken.insert(header.crc);
    }

    pub(super) fn take_record(
        &mut self,
        offset: u32,
        record: &FoundRecord,
        body: &[u8],
        frame: FrameEntry,
    ) -> Result<(), &'static str> {
        let header = &record.header;
        match RecordKind::from_number(header.kind) {
            Some(RecordKind::Symbol) => {
                let symbol = SymbolBody::decode(body)?;
                let number = header.stream_symbol;
                let (name, scope) = match symbol {
                    SymbolBody::Scope { tenant, application } => {
                        let scope = Scope::new(tenant, application).map_err(|_| "the symbol names no scope")?;
                        (Name::Scope(Arc::new(scope)), None)
                    }
                    SymbolBody::Type(text) => (Name::Type(ByteString::from(text)), None),
                    SymbolBody::Stream { scope, id, .. } => {
                        (Name::Stream { scope, id: ByteString::from(id) }, Some(scope))
                    }
                };
                self.names.insert(number, name);
                if scope.is_some_and(|scope| !matches!(self.names.get(&scope), Some(Name::Scope(_)))) {
                    return Ok(());
                }
                self.begin_piece(offset, self.next_position, frame);
                if let Some(scope) = scope {
                    self.adopt(scope, 0)?;
                }
                let Some(piece) = &mut self.piece else { return Ok(()) };
                piece.next_symbol = number;
                piece.add(offset, header, body)?;
                piece.end = offset + record.length;
            }
            Some(RecordKind::Event | RecordKind::Erased) => {
                let position = record.position.ok_or("the event's position can't be told")?;
                if self.piece.as_ref().is_some_and(|piece| piece.next_position() != position) {
                    self.end_piece();
                }
                self.begin_piece(offset, position, frame);
                self.next_position = position.saturating_add(1);
                self.adopt(header.type_symbol, 0)?;
                self.adopt(header.stream_symbol, header.version.saturating_sub(1))?;
                let Some(piece) = &mut self.piece else { return Ok(()) };
                piece.add(offset, header, body)?;
                piece.end = offset + record.length;
            }
            Some(RecordKind::Keyframe) => {
                // A help to folds; of a stream whose version here isn't certain it is passed over.
                if let Some(piece) = &mut self.piece
                    && piece.symbols.contains(header.stream_symbol)
                    && piece.add(offset, header, body).is_ok()
                {
                    piece.end = offset + record.length;
                }
            }
            Some(RecordKind::Closing) | None => {}
            Some(_) => {
                self.begin_piece(offset, self.next_position, frame);
                let Some(piece) = &mut self.piece else { return Ok(()) };
                piece.add(offset, header, body)?;
                piece.end = offset + record.length;
            }
        }
        Ok(())
    }

    fn begin_piece(&mut self, offset: u32, position: u64, frame: FrameEntry) {
        if self.piece.is_none() {
            let mut piece = MemoryIndex::new(self.hash.clone(), offset, 1, position);
            piece.frames.push(frame);
            self.piece = Some(piece);
        }
    }

    /// Makes a symbol that was named earlier known to the piece; of a stream, as it stood at `version`.
    fn adopt(&mut self, symbol: u32, version: u64) -> Result<(), &'static str> {
        let Some(piece) = &mut self.piece else { return Ok(()) };
        if piece.symbols.contains(symbol) {
            return Ok(());
        }
        match self.names.get(&symbol) {
            Some(Name::Scope(scope)) => piece.adopt_scope(symbol, scope.clone()),
            Some(Name::Type(text)) => piece.adopt_type(symbol, text.clone()),
            Some(Name::Stream { scope: scope_symbol, id }) => match self.names.get(scope_symbol) {
                Some(Name::Scope(scope)) => piece.adopt_stream(symbol, *scope_symbol, scope, id.clone(), version),
                _ => return Err("its scope was named in what is lost"),
            },
            None => return Err("its type or stream was named in what is lost"),
        }
        Ok(())
    }
}
