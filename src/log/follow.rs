//! Following the log: every event and every record of another room, in log order, up to what is durable; and
//! subscriptions, which follow events for users.

use std::sync::Arc;

use super::core::Core;
use super::part::{Cursor, Part};
use super::read::{Events, Query};
use super::recorded::{LogEntry, RecordedEvent};
use super::segment::Window;
use super::view::View;
use super::{Address, ReadError};
use crate::planted::{Bug, planted};

/// A walk over all that rooms care for.
pub(crate) struct Follow {
    core: Arc<Core>,
    view: Arc<View>,
    part: Option<(usize, Part)>,
    /// Everything before it was given out.
    next: Address,
    cursor: Cursor,
    window: Window,
    /// Ordinal of the event that was given out last, where the part is the same.
    last_ordinal: Option<u32>,
}

impl Follow {
    pub(crate) fn new(core: Arc<Core>, from: Address) -> Result<Self, ReadError> {
        let view = core.current()?;
        Ok(Self {
            core,
            view,
            part: None,
            next: from,
            cursor: Cursor::default(),
            window: Window::default(),
            last_ordinal: None,
        })
    }

    /// Where the next entry stands, or later: what to begin with another time.
    pub(crate) fn position(&self) -> Address {
        self.next
    }

    /// The next entry; `None` at the durable end, where it may be called again later.
    pub(crate) fn next(&mut self) -> Result<Option<LogEntry>, ReadError> {
        loop {
            // Taken before looking: all before it is visible, and nothing at or after it is given out.
            let mut end = self.core.durable.end();
            if self.next >= end {
                self.core.look()?;
                end = self.core.durable.end();
            }
            if self.next >= end {
                return Ok(None);
            }
            let Some((number, part)) = self.part.clone() else {
                self.view = self.core.current()?;
                let number = self.view.part_at(self.next);
                self.part = self.view.part(number)?.map(|part| (number, part));
                self.last_ordinal = None;
                if self.part.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let segment = part.segment().number();
            let from = part.offset_from(self.next);
            let limit = if end.segment() == segment { end.offset() } else { u32::MAX };
            let event = self.next_event(&part, from)?.filter(|(_, offset)| *offset < limit);
            let room = part.next_room(from, None)?.filter(|offset| *offset < limit);
            match (event, room) {
                (Some((ordinal, offset)), room) if room.is_none_or(|room| offset < room) => {
                    let event = part.event(ordinal, &mut self.cursor)?;
                    self.next = Address::new(segment, offset.saturating_add(1));
                    self.last_ordinal = Some(ordinal);
                    return Ok(Some(LogEntry::Event(event)));
                }
                (_, Some(offset)) => {
                    let record = part.room(offset, &mut self.window)?;
                    self.next = Address::new(segment, offset.saturating_add(1));
                    return Ok(Some(LogEntry::Record(record)));
                }
                _ => {
                    // This part has no more: on to the next, or to where the durable end is.
                    let following = self.view.part(number + 1)?;
                    match following {
                        Some(following) => {
                            self.next = self.next.max(following.start());
                            self.part = Some((number + 1, following));
                            self.last_ordinal = None;
                        }
                        None if end.segment() == segment => {
                            self.next = end;
                            return Ok(None);
                        }
                        // The log went on in segments that this view doesn't know.
                        None => {
                            self.next = Address::new(segment + 1, 0);
                            self.part = None;
                        }
                    }
                }
            }
        }
    }

    fn next_event(&self, part: &Part, from: u32) -> Result<Option<(u32, u32)>, ReadError> {
        if let Some(last) = self.last_ordinal {
            let next = last + 1;
            if next >= part.events(super::part::Horizon::Durable) {
                return Ok(None);
            }
            let offset = part.offset_of(next)?;
            if offset >= from {
                return Ok(Some((next, offset)));
            }
        }
        part.next_event(from)
    }
}

/// The events that a query wants, those that are there and then each as it becomes durable; none is skipped or comes
/// twice. Made by [`EventStore::subscribe`](super::EventStore::subscribe).
pub struct Subscription {
    core: Arc<Core>,
    query: Query,
    /// The last position that was looked at.
    after: u64,
    /// The version of the event given out last: of a single stream the next begins after it.
    version: u64,
    reader: Option<Events>,
    /// The newest position that `reader` can reach.
    reader_to: u64,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("after", &self.after).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) fn new(core: Arc<Core>, query: Query, after: u64) -> Self {
        Self { core, query: query.forward(), after, version: 0, reader: None, reader_to: after }
    }

    /// The next event if it is durable already.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read, or the store is closed.
    pub fn try_next(&mut self) -> Result<Option<RecordedEvent>, ReadError> {
        loop {
            if let Some(reader) = &mut self.reader {
                // What became durable after the reader was made is left to the next one.
                let next = match reader.next().transpose() {
                    Ok(next) => next,
                    Err(error) => {
                        // A reader ends with its error; the next call begins a new one where this one was.
                        self.reader = None;
                        return Err(error);
                    }
                };
                if let Some(event) = next.filter(|event| event.position() <= self.reader_to) {
                    (self.after, self.version) = (event.position(), event.version());
                    return Ok(Some(event));
                }
                self.after = self.after.max(self.reader_to);
                self.reader = None;
            }
            self.core.look()?;
            let newest = self.core.durable.position();
            let view = self.core.current()?;
            if newest <= self.after {
                return Ok(None);
            }
            if planted(Bug::SubscriptionSkips) && self.after + 8 < newest {
                self.after = newest - 1;
            }
            self.reader =
                Some(Events::wanted(view, self.query.clone().after(self.after).since_version(self.version + 1))?);
            self.reader_to = newest;
        }
    }

    /// Blocks until there is a next event.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next); [`ReadError::Closed`] once the store is closed.
    pub fn next_blocking(&mut self) -> Result<RecordedEvent, ReadError> {
        loop {
            let end = self.core.durable.end();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            self.core.wait_beyond(end)?;
        }
    }

    /// Waits until there is a next event.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next); [`ReadError::Closed`] once the store is closed.
    pub async fn next(&mut self) -> Result<RecordedEvent, ReadError> {
        loop {
            let end = self.core.durable.end();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            self.core.beyond(end).await?;
        }
    }
}
