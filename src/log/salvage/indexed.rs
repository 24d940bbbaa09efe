//! Records of frames that aren't whole any more, found through the segment's index, as a plain read finds them: each has a
//! CRC of its own, and the index says its position. So salvage gives no less than a plain read.

use super::frame::FoundRecord;
use super::segment::{NO_FRAME, Salvaged};
use crate::log::format::SEGMENT_HEADER_LEN;
use crate::log::index::{FrameEntry, IndexFile};
use crate::log::segment::Window;
use crate::log::{ReadError, RecordKind};

/// A record that the index tells of.
struct Place {
    offset: u32,
    what: What,
}

enum What {
    Symbol(u32),
    Event(u32),
    Room(u8),
}

impl Salvaged {
    /// Takes what is whole from `at` up to `next`, where the next whole frame stands, if there is one, which begins with
    /// the position `following`; notes the rest as lost.
    pub(super) fn take_indexed(&mut self, at: u32, next: u32, following: Option<u64>) -> Result<(), ReadError> {
        let places = match self.places(at, next, following) {
            Err(error) if error.is_shortage() => return Err(error),
            // An index that is damaged itself tells nothing.
            Err(_) => Vec::new(),
            Ok(places) => places,
        };
        if let Some(index) = self.index.as_deref().filter(|_| self.is_first(at) && !places.is_empty()) {
            // What has no position of its own stands where the segment begins.
            self.next_position = index.summary.first_position;
        }
        let mut window = Window::default();
        let (mut lost_from, mut in_frame) = (at, 0);
        for (place, frame, position) in places {
            let (header, body) = match self.segment.record(place.offset, next, &mut window) {
                Ok(record) => record,
                Err(error @ ReadError::Io { .. }) => return Err(error),
                Err(_) => continue,
            };
            let is_it = match place.what {
                What::Symbol(number) => header.kind == RecordKind::Symbol as u8 && header.stream_symbol == number,
                What::Event(_) => [RecordKind::Event as u8, RecordKind::Erased as u8].contains(&header.kind),
                What::Room(kind) => header.kind == kind,
            };
            if !is_it || place.offset < lost_from {
                continue;
            }
            if place.offset > lost_from {
                self.lost(lost_from, place.offset - lost_from, NO_FRAME);
            }
            if let Some(piece) = self.piece.as_mut().filter(|_| in_frame != frame.offset) {
                piece.frames.push(FrameEntry { first_ordinal: piece.events.len() as u32, ..frame });
            }
            in_frame = frame.offset;
            let length = header.record_len() as u32;
            let record = FoundRecord { offset: 0, header, length, whole: true, position };
            let first = FrameEntry { first_ordinal: 0, ..frame };
            match self.take_record(place.offset, &record, &body, first) {
                Ok(()) => {}
                Err(what) => self.lost(place.offset, length, what),
            }
            lost_from = place.offset + length;
        }
        if lost_from < next {
            self.lost(lost_from, next - lost_from, NO_FRAME);
        }
        Ok(())
    }

    /// Whether `at` is where the segment's first frame stands, and nothing was taken yet.
    fn is_first(&self, at: u32) -> bool {
        self.taken.is_empty() && at == SEGMENT_HEADER_LEN as u32
    }

    /// What the index tells of from `at` up to `next`, in order, each with its frame and its position if it is an event.
    /// Nothing where the index doesn't say what is known of the frames around.
    fn places(
        &self,
        at: u32,
        next: u32,
        following: Option<u64>,
    ) -> Result<Vec<(Place, FrameEntry, Option<u64>)>, ReadError> {
        let Some(index) = self.index.as_deref().filter(|index| index.frames() > 0) else { return Ok(Vec::new()) };
        let first = index.summary.first_position;
        let begins = |offset: u32, position: u64| -> Result<bool, ReadError> {
            let frame = index.frame_at(offset)?;
            Ok(frame.offset == offset && first.saturating_add(u64::from(frame.first_ordinal)) == position)
        };
        let known_before = if self.is_first(at) { first } else { self.next_position };
        if !begins(at, known_before)? {
            return Ok(Vec::new());
        }
        if let Some(following) = following
            && next < index.summary.end
            && !begins(next, following)?
        {
            return Ok(Vec::new());
        }
        let mut places = index.places(at, next)?;
        places.sort_unstable_by_key(|place| place.offset);
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            let frame = index.frame_at(place.offset)?;
            let position = match place.what {
                What::Event(ordinal) => Some(first.saturating_add(u64::from(ordinal))),
                _ => None,
            };
            let is_within = |position: u64| position >= known_before && following.is_none_or(|end| position < end);
            if frame.recorded_at < self.last_recorded || position.is_some_and(|position| !is_within(position)) {
                return Ok(Vec::new());
            }
            found.push((place, frame, position));
        }
        Ok(found)
    }
}

impl IndexFile {
    /// The symbols, events and records of other rooms from `at` up to `next`.
    fn places(&self, at: u32, next: u32) -> Result<Vec<Place>, ReadError> {
        let mut places = Vec::new();
        let symbols = self.summary.next_symbol.saturating_sub(1);
        let symbol = |number: u32| self.symbol_offset(number.saturating_add(1));
        for number in from(symbols, at, symbol)?..symbols {
            let offset = symbol(number)?;
            if offset >= next {
                break;
            }
            places.push(Place { offset, what: What::Symbol(number + 1) });
        }
        let events = self.summary.events;
        for ordinal in from(events, at, |ordinal| self.offset(ordinal))?..events {
            let offset = self.offset(ordinal)?;
            if offset >= next {
                break;
            }
            places.push(Place { offset, what: What::Event(ordinal) });
        }
        for number in self.room_from(at)?..self.rooms() {
            let room = self.room(number)?;
            if room.offset >= next {
                break;
            }
            places.push(Place { offset: room.offset, what: What::Room(room.kind) });
        }
        Ok(places)
    }
}

/// The first of `count` rows, whose offsets go up, that is at or after `at`.
fn from(count: u32, at: u32, offset: impl Fn(u32) -> Result<u32, ReadError>) -> Result<u32, ReadError> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if offset(middle)? < at { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
