//! The serial point: appends of a batch become records of one frame, each checked against all that stands before it.

use std::sync::Arc;

use super::Committed;
use crate::event::Scope;
use crate::log::format::{RecordHeader, Salt, SymbolBody, crc_of_body, encode_symbol, put_record};
use crate::log::index::MemoryIndex;
use crate::log::part::Horizon;
use crate::log::prepare::{Prepared, PreparedStream};
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

impl Build<'_> {
    /// Adds a record to the frame and to the index.
    fn put(
        &mut self,
        kind: RecordKind,
        symbols: (u32, u32),
        version: u64,
        body: &[u8],
        crc: u32,
    ) -> Result<(), ReadError> {
        let offset = self.at + self.frame.len() as u32;
        self.crcs.push(put_record(self.frame, self.salt, kind as u8, symbols, version, body, crc));
        let header = RecordHeader {
            body_len: body.len() as u32,
            crc: 0,
            kind: kind as u8,
            type_symbol: symbols.0,
            stream_symbol: symbols.1,
            version,
        };
        // The index refuses what recovery would refuse: it can't happen, and must not reach the disk.
        self.index.add(offset, &header, body).map_err(|what| ReadError::Corrupt {
            file: segment_name(self.tail),
            offset: u64::from(offset),
            what,
        })
    }

    fn put_symbol(&mut self, symbol: &SymbolBody<'_>, version: u64) -> Result<u32, ReadError> {
        let number = self.index.next_symbol;
        let body = encode_symbol(symbol);
        let crc = crc_of_body(&body);
        self.put(RecordKind::Symbol, (0, number), version, &body, crc)?;
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

    /// The stream's symbol; named in this segment where it isn't yet.
    fn stream(&mut self, scope: &Scope, stream: &PreparedStream, head: (u64, u32)) -> Result<u32, ReadError> {
        if let Some(number) = self.index.find_stream(scope, &stream.id) {
            return Ok(self.index.streams.get(number as usize).map_or(0, |entry| entry.symbol));
        }
        let scope_symbol = self.scope(scope)?;
        let (version, segment) = head;
        if segment == self.tail {
            // An older part of this very segment names it.
            let mut parts = self.before.stream_parts_newest_first(scope, &stream.id, Horizon::Written);
            if let Some((_, found)) = parts.next().transpose()? {
                let scope = Arc::new(scope.clone());
                self.index.adopt_stream(found.symbol, scope_symbol, &scope, stream.id.as_str().into(), version);
                return Ok(found.symbol);
            }
        }
        self.put_symbol(&SymbolBody::Stream { scope: scope_symbol, previous_segment: segment, id: &stream.id }, version)
    }

    /// Version and newest segment of a stream at this point of the serial order.
    fn head(&self, prepared: &Prepared, scope: &Scope, stream: &PreparedStream) -> Result<(u64, u32), ReadError> {
        if let Some(number) = self.index.find_stream(scope, &stream.id) {
            let version = self.index.streams.get(number as usize).map_or(0, |entry| entry.version());
            return Ok((version, self.tail));
        }
        // (0, 0) of a stream that the active part knew when this was prepared, in a segment that is sealed by now.
        if prepared.tail == self.tail {
            return Ok(stream.head);
        }
        self.before.head(scope, &stream.id, Horizon::Written)
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
        let mut heads = Vec::with_capacity(prepared.streams.len());
        if let Some(scope) = &prepared.scope {
            for event in &prepared.events {
                if self.is_known(prepared, scope, event.id).map_err(fail)? {
                    return Ok(Committed::Again);
                }
            }
            for stream in &prepared.streams {
                let head = self.head(prepared, scope, stream).map_err(fail)?;
                let is_checked = !planted(Bug::VersionCheckedEarly);
                if let Some(expected) = stream.expected.iter().find(|expected| is_checked && !expected.allows(head.0)) {
                    let error =
                        AppendError::Conflict { stream: stream.id.clone(), expected: *expected, actual: head.0 };
                    // The caller must not learn of a head that a crash could still take back.
                    let undurable =
                        self.index.events.len() as u32 > durable_events && !planted(Bug::ConflictNotDurable);
                    return Err(Refusal::No { error, undurable });
                }
                heads.push(head);
            }
            for keyframe in &prepared.keyframes {
                if heads.get(keyframe.stream).is_none_or(|head| keyframe.version > head.0) {
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
            return Err(refuse(conflict));
        }
        if let Some(error) = no_space() {
            return Err(refuse(error));
        }
        // From here on nothing can refuse it.
        self.write(prepared, &heads).map(Committed::Written).map_err(Refusal::Broken)
    }

    fn write(&mut self, prepared: &Prepared, heads: &[(u64, u32)]) -> Result<Vec<Written>, ReadError> {
        let mut written = Vec::with_capacity(prepared.events.len());
        if let Some(scope) = &prepared.scope {
            let mut symbols = vec![0; prepared.streams.len()];
            let mut versions: Vec<u64> = heads.iter().map(|head| head.0).collect();
            let mut used = |this: &mut Self, number: usize| -> Result<(u32, u64), ReadError> {
                let (Some(symbol), Some(version)) = (symbols.get_mut(number), versions.get_mut(number)) else {
                    return Ok((0, 0));
                };
                if *symbol == 0
                    && let (Some(stream), Some(head)) = (prepared.streams.get(number), heads.get(number))
                {
                    *symbol = this.stream(scope, stream, *head)?;
                }
                *version += 1;
                Ok((*symbol, *version))
            };
            for event in &prepared.events {
                let type_symbol = self.event_type(&event.event_type)?;
                let (stream_symbol, version) = used(self, event.stream)?;
                let position = self.index.next_position();
                self.put(RecordKind::Event, (type_symbol, stream_symbol), version, &event.body, event.body_crc)?;
                written.push(Written { id: event.id, version, position, recorded_at: self.recorded_at });
            }
            for keyframe in &prepared.keyframes {
                let (stream_symbol, _) = used(self, keyframe.stream)?;
                self.put(
                    RecordKind::Keyframe,
                    (0, stream_symbol),
                    keyframe.version,
                    &keyframe.body,
                    keyframe.body_crc,
                )?;
            }
        }
        for record in &prepared.records {
            self.put(record.kind, (0, 0), 0, &record.body, record.body_crc)?;
        }
        Ok(written)
    }
}
