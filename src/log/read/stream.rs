//! The events of one stream, by the indexes of the parts that hold it.

use std::sync::Arc;

use bytestring::ByteString;

use super::{Direction, MAX_CHUNK, Query};
use crate::event::Scope;
use crate::log::ReadError;
use crate::log::part::{Cursor, EventRow, Horizon, Part, StreamRef};
use crate::log::view::{Place, View};

/// The events of one stream.
pub(crate) struct StreamReader {
    view: Arc<View>,
    scope: Arc<Scope>,
    stream: ByteString,
    hash: u64,
    direction: Direction,
    /// The version to read next; 0 ends a backward read.
    next: u64,
    /// The newest version that it gives, upwards.
    last: u64,
    /// The newest position that it gives.
    until: u64,
    /// Where its events may be; taken from the end.
    places: Vec<Place>,
    /// What the part that the cursor is in holds of it.
    stream_here: Option<StreamRef>,
    rows: Vec<EventRow>,
    /// The version of the first of `rows`.
    first: u64,
    /// How many rows to load next: few at first, as many readers want no more.
    chunk: u32,
    pub(super) cursor: Cursor,
}

impl StreamReader {
    /// From version `from` on: upwards, or downwards (where [`u64::MAX`] is the newest); nothing after position `until`.
    pub(crate) fn new(
        view: Arc<View>,
        scope: &Scope,
        stream: &str,
        from: u64,
        direction: Direction,
        until: u64,
    ) -> Result<Self, ReadError> {
        let hash = view.hash().stream(scope, stream);
        let mut places = match direction {
            Direction::Forward => view.stream_places(hash, scope, stream, from.max(1))?,
            Direction::Backward => view.stream_places(hash, scope, stream, 1)?,
        };
        if direction == Direction::Forward {
            places.reverse();
        }
        let next = from.max(if direction == Direction::Forward { 1 } else { 0 });
        Ok(Self::over(view, (hash, scope, stream), direction, next, until, places))
    }

    /// Upwards from version `from` on, of parts that were looked up: all that hold it from there on, newest first. Nothing
    /// after position `until` or version `last`.
    pub(crate) fn in_parts(
        view: Arc<View>,
        scope: &Scope,
        stream: &str,
        versions: std::ops::RangeInclusive<u64>,
        until: u64,
        parts: Vec<(Part, StreamRef)>,
    ) -> Self {
        let hash = view.hash().stream(scope, stream);
        let places = parts.into_iter().map(|(part, stream)| Place::Found(part, stream)).collect();
        let (first, last) = versions.into_inner();
        let reader = Self::over(view, (hash, scope, stream), Direction::Forward, first.max(1), until, places);
        Self { last, ..reader }
    }

    fn over(
        view: Arc<View>,
        (hash, scope, stream): (u64, &Scope, &str),
        direction: Direction,
        next: u64,
        until: u64,
        places: Vec<Place>,
    ) -> Self {
        Self {
            view,
            scope: Arc::new(scope.clone()),
            stream: stream.into(),
            hash,
            direction,
            next,
            last: u64::MAX,
            until,
            places,
            stream_here: None,
            rows: Vec::new(),
            first: 0,
            chunk: 1,
            cursor: Cursor::default(),
        }
    }

    /// Loads the rows around the next version; `false` at the end.
    fn load(&mut self) -> Result<bool, ReadError> {
        loop {
            if let (Some(part), Some(stream)) = (self.cursor.part(), &self.stream_here) {
                let (low, high) = (stream.base_version.saturating_add(1), stream.version());
                if self.direction == Direction::Forward && low > self.next {
                    if self.view.losses.is_empty() {
                        return Err(part.segment().corrupt(0, "events of the stream are missing before this segment"));
                    }
                    self.next = low;
                }
                let from = match self.direction {
                    Direction::Forward if self.next <= high => Some(self.next.max(low) - low),
                    // A chunk that ends with the version wanted.
                    Direction::Backward if self.next >= low && high >= low => {
                        let before = u64::from(self.chunk - 1);
                        Some(self.next.min(high).saturating_sub(low).saturating_sub(before))
                    }
                    _ => None,
                };
                if let Some(from) = from {
                    let from = u32::try_from(from).unwrap_or(u32::MAX);
                    let left = self.last.saturating_sub(self.next).saturating_add(1);
                    let count = self.chunk.min(u32::try_from(left).unwrap_or(u32::MAX));
                    part.stream_rows(stream, from, count, &mut self.rows)?;
                    self.chunk = (self.chunk * 16).min(MAX_CHUNK);
                    self.cursor.fetch(&self.rows);
                    self.first = low.saturating_add(u64::from(from));
                    let newest = self.first.saturating_add(self.rows.len() as u64).saturating_sub(1);
                    self.next = match self.direction {
                        Direction::Forward => self.next.max(low),
                        Direction::Backward => self.next.min(newest).min(high),
                    };
                    return Ok(!self.rows.is_empty());
                }
            }
            let Some(place) = self.places.pop() else { return Ok(false) };
            self.rows.clear();
            self.stream_here = None;
            let found = self.view.stream_in(&place, self.hash, &self.scope, &self.stream, Horizon::Durable)?;
            if let Some((part, stream)) = found {
                self.cursor.enter(part);
                self.cursor.name_stream(stream.symbol, &self.scope, &self.stream);
                self.stream_here = Some(stream);
            }
        }
    }

    /// Moves to the next event; `false` at the end.
    pub(super) fn advance(&mut self) -> Result<bool, ReadError> {
        while let Some(position) = self.any()? {
            match self.direction {
                _ if position <= self.until => return Ok(true),
                Direction::Forward => return Ok(false),
                Direction::Backward => {}
            }
        }
        Ok(false)
    }

    /// The row of the next version, where it is loaded.
    fn row(&self) -> Option<EventRow> {
        let number = usize::try_from(self.next.checked_sub(self.first)?).ok()?;
        self.rows.get(number).copied()
    }

    /// Moves to the next event, whenever it was appended; its position.
    fn any(&mut self) -> Result<Option<u64>, ReadError> {
        if self.next == 0 || self.next > self.last {
            return Ok(None);
        }
        let row = match self.row() {
            Some(row) => row,
            None if !self.load()? => return Ok(None),
            None => match self.row() {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let Some(stream) = &self.stream_here else { return Ok(None) };
        self.cursor.go_to(row)?;
        let Some(position) = self.cursor.position_of(stream.symbol, self.next) else {
            let corrupt = |part: &Part| part.segment().corrupt(row.offset, "expected another event of the stream");
            return Err(self.cursor.part().map_or(ReadError::Closed, corrupt));
        };
        match self.direction {
            // After the last version that there can be: 0, the end.
            Direction::Forward => self.next = self.next.wrapping_add(1),
            Direction::Backward => self.next -= 1,
        }
        Ok(Some(position))
    }

    /// Moves to the next event that a query wants; `false` at the end.
    pub(super) fn advance_to(&mut self, query: &Query) -> Result<bool, ReadError> {
        while self.advance()? {
            let event = self.cursor.event()?;
            if query.wants_kind(event.scope(), event.event_type()) && query.wants(&event) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
