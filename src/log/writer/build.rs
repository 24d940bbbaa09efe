//! The serial point: appends of a batch become records of one frame, each checked against all that stands before it.

use std::sync::Arc;

use super::Committed;
use crate::event::Scope;
use crate::log::format::{RecordHeader, Salt, SymbolBody, crc_of_body, encode_symbol, put_record};
use crate::log::index::{MemoryIndex, NewEvent};
use crate::log::part::Horizon;
use crate::log::prepared::{Prepared, PreparedEvent, PreparedStream};
use crate::log::segment::segment_name;
use crate::log::view::View;
use crate::log::{AppendError, ExpectedVersion, ReadError, RecordKind, Written};
use crate::planted::{Bug, planted};

/// Why an append of a batch isn't in its frame.
pub(super) enum Refusal {
    /// Nothing of it is. `undurable`: the reason is not durable yet, and must be before the caller is told.
    No { error: AppendError, undurable: bool },
    /// Part of it may be: the frame must not be written.
    Broken(ReadError),
}

/// A batch while its frame is built.
pub(super) struct Build<'a> {
    /// What stands before the part that is written to.
    pub(super) before: &'a View,
    /// The segment that is written to.
    pub(super) tail: u32,
    pub(super) index: &'a mut MemoryIndex,
    pub(super) frame: &'a mut Vec<u8>,
    pub(super) crcs: &'a mut Vec<u32>,
    pub(super) salt: &'a Salt,
    /// Where the frame will stand.
    pub(super) at: u32,
    pub(super) recorded_at: i64,
}

/// Where a stream of an append is written to.
#[derive(Clone, Copy, Debug, Default)]
struct Target {
    /// Its entry in the index of the active part, once it has one.
    number: Option<u32>,
    /// Its symbol; 0 where this segment doesn't name it yet.
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
    fn name(&mut self, scope: &Scope, stream: &str, target: &mut Target) -> Result<u32, ReadError> {
        if let Some(number) = target.number {
            return Ok(number);
        }
        let scope_symbol = self.scope(scope)?;
        if target.symbol == 0 {
            let (previous_segment, id) = (target.segment, stream);
            let symbol = SymbolBody::Stream { scope: scope_symbol, previous_segment, id };
            target.symbol = self.put_symbol(&symbol, target.version)?;
        } else {
            let (scope, id) = (Arc::new(scope.clone()), stream.into());
            self.index.adopt_stream(target.symbol, scope_symbol, &scope, id, target.version);
        }
        // Both add it at the end.
        let number = (self.index.streams.len() as u32).saturating_sub(1);
        target.number = Some(number);
        Ok(number)
    }

    /// Where a stream is at this point of the serial order. All that must be read for it is read here, while the append can
    /// still be refused.
    fn target(&self, prepared: &Prepared, scope: &Scope, stream: &PreparedStream) -> Result<Target, ReadError> {
        let id = prepared.id_of(stream);
        let number = self.index.find_stream(stream.hash, scope, id);
        if let Some(entry) = number.and_then(|number| self.index.streams.get(number as usize)) {
            let (symbol, version) = (entry.symbol, entry.version());
            return Ok(Target { number, symbol, version, segment: self.tail });
        }
        // (0, 0) of a stream that the active part knew when this was prepared, in a segment that is sealed by now.
        let (version, segment) = match prepared.tail == self.tail {
            true => stream.head,
            false => self.before.head(scope, id, Horizon::Written)?,
        };
        let mut symbol = 0;
        if segment == self.tail {
            let mut parts = self.before.stream_parts_newest_first(scope, id, Horizon::Written);
            symbol = parts.next().transpose()?.map_or(0, |(_, found)| found.symbol);
        }
        Ok(Target { number: None, symbol, version, segment })
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

    /// Adds one append, or nothing of it. `no_space` says whether it can't be written though nothing else is against it.
    pub(super) fn append(
        &mut self,
        prepared: &Prepared,
        durable_events: u32,
        no_space: impl FnOnce() -> Option<AppendError>,
    ) -> Result<Committed, Refusal> {
        let refuse = |error| Refusal::No { error, undurable: false };
        let fail = |error: ReadError| refuse(error.into());
        let mut targets = Vec::with_capacity(prepared.streams.len());
        if let Some(scope) = &prepared.scope {
            // Where nothing came in since the look-ups, they still hold.
            let is_same = (prepared.tail, prepared.tail_events) == (self.tail, self.index.events.len() as u32)
                || planted(Bug::IdsCheckedOnce);
            for event in prepared.events.iter().filter(|_| !is_same) {
                if self.is_known(prepared, scope, event.id).map_err(fail)? {
                    return Ok(Committed::Again);
                }
            }
            for stream in &prepared.streams {
                let target = self.target(prepared, scope, stream).map_err(fail)?;
                targets.push(target);
            }
            let is_wrong = |target: &Target, expected: &ExpectedVersion| {
                !expected.allows(target.version) && !planted(Bug::VersionCheckedEarly)
            };
            for (number, expected) in &prepared.expected {
                let (Some(stream), Some(target)) = (prepared.streams.get(*number), targets.get(*number)) else {
                    continue;
                };
                if is_wrong(target, expected) {
                    let (stream, actual) = (prepared.id_of(stream).to_owned(), target.version);
                    let error = AppendError::Conflict { stream, expected: *expected, actual };
                    // The caller must not learn of a head that a crash could still take back.
                    let undurable =
                        self.index.events.len() as u32 > durable_events && !planted(Bug::ConflictNotDurable);
                    return Err(Refusal::No { error, undurable });
                }
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
                expected: ExpectedVersion::Exact(recorded.first_position.saturating_sub(1)),
                actual: self.index.next_position().saturating_sub(1),
            };
            let undurable = self.index.events.len() as u32 > durable_events;
            return Err(Refusal::No { error: conflict, undurable });
        }
        if let Some(error) = no_space() {
            return Err(refuse(error));
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
                let (Some(type_symbol), Some(stream), Some(target), Some(body)) = (
                    types.get_mut(event.event_type),
                    prepared.streams.get(event.stream),
                    targets.get_mut(event.stream),
                    prepared.bodies.get(body_start..event.body_end),
                ) else {
                    return Err(self.refused(self.at, "an append whose parts don't fit"));
                };
                body_start = event.body_end;
                if *type_symbol == 0 {
                    *type_symbol = self.event_type(prepared.type_of(event.event_type))?;
                }
                let (number, type_symbol) = (self.name(scope, prepared.id_of(stream), target)?, *type_symbol);
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
                self.name(scope, prepared.id_of(stream), target)?;
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
