//! Reading events: one stream, or the log, forwards and backwards.

mod query;
mod scan;
mod stream;

use std::sync::Arc;

pub use query::Query;
use scan::Scan;
pub(crate) use stream::StreamReader;

use super::ReadError;
use super::recorded::{EventRef, RecordedEvent};
use super::view::View;

/// The order of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// The most rows that a reader loads together.
const MAX_CHUNK: u32 = 256;

/// Events, one after the other: kept, as an iterator, or [lent](Self::next_ref). Ends for good after an error.
///
/// ```
/// # use atlas::log::{Append, EventStore, Query};
/// # use atlas::{Event, Scope};
/// # let store = EventStore::in_memory()?;
/// # let scope = Scope::new("dutch-bank", "loans")?;
/// # store.append(Append::to(&scope).event(Event::new("LOAN_OFFER_SENT_COMPLETE_1", "loan-1")))?;
/// let mut bytes = 0;
/// let mut events = store.read(Query::new())?;
/// while let Some(event) = events.next_ref() {
///     bytes += event?.data().len();
/// }
/// # assert_eq!(bytes, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Events {
    reader: Reader,
    done: bool,
}

#[allow(clippy::large_enum_variant, reason = "a reader is made once and then only lent")]
enum Reader {
    /// Of one stream of one scope: by the stream's index.
    Stream(StreamReader),
    /// Of one stream, of its events those that a query wants.
    Some(StreamReader, Query),
    /// Of the whole log.
    Scan(Scan),
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) fn of_stream(reader: StreamReader) -> Self {
        Self { reader: Reader::Stream(reader), done: false }
    }

    pub(crate) fn wanted(view: Arc<View>, query: Query) -> Result<Self, ReadError> {
        let reader = if let (Some(scope), Some(stream)) = (&query.scope, &query.stream) {
            let from = if query.direction == Direction::Forward { query.since_version } else { u64::MAX };
            let until = query.until.unwrap_or(u64::MAX);
            Reader::Some(StreamReader::new(view, scope, stream, from, query.direction, until)?, query)
        } else {
            Reader::Scan(Scan::new(view, query)?)
        };
        Ok(Self { reader, done: false })
    }

    /// The next event, lent until the next call: what is cheapest where it needn't be kept.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read; there is nothing more then.
    // Once for each event: whether the compiler inlines it into `next` depended on what else is in the crate, at 5 %.
    #[inline(always)]
    pub fn next_ref(&mut self) -> Option<Result<EventRef<'_>, ReadError>> {
        if self.done {
            return None;
        }
        let moved = match &mut self.reader {
            Reader::Stream(stream) => stream.advance(),
            Reader::Some(stream, query) => stream.advance_to(query),
            Reader::Scan(scan) => scan.advance(),
        };
        let cursor = match &self.reader {
            Reader::Stream(stream) | Reader::Some(stream, _) => &stream.cursor,
            Reader::Scan(scan) => &scan.cursor,
        };
        let event = match moved {
            Ok(true) => cursor.event(),
            Ok(false) => {
                self.done = true;
                return None;
            }
            Err(error) => Err(error),
        };
        self.done = event.is_err();
        Some(event)
    }
}

impl Iterator for Events {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_ref().map(|event| event.map(|event| event.to_recorded()))
    }
}
