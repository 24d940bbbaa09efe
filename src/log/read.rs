//! Reading events: one stream, or the log, forwards and backwards.

use std::sync::Arc;

use super::ReadError;
use super::part::{Cursor, Horizon, Part, StreamRef};
use super::recorded::RecordedEvent;
use super::view::{Place, View};
use crate::event::Scope;

/// The order of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// Events, one after the other. Ends for good after an error.
pub type EventIter = Box<dyn Iterator<Item = Result<RecordedEvent, ReadError>> + Send>;

/// The events of one stream.
pub(crate) struct StreamReader {
    view: Arc<View>,
    scope: Scope,
    stream: String,
    direction: Direction,
    /// The version to read next; 0 ends a backward read.
    next: u64,
    /// The newest position that it gives.
    until: u64,
    /// Where its events may be; taken from the end.
    places: Vec<Place>,
    part: Option<(Part, StreamRef)>,
    ordinals: Vec<u32>,
    /// The version of the first of `ordinals`.
    first: u64,
    cursor: Cursor,
    done: bool,
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
        let mut places = match direction {
            Direction::Forward => view.stream_places(scope, stream, from.max(1))?,
            Direction::Backward => view.stream_places(scope, stream, 1)?,
        };
        if direction == Direction::Forward {
            places.reverse();
        }
        Ok(Self {
            view,
            scope: scope.clone(),
            stream: stream.to_owned(),
            direction,
            next: from.max(if direction == Direction::Forward { 1 } else { 0 }),
            until,
            places,
            part: None,
            ordinals: Vec::new(),
            first: 0,
            cursor: Cursor::default(),
            done: false,
        })
    }

    /// Loads the ordinals around the next version; `false` at the end.
    fn load(&mut self) -> Result<bool, ReadError> {
        loop {
            if let Some((part, stream)) = &self.part {
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
                        Some(self.next.min(high).saturating_sub(low).saturating_sub(63))
                    }
                    _ => None,
                };
                if let Some(from) = from {
                    let from = u32::try_from(from).unwrap_or(u32::MAX);
                    part.ordinals(stream, from, &mut self.ordinals)?;
                    self.first = low.saturating_add(u64::from(from));
                    let newest = self.first.saturating_add(self.ordinals.len() as u64).saturating_sub(1);
                    self.next = match self.direction {
                        Direction::Forward => self.next.max(low),
                        Direction::Backward => self.next.min(newest).min(high),
                    };
                    return Ok(!self.ordinals.is_empty());
                }
            }
            let Some(place) = self.places.pop() else { return Ok(false) };
            self.part = self.view.stream_in(&place, &self.scope, &self.stream, Horizon::Durable)?;
            self.ordinals.clear();
        }
    }

    fn step(&mut self) -> Result<Option<RecordedEvent>, ReadError> {
        while let Some(event) = self.any()? {
            match self.direction {
                _ if event.position() <= self.until => return Ok(Some(event)),
                Direction::Forward => return Ok(None),
                Direction::Backward => {}
            }
        }
        Ok(None)
    }

    /// The next event, whenever it was appended.
    fn any(&mut self) -> Result<Option<RecordedEvent>, ReadError> {
        if self.next == 0 {
            return Ok(None);
        }
        let known = |this: &Self| {
            let number = usize::try_from(this.next.checked_sub(this.first)?).ok()?;
            this.ordinals.get(number).copied()
        };
        let ordinal = match known(self) {
            Some(ordinal) => ordinal,
            None if !self.load()? => return Ok(None),
            None => match known(self) {
                Some(ordinal) => ordinal,
                None => return Ok(None),
            },
        };
        let Some((part, _)) = &self.part else { return Ok(None) };
        let event = part.event(ordinal, &mut self.cursor)?;
        if event.version() != self.next || event.stream() != self.stream || *event.scope() != self.scope {
            return Err(part.segment().corrupt(event.address().offset(), "expected another event of the stream"));
        }
        match self.direction {
            // After the last version that there can be: 0, the end.
            Direction::Forward => self.next = self.next.wrapping_add(1),
            Direction::Backward => self.next -= 1,
        }
        Ok(Some(event))
    }
}

impl Iterator for StreamReader {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Which events of the log, and in which order. By default all, oldest first.
///
/// ```
/// use atlas::log::Query;
/// let query = Query::new().type_prefix("LOAN_OFFER_").after(1_000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Query {
    after: Option<u64>,
    direction: Direction,
    scope: Option<Scope>,
    stream: Option<String>,
    type_prefix: String,
    recorded_from: Option<i64>,
    recorded_before: Option<i64>,
    /// Of a single stream: only events from this version on.
    since_version: u64,
    /// No event after this position.
    until: Option<u64>,
}

impl Query {
    /// All events, oldest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events past this position: greater forwards, smaller backwards.
    #[must_use]
    pub fn after(mut self, position: u64) -> Self {
        self.after = Some(position);
        self
    }

    /// Newest first.
    #[must_use]
    pub fn backward(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }

    /// Only events of a scope.
    #[must_use]
    pub fn scope(mut self, scope: &Scope) -> Self {
        self.scope = Some(scope.clone());
        self
    }

    /// Only events of streams with this id.
    #[must_use]
    pub fn stream(mut self, stream: &str) -> Self {
        self.stream = Some(stream.to_owned());
        self
    }

    /// Only events whose type begins so, such as `LOAN_OFFER_`.
    #[must_use]
    pub fn type_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.type_prefix);
        self
    }

    /// Only events recorded at or after the first and before the second, in microseconds since the Unix epoch.
    #[must_use]
    pub fn recorded(mut self, from: Option<i64>, before: Option<i64>) -> Self {
        (self.recorded_from, self.recorded_before) = (from, before);
        self
    }

    pub(crate) fn forward(mut self) -> Self {
        self.direction = Direction::Forward;
        self
    }

    pub(crate) fn since_version(mut self, version: u64) -> Self {
        self.since_version = version;
        self
    }

    /// Nothing that became durable later: `position` was the newest when the read began.
    pub(crate) fn until(mut self, position: u64) -> Self {
        self.until = Some(position);
        self
    }

    fn wants_kind(&self, scope: &Scope, event_type: &str) -> bool {
        self.scope.as_ref().is_none_or(|wanted| wanted == scope) && event_type.starts_with(&self.type_prefix)
    }

    fn wants(&self, event: &RecordedEvent) -> bool {
        let past = self.after.is_none_or(|after| match self.direction {
            Direction::Forward => event.position() > after,
            Direction::Backward => event.position() < after,
        });
        past && self.stream.as_ref().is_none_or(|stream| stream == event.stream())
            && self.recorded_from.is_none_or(|from| event.recorded_at() >= from)
            && self.recorded_before.is_none_or(|before| event.recorded_at() < before)
    }
}

/// The events that a query wants.
pub(crate) enum LogReader {
    /// Of one stream of one scope: by the stream's index.
    Stream(StreamReader, Query),
    /// Of the whole log.
    Scan(Scan),
}

impl LogReader {
    pub(crate) fn new(view: Arc<View>, query: Query) -> Result<Self, ReadError> {
        if let (Some(scope), Some(stream)) = (&query.scope, &query.stream) {
            let from = if query.direction == Direction::Forward { query.since_version } else { u64::MAX };
            let until = query.until.unwrap_or(u64::MAX);
            let reader = StreamReader::new(view.clone(), scope, stream, from, query.direction, until)?;
            return Ok(Self::Stream(reader, query));
        }
        Scan::new(view, query).map(Self::Scan)
    }
}

impl Iterator for LogReader {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Stream(reader, query) => reader.find(|event| match event {
                Ok(event) => query.wants_kind(event.scope(), event.event_type()) && query.wants(event),
                Err(_) => true,
            }),
            Self::Scan(scan) => {
                if scan.done {
                    return None;
                }
                let item = scan.step().transpose();
                scan.done = !matches!(item, Some(Ok(_)));
                item
            }
        }
    }
}

/// A walk over the log, part by part.
pub(crate) struct Scan {
    view: Arc<View>,
    query: Query,
    /// The number of the part after (forwards) or before which nothing was looked at yet.
    next_part: usize,
    part: Option<Part>,
    kinds: Vec<bool>,
    /// Ordinals of the part that remain: from, up to but not including.
    remain: (u32, u32),
    cursor: Cursor,
    done: bool,
}

impl Scan {
    fn new(view: Arc<View>, query: Query) -> Result<Self, ReadError> {
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
        Ok(Self {
            view,
            query,
            next_part,
            part: None,
            kinds: Vec::new(),
            remain: (0, 0),
            cursor: Cursor::default(),
            done: false,
        })
    }

    /// Moves to the next part; `false` at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
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
        self.kinds = part.kinds_wanted(|scope, event_type| self.query.wants_kind(scope, event_type))?;
        if self.kinds.iter().all(|wanted| !wanted) {
            to = from;
        }
        self.remain = (from, to.max(from));
        self.part = Some(part);
        Ok(true)
    }

    fn step(&mut self) -> Result<Option<RecordedEvent>, ReadError> {
        loop {
            let (from, to) = self.remain;
            let Some(part) = self.part.as_ref().filter(|_| from < to) else {
                if !self.advance()? {
                    return Ok(None);
                }
                continue;
            };
            let ordinal = match self.query.direction {
                Direction::Forward => {
                    self.remain.0 += 1;
                    from
                }
                Direction::Backward => {
                    self.remain.1 -= 1;
                    to - 1
                }
            };
            let kind = part.kind_number(ordinal)?;
            if !self.kinds.get(kind as usize).copied().unwrap_or(true) {
                continue;
            }
            let event = part.event(ordinal, &mut self.cursor)?;
            if self.query.wants(&event) {
                return Ok(Some(event));
            }
        }
    }
}
