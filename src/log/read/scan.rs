//! The events of the log, part by part.

use std::sync::Arc;

use super::{Direction, MAX_CHUNK, Query};
use crate::log::ReadError;
use crate::log::part::{Cursor, EventRow, Horizon, Part};
use crate::log::view::View;

/// A walk over the log, part by part.
pub(super) struct Scan {
    view: Arc<View>,
    query: Query,
    /// The number of the part after (forwards) or before which nothing was looked at yet.
    next_part: usize,
    /// For each kind of the part whether it is wanted; empty where all are.
    kinds: Vec<bool>,
    /// Ordinals of the part that remain: from, up to but not including.
    remain: (u32, u32),
    /// The rows of some that come next, the next one last.
    rows: Vec<EventRow>,
    pub(super) cursor: Cursor,
    /// Whether the query wants every event of what remains.
    is_all: bool,
}

impl Scan {
    pub(super) fn new(view: Arc<View>, query: Query) -> Result<Self, ReadError> {
        let next_part = match query.direction {
            Direction::Forward => {
                let by_position = match query.after {
                    Some(after) => view.part_at_position(after.saturating_add(1))?,
                    None => 0,
                };
                let by_time = match query.recorded_from {
                    Some(from) => view.part_recorded_from(from)?,
                    None => 0,
                };
                by_position.max(by_time)
            }
            Direction::Backward => match query.after {
                Some(after) => view.part_at_position(after)? + 1,
                None => view.parts(),
            },
        };
        let is_all = query.scope.is_none() && query.stream.is_none() && query.type_prefix.is_empty();
        Ok(Self {
            view,
            query,
            next_part,
            kinds: Vec::new(),
            remain: (0, 0),
            rows: Vec::new(),
            cursor: Cursor::default(),
            is_all,
        })
    }

    /// Moves to the next part; `false` at the end.
    fn next_part(&mut self) -> Result<bool, ReadError> {
        let number = match self.query.direction {
            Direction::Forward => self.next_part,
            Direction::Backward => match self.next_part.checked_sub(1) {
                Some(number) => number,
                None => return Ok(false),
            },
        };
        let Some(part) = self.view.part(number)? else { return Ok(false) };
        self.next_part = match self.query.direction {
            Direction::Forward => number + 1,
            Direction::Backward => number,
        };
        let events = part.events(Horizon::Durable);
        let first = part.first_position();
        let ordinal = |position: u64| u32::try_from(position.saturating_sub(first)).unwrap_or(u32::MAX).min(events);
        let (mut from, mut to) = (0, events);
        match (self.query.direction, self.query.after) {
            (Direction::Forward, Some(after)) => from = ordinal(after.saturating_add(1)),
            (Direction::Backward, Some(after)) => to = ordinal(after),
            (_, None) => {}
        }
        if let Some(until) = self.query.until {
            to = to.min(ordinal(until.saturating_add(1)));
        }
        if let Some(micros) = self.query.recorded_from {
            from = from.max(part.first_recorded_from(micros)?);
        }
        if let Some(micros) = self.query.recorded_before {
            to = to.min(part.first_recorded_from(micros)?);
            if self.query.direction == Direction::Forward && to < events {
                // Nothing later can be wanted.
                self.next_part = usize::MAX;
            }
        }
        self.kinds.clear();
        if self.query.scope.is_some() || !self.query.type_prefix.is_empty() {
            self.kinds = part.kinds_wanted(|scope, event_type| self.query.wants_kind(scope, event_type))?;
            if self.kinds.iter().all(|wanted| !wanted) {
                to = from;
            }
        }
        self.remain = (from, to.max(from));
        self.cursor.enter(part);
        Ok(true)
    }

    /// Loads rows of the part; `false` where none remain.
    fn load(&mut self) -> Result<bool, ReadError> {
        let (from, to) = self.remain;
        let Some(part) = self.cursor.part().filter(|_| from < to) else { return Ok(false) };
        match self.query.direction {
            Direction::Forward => {
                let until = to.min(from.saturating_add(MAX_CHUNK));
                part.rows(from..until, &mut self.rows)?;
                self.rows.reverse();
                self.remain.0 = until;
                if let [last, .., first] = self.rows.as_slice() {
                    self.cursor.read_ahead(first.offset, last.offset);
                }
            }
            Direction::Backward => {
                let since = from.max(to.saturating_sub(MAX_CHUNK));
                part.rows(since..to, &mut self.rows)?;
                self.remain.1 = since;
                if let [first, .., last] = self.rows.as_slice() {
                    part.segment().read_ahead(first.offset, last.offset);
                }
            }
        }
        Ok(true)
    }

    /// Moves to the next event; `false` at the end.
    pub(super) fn advance(&mut self) -> Result<bool, ReadError> {
        loop {
            let Some(row) = self.rows.pop() else {
                if !self.load()? && !self.next_part()? {
                    return Ok(false);
                }
                continue;
            };
            if !self.kinds.is_empty() {
                let Some(part) = self.cursor.part() else { return Ok(false) };
                let kind = part.kind_number(row.ordinal)?;
                if !self.kinds.get(kind as usize).copied().unwrap_or(true) {
                    continue;
                }
            }
            self.cursor.go_to(row)?;
            if self.is_all {
                return Ok(true);
            }
            let event = self.cursor.event()?;
            if !self.query.wants_kind(event.scope(), event.event_type()) {
                let what = "expected an event of the kind that the index says";
                let corrupt = |part: &Part| part.segment().corrupt(row.offset, what);
                return Err(self.cursor.part().map_or(ReadError::Closed, corrupt));
            }
            if self.query.wants(&event) {
                return Ok(true);
            }
        }
    }
}
