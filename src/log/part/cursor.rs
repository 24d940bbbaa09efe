//! Where a reader is: the event that it lends, and what it keeps from one event to the next.

use std::ops::Range;
use std::sync::Arc;

use bytestring::ByteString;

use super::{EventRow, Horizon, Part};
use crate::event::Scope;
use crate::log::format::EventBody;
use crate::log::memo::Memo;
use crate::log::recorded::{EventNumbers, EventRef};
use crate::log::segment::Window;
use crate::log::{Address, ReadError, RecordKind};

/// How much is read ahead together, in bytes.
const READ_AHEAD: u32 = 2 << 20;

/// A reader's place in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    window: Window,
    part: Option<InPart>,
    found: Option<Found>,
}

/// What is kept while the part is the same.
#[derive(Clone, Debug)]
struct InPart {
    part: Part,
    first_position: u64,
    /// About how many bytes an event's record takes, and what stands between.
    usual_length: usize,
    /// Records that begin before it may be read up to there.
    end: u32,
    /// Behind symbols of streams.
    streams: Memo<(Arc<Scope>, ByteString)>,
    /// Behind symbols of types: those that the part keeps for all readers, and others.
    types: Option<Arc<Memo<ByteString>>>,
    more_types: Memo<ByteString>,
    /// What is before it was asked to be read.
    read_to: u32,
    /// For a row that is looked up alone.
    row: Vec<EventRow>,
}

/// The event that a cursor is at.
#[derive(Clone, Debug)]
struct Found {
    numbers: EventNumbers,
    type_symbol: u32,
    stream_symbol: u32,
    /// Where in the window its body is.
    body: Range<usize>,
}

impl Cursor {
    /// The part whose events it moves among.
    pub(crate) fn part(&self) -> Option<&Part> {
        self.part.as_ref().map(|inside| &inside.part)
    }

    /// Moves to another part.
    pub(crate) fn enter(&mut self, part: Part) {
        self.found = None;
        let end = part.end(Horizon::Durable);
        self.part = Some(InPart {
            usual_length: (end.saturating_sub(part.start().offset()) / part.events(Horizon::Durable).max(1)) as usize,
            first_position: part.first_position(),
            end,
            types: part.types(),
            part,
            streams: Memo::default(),
            more_types: Memo::default(),
            read_to: 0,
            row: Vec::new(),
        });
    }

    /// Moves to an event of the part.
    #[inline]
    pub(crate) fn go_to(&mut self, row: EventRow) -> Result<(), ReadError> {
        self.found = None;
        let Some(inside) = &mut self.part else { return Ok(()) };
        self.found = Some(inside.find(row, &mut self.window)?);
        Ok(())
    }

    /// Moves to the event of the part with this ordinal.
    pub(crate) fn go_to_ordinal(&mut self, ordinal: u32) -> Result<(), ReadError> {
        let Some(inside) = &mut self.part else { return Ok(()) };
        // There is no event with the largest number.
        let Some(behind) = ordinal.checked_add(1) else {
            return Err(inside.part.segment().corrupt(0, "an event that the index doesn't hold"));
        };
        inside.part.rows(ordinal..behind, &mut inside.row)?;
        let row = inside.row.pop();
        row.map_or(Ok(()), |row| self.go_to(row))
    }

    /// States what a symbol of a stream stands for in the part.
    pub(crate) fn name_stream(&mut self, symbol: u32, scope: &Arc<Scope>, stream: &ByteString) {
        if let Some(inside) = &mut self.part {
            inside.streams.insert(symbol, (scope.clone(), stream.clone()));
        }
    }

    /// Has the memory behind events fetched that come next.
    pub(crate) fn fetch(&self, rows: &[EventRow]) {
        if let Some(inside) = &self.part {
            inside.part.segment().fetch(rows.iter().map(|row| row.offset), inside.usual_length);
        }
    }

    /// Has what stands between two offsets and after them read ahead of a reader that goes forward.
    pub(crate) fn read_ahead(&mut self, from: u32, to: u32) {
        if let Some(inside) = &mut self.part
            && to.saturating_add(READ_AHEAD / 2) > inside.read_to
        {
            let from = from.max(inside.read_to);
            inside.read_to = from.saturating_add(READ_AHEAD);
            inside.part.segment().read_ahead(from, inside.read_to);
        }
    }

    /// Whether it is at an event with this version of the stream with this symbol: its position.
    #[inline]
    pub(crate) fn position_of(&self, stream_symbol: u32, version: u64) -> Option<u64> {
        let is_it = |found: &&Found| found.stream_symbol == stream_symbol && found.numbers.version == version;
        self.found.as_ref().filter(is_it).map(|found| found.numbers.position)
    }

    /// The event that it is at. An error only where it isn't at any.
    #[inline]
    #[allow(clippy::unnecessary_lazy_evaluations, reason = "an error that is made is also dropped, for each event")]
    pub(crate) fn event(&self) -> Result<EventRef<'_>, ReadError> {
        self.at().ok_or_else(|| ReadError::Closed)
    }

    #[inline]
    fn at(&self) -> Option<EventRef<'_>> {
        let (found, inside) = (self.found.as_ref()?, self.part.as_ref()?);
        let (scope, stream) = inside.streams.get(found.stream_symbol)?;
        let event_type = inside.event_type(found.type_symbol)?;
        let bytes = self.window.bytes();
        let body = bytes.get(found.body.clone())?;
        Some(EventRef { scope, event_type, stream, numbers: &found.numbers, body, bytes })
    }
}

impl InPart {
    #[inline]
    fn event_type(&self, symbol: u32) -> Option<&ByteString> {
        self.types.as_ref().and_then(|types| types.get(symbol)).or_else(|| self.more_types.get(symbol))
    }

    #[inline]
    fn find(
        &mut self,
        EventRow { ordinal, offset, recorded_at }: EventRow,
        window: &mut Window,
    ) -> Result<Found, ReadError> {
        if offset >= self.end {
            self.end = self.part.end_for(offset);
        }
        let segment = self.part.segment();
        let (header, body) = segment.find_record(offset, self.end, window)?;
        if header.kind != RecordKind::Event as u8 && header.kind != RecordKind::Erased as u8 {
            return Err(segment.corrupt(offset, "expected the event that the index says is here"));
        }
        let bytes = window.bytes().get(body.clone()).unwrap_or_default();
        let data_at = EventBody::data_at(bytes).map_err(|what| segment.corrupt(offset, what))?;
        let (type_symbol, stream_symbol) = (header.type_symbol, header.stream_symbol);
        if self.streams.get(stream_symbol).is_none() {
            self.streams.insert(stream_symbol, self.part.stream_name(stream_symbol)?);
        }
        if self.event_type(type_symbol).is_none() {
            self.more_types.insert(type_symbol, self.part.event_type(type_symbol)?);
        }
        let numbers = EventNumbers {
            version: header.version,
            position: self.first_position.saturating_add(u64::from(ordinal)),
            recorded_at,
            address: Address::new(self.part.segment().number(), offset),
            data_at,
        };
        Ok(Found { numbers, type_symbol, stream_symbol, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::log::{Append, EventStore};

    /// As an index may say that is damaged and whole by its sums.
    #[test]
    fn a_number_of_no_event_is_an_error() {
        let store = EventStore::in_memory().unwrap();
        let event = Event::new("LOAN_OFFER_SENT_COMPLETE_1", "loan-1");
        store.append(Append::to(&"bank/loans".parse().unwrap()).event(event)).unwrap();
        let view = store.inner().current().unwrap();
        let part = view.recent.last().unwrap();
        let mut cursor = Cursor::default();
        assert_eq!(part.event(0, &mut cursor).unwrap().position(), 1);
        for ordinal in [1, u32::MAX - 1, u32::MAX] {
            assert!(part.event(ordinal, &mut cursor).is_err(), "{ordinal}");
        }
    }
}
