//! Finding records of a part by id, cause, key, place or time, and what kinds of events and which streams it holds.

use std::sync::Arc;

use uuid::Uuid;

use super::{Horizon, Part};
use crate::event::Scope;
use crate::log::format::{EventBody, RoomBody};
use crate::log::index::{FrameEntry, KeyHash, StreamEntry};
use crate::log::recorded::RoomRecord;
use crate::log::segment::Window;
use crate::log::{Address, ReadError, RecordKind};
use bytestring::ByteString;

impl Part {
    /// The ordinal of the event of `scope` with `id`.
    pub(crate) fn find_id(
        &self,
        hash: &KeyHash,
        scope: Option<&Scope>,
        id: Uuid,
        horizon: Horizon,
    ) -> Result<Vec<u32>, ReadError> {
        let mut window = Window::default();
        let mut found = Vec::new();
        match self {
            Self::Sealed(part) => {
                for ordinal in part.index.ids_hashed(hash.id(id))? {
                    let ordinal = ordinal?;
                    let (_, body) = self.record(part.index.offset(ordinal)?, &mut window)?;
                    let (scope_symbol, _) = part.index.kind_of(ordinal)?;
                    if EventBody::id(&body) == Some(id)
                        && (scope.is_none() || scope == Some(&*part.scope(scope_symbol, &mut window)?))
                    {
                        found.push(ordinal);
                    }
                }
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(horizon);
                found.extend(index.find_id(id).filter(|ordinal| {
                    let kind = index.events.get(*ordinal as usize).map(|event| event.kind as usize);
                    let of = kind.and_then(|kind| index.scope(index.kinds.get(kind)?.0));
                    *ordinal < visible && (scope.is_none() || scope == of.map(|of| &**of))
                }));
            }
        }
        Ok(found)
    }

    /// Ordinals of events that may have this correlation id, beside its own event.
    pub(crate) fn correlated(&self, hash: u64, id: Uuid) -> Result<Vec<u32>, ReadError> {
        match self {
            Self::Sealed(part) => part.index.correlations_hashed(hash)?.collect(),
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(Horizon::Durable);
                Ok(index.correlated(id).iter().copied().filter(|ordinal| *ordinal < visible).collect())
            }
        }
    }

    /// Ordinals of events that may have this causation id.
    pub(crate) fn caused_by(&self, hash: u64, id: Uuid) -> Result<Vec<u32>, ReadError> {
        match self {
            Self::Sealed(part) => part.index.causations_hashed(hash)?.collect(),
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(Horizon::Durable);
                Ok(index.caused_by(id).iter().copied().filter(|ordinal| *ordinal < visible).collect())
            }
        }
    }

    /// The record of another room at `offset`.
    pub(crate) fn room(&self, offset: u32, window: &mut Window) -> Result<RoomRecord, ReadError> {
        let (header, body) = self.record(offset, window)?;
        let corrupt = |what| self.segment().corrupt(offset, what);
        let kind = RecordKind::from_number(header.kind).filter(|kind| kind.is_of_a_room());
        let kind = kind.ok_or_else(|| corrupt("expected the record of another room that the index says is here"))?;
        let decoded = RoomBody::decode(&body).map_err(corrupt)?;
        let key = body.slice(2..2 + decoded.key.len());
        let bytes = body.slice(2 + decoded.key.len()..);
        let frame = self.frame_at(offset)?.ok_or_else(|| corrupt("a record without a frame"))?;
        let address = Address::new(self.segment().number(), offset);
        Ok(RoomRecord { kind, key, body: bytes, address, recorded_at: frame.recorded_at })
    }

    /// The frame that holds the byte at `offset`, where that is one of a frame: the last that begins at or before it.
    pub(crate) fn frame_at(&self, offset: u32) -> Result<Option<FrameEntry>, ReadError> {
        match self {
            Self::Sealed(part) if part.index.frames() == 0 => Ok(None),
            Self::Sealed(part) => part.index.frame_at(offset).map(Some),
            Self::Memory(part) => Ok(part.index.read().frame_at(offset)),
        }
    }

    /// Offsets of durable records of other rooms with a key.
    pub(crate) fn rooms_with(&self, hash: u64, kind: RecordKind, key: &[u8]) -> Result<Vec<u32>, ReadError> {
        let end = self.end(Horizon::Durable);
        match self {
            Self::Sealed(part) => {
                let mut offsets = Vec::new();
                for number in part.index.rooms_hashed(hash)? {
                    let entry = part.index.room(number?)?;
                    if entry.kind == kind as u8 {
                        offsets.push(entry.offset);
                    }
                }
                Ok(offsets)
            }
            Self::Memory(part) => {
                Ok(part.index.read().rooms_with(kind as u8, key).filter(|offset| *offset < end).collect())
            }
        }
    }

    /// The first durable record of another room at or after `offset`, of one kind or any.
    pub(crate) fn next_room(&self, offset: u32, kind: Option<RecordKind>) -> Result<Option<u32>, ReadError> {
        let wanted = |number: u8| kind.is_none_or(|kind| kind as u8 == number);
        let end = self.end(Horizon::Durable);
        match self {
            Self::Sealed(part) => {
                for number in part.index.room_from(offset)?..part.index.rooms() {
                    let entry = part.index.room(number)?;
                    if wanted(entry.kind) {
                        return Ok(Some(entry.offset));
                    }
                }
                Ok(None)
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let from = index.rooms.partition_point(|entry| entry.offset < offset);
                let mut rest = index.rooms.get(from..).unwrap_or_default().iter();
                Ok(rest.find(|entry| wanted(entry.kind)).map(|entry| entry.offset).filter(|offset| *offset < end))
            }
        }
    }

    /// The first event at or after `offset`, and its offset.
    pub(crate) fn next_event(&self, offset: u32) -> Result<Option<(u32, u32)>, ReadError> {
        let visible = self.events(Horizon::Durable);
        let (mut low, mut high) = (0, visible);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.offset_of(middle)? < offset { low = middle + 1 } else { high = middle }
        }
        if low == visible { Ok(None) } else { Ok(Some((low, self.offset_of(low)?))) }
    }

    /// Where the event with `ordinal` stands.
    pub(crate) fn offset_of(&self, ordinal: u32) -> Result<u32, ReadError> {
        match self {
            Self::Sealed(part) => part.index.offset(ordinal),
            Self::Memory(part) => {
                let offset = part.index.read().events.get(ordinal as usize).map(|event| event.offset);
                offset.ok_or_else(|| self.segment().corrupt(0, "an event that the index doesn't hold"))
            }
        }
    }

    /// The first ordinal recorded at or after `micros`.
    pub(crate) fn first_recorded_from(&self, micros: i64) -> Result<u32, ReadError> {
        let visible = self.events(Horizon::Durable);
        match self {
            Self::Sealed(part) => {
                let (mut low, mut high) = (0, part.index.frames());
                while low < high {
                    let middle = low + (high - low) / 2;
                    if part.index.frame(middle)?.recorded_at < micros { low = middle + 1 } else { high = middle }
                }
                if low == part.index.frames() { Ok(visible) } else { Ok(part.index.frame(low)?.first_ordinal) }
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let after = index.frames.partition_point(|frame| frame.recorded_at < micros);
                Ok(index.frames.get(after).map_or(visible, |frame| frame.first_ordinal.min(visible)))
            }
        }
    }

    /// For each kind (scope and type) that occurs here, in order: whether it passes `wanted`.
    pub(crate) fn kinds_wanted(&self, wanted: impl Fn(&Scope, &str) -> bool) -> Result<Vec<bool>, ReadError> {
        match self {
            Self::Sealed(part) => {
                let mut window = Window::default();
                let mut kinds = Vec::new();
                for number in 0..part.index.kinds() {
                    let (scope, event_type) = part.index.kind(number)?;
                    let names = (part.scope(scope, &mut window), part.event_type(event_type, &mut window));
                    // A name that can't be read is the error of the events that need it, and of no other.
                    kinds.push(match names {
                        (Ok(scope), Ok(event_type)) => wanted(&scope, &event_type),
                        _ => true,
                    });
                }
                Ok(kinds)
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let of = |(scope, event_type): &(u32, u32)| {
                    let scope = index.scope(*scope)?;
                    Some(wanted(scope, index.event_type(*event_type)?))
                };
                Ok(index.kinds.iter().map(|kind| of(kind).unwrap_or(false)).collect())
            }
        }
    }

    /// Index of an event's kind.
    pub(crate) fn kind_number(&self, ordinal: u32) -> Result<u32, ReadError> {
        match self {
            Self::Sealed(part) => part.index.kind_number(ordinal),
            Self::Memory(part) => Ok(part.index.read().events.get(ordinal as usize).map_or(0, |event| event.kind)),
        }
    }

    /// How many streams this part names.
    pub(crate) fn stream_count(&self) -> u32 {
        match self {
            Self::Sealed(part) => part.index.streams(),
            Self::Memory(part) => part.index.read().streams.len() as u32,
        }
    }

    /// A stream named here, if here first: scope and id.
    pub(crate) fn new_stream(&self, number: u32) -> Result<Option<(Arc<Scope>, ByteString)>, ReadError> {
        self.named_stream(number, true)
    }

    /// A stream named here with its scope and id, if here first or not `only_new`.
    pub(crate) fn named_stream(
        &self,
        number: u32,
        only_new: bool,
    ) -> Result<Option<(Arc<Scope>, ByteString)>, ReadError> {
        match self {
            Self::Sealed(part) => {
                let row = part.index.stream(number)?;
                if only_new && row.previous_segment != 0 {
                    return Ok(None);
                }
                let mut window = Window::default();
                let (scope, _, id) = part.stream_name(row.symbol, &mut window)?;
                Ok(Some((part.scope(scope, &mut window)?, id)))
            }
            Self::Memory(part) => {
                let index = part.index.read();
                let visible = part.events(Horizon::Durable);
                let is_visible = |ordinal: &u32| *ordinal < visible;
                let entry = index.streams.get(number as usize);
                let has_events = |entry: &&StreamEntry| entry.events.first().is_some_and(is_visible);
                let entry = entry.filter(has_events).filter(|entry| !only_new || entry.is_new());
                Ok(entry.and_then(|entry| Some((index.scope(entry.scope_symbol)?.clone(), entry.id.clone()))))
            }
        }
    }
}
