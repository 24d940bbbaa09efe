//! Looking frames up by the events that they hold.

use super::IndexFile;
use crate::log::ReadError;
use crate::log::index::memory::FrameEntry;

/// The frame that holds an event.
#[derive(Clone, Copy, Debug)]
struct FrameOf {
    number: u32,
    recorded_at: i64,
    /// The ordinals of its events: the first, and the first after it.
    ordinals: (u32, u32),
}

impl FrameOf {
    /// Whether the event with `ordinal` is in it.
    fn holds(&self, ordinal: u32) -> bool {
        (self.ordinals.0..self.ordinals.1).contains(&ordinal)
    }
}

/// Which frames hold some events: rows next to each other are found, and checked, together, and each frame is guessed, as
/// frames hold about as many events each.
pub(crate) struct FramesOf<'a> {
    index: &'a IndexFile,
    per_event: f64,
    /// Rows of frames from `first` on.
    rows: &'a [[u8; 16]],
    first: u32,
    found: Option<FrameOf>,
}

/// How many rows of frames are looked at together, at most: as many as are in a block.
const FRAMES_TOGETHER: u32 = 256;

fn first_ordinal(row: &[u8; 16]) -> u32 {
    let [_, _, _, _, a, b, c, d, ..] = *row;
    u32::from_le_bytes([a, b, c, d])
}

impl<'a> FramesOf<'a> {
    pub(super) fn new(index: &'a IndexFile) -> Self {
        let per_event = f64::from(index.frames()) / f64::from(index.summary.events.max(1));
        Self { index, per_event, rows: &[], first: 0, found: None }
    }

    /// When the event with `ordinal` was recorded.
    #[inline]
    pub(crate) fn recorded_at(&mut self, ordinal: u32) -> Result<i64, ReadError> {
        match &self.found {
            Some(found) if found.holds(ordinal) => Ok(found.recorded_at),
            _ => self.find(ordinal),
        }
    }

    fn find(&mut self, ordinal: u32) -> Result<i64, ReadError> {
        let found = match self.in_rows(ordinal) {
            Some(found) => found,
            None => {
                let number = self.index.last_frame(|frame| frame.first_ordinal <= ordinal)?;
                let after = self.index.frames().min(number.saturating_add(FRAMES_TOGETHER));
                self.rows = self.index.sections.frames.rows(&self.index.file, number..after)?;
                self.first = number;
                let none = || self.index.file.corrupt(0, "an event without a frame");
                self.in_rows(ordinal).ok_or_else(none)?
            }
        };
        self.found = Some(found);
        Ok(found.recorded_at)
    }

    fn in_rows(&self, ordinal: u32) -> Option<FrameOf> {
        let near = self.found.map_or(0, |found| found.number.saturating_sub(self.first) as usize);
        let row = self.rows.get(near)?;
        let ahead = f64::from(ordinal) - f64::from(first_ordinal(row));
        let mut at = (near + (ahead * self.per_event) as usize).min(self.rows.len() - 1);
        while first_ordinal(self.rows.get(at)?) > ordinal {
            at = at.checked_sub(1)?;
        }
        while let Some(next) = self.rows.get(at + 1)
            && first_ordinal(next) <= ordinal
        {
            at += 1;
        }
        let number = self.first + at as u32;
        let next = match self.rows.get(at + 1) {
            Some(next) => first_ordinal(next),
            None if number + 1 == self.index.frames() => self.index.summary.events,
            // The frame may be a later one.
            None => return None,
        };
        let frame = FrameEntry::decode(self.rows.get(at)?)?;
        Some(FrameOf { number, recorded_at: frame.recorded_at, ordinals: (frame.first_ordinal, next) })
    }
}
