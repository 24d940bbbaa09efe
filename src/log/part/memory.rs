//! A part that is indexed in memory: the active one, and what was sealed and not indexed in a file yet.

use std::sync::Arc;

use super::{EventRow, Horizon};
use crate::log::ReadError;
use crate::log::index::MemoryIndex;
use crate::log::segment::Segment;
use crate::sync::{AtomicU32, Ordering, RwLock};

/// A part of a segment that is indexed in memory.
#[derive(Debug)]
pub(crate) struct MemoryPart {
    pub(crate) segment: Arc<Segment>,
    /// Where in the segment it begins.
    pub(super) start: u32,
    pub(crate) index: RwLock<MemoryIndex>,
    durable: Extent,
    written: Extent,
}

/// How far something reaches: events, and an offset.
#[derive(Debug)]
struct Extent {
    events: AtomicU32,
    end: AtomicU32,
}

impl Extent {
    fn of(index: &MemoryIndex) -> Self {
        Self { events: AtomicU32::new(index.events.len() as u32), end: AtomicU32::new(index.end) }
    }

    fn set(&self, index: &MemoryIndex) {
        // The end first: who sees an event reads its record up to the end.
        self.end.store(index.end, Ordering::Release);
        self.events.store(index.events.len() as u32, Ordering::Release);
    }
}

impl MemoryPart {
    pub(crate) fn new(segment: Arc<Segment>, index: MemoryIndex) -> Self {
        let (durable, written, start) = (Extent::of(&index), Extent::of(&index), index.start);
        segment.set_durable(index.end);
        Self { segment, start, index: RwLock::new(index), durable, written }
    }

    /// Makes all that is indexed so far visible to readers.
    pub(crate) fn publish(&self) {
        let index = self.index.read();
        self.segment.set_durable(index.end);
        self.durable.set(&index);
    }

    /// States that all that is indexed so far stands in the file.
    pub(crate) fn set_written(&self) {
        self.written.set(&self.index.read());
    }

    /// The rows of events, in ascending order. `index` is its own.
    pub(super) fn rows(
        &self,
        index: &MemoryIndex,
        ordinals: impl Iterator<Item = u32>,
        out: &mut Vec<EventRow>,
    ) -> Result<(), ReadError> {
        for ordinal in ordinals {
            let Some((offset, recorded_at)) = index.place_of(ordinal) else {
                return Err(self.segment.corrupt(0, "an event that the index doesn't hold"));
            };
            out.push(EventRow { ordinal, offset, recorded_at });
        }
        Ok(())
    }

    fn extent(&self, horizon: Horizon) -> &Extent {
        match horizon {
            Horizon::Durable => &self.durable,
            Horizon::Written => &self.written,
        }
    }

    pub(super) fn events(&self, horizon: Horizon) -> u32 {
        self.extent(horizon).events.load(Ordering::Acquire)
    }

    pub(super) fn end(&self, horizon: Horizon) -> u32 {
        self.extent(horizon).end.load(Ordering::Acquire)
    }
}
