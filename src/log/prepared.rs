//! An append that is encoded and ready to be committed: distinct streams and types, the bodies of all events in one
//! piece, and what the committer needs to know of each without decoding it.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::DefaultHashBuilder;
use uuid::Uuid;

use super::format::{RECORD_HEADER_LEN, crc_of_body, put_event};
use super::index::StreamHash;
use super::numbers::Numbers;
use super::view::View;
use super::{AppendError, Durability, ExpectedVersion, RecordKind};
use crate::event::{Data, Event, Scope};

/// A stream that an append writes to or expects something of.
#[derive(Debug)]
pub(crate) struct PreparedStream {
    /// Where its id is in [`Prepared::texts`].
    id: Range<usize>,
    pub(crate) hash: u64,
    /// Its version and newest segment among the parts before the active one, as of [`Prepared::tail`].
    pub(crate) head: (u64, u32),
    /// How many events of the append are for it.
    pub(crate) events: u64,
}

/// An event, encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreparedEvent {
    pub(crate) id: Uuid,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
    /// Index into [`Prepared::types`].
    pub(crate) event_type: usize,
    /// Index into [`Prepared::streams`].
    pub(crate) stream: usize,
    /// Where its body ends in [`Prepared::bodies`]; it begins where the one before it ends.
    pub(crate) body_end: usize,
    pub(crate) body_crc: u32,
}

/// A record of another room, encoded.
#[derive(Debug)]
pub(crate) struct PreparedRecord {
    pub(crate) kind: RecordKind,
    pub(crate) body: Vec<u8>,
    pub(crate) body_crc: u32,
}

/// A keyframe, encoded.
#[derive(Debug)]
pub(crate) struct PreparedKeyframe {
    /// Index into [`Prepared::streams`].
    pub(crate) stream: usize,
    pub(crate) version: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) body_crc: u32,
}

/// History that is written as it was recorded elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsRecorded {
    pub(crate) first_position: u64,
    pub(crate) recorded_at: i64,
}

/// An append, ready to be committed.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) scope: Option<Scope>,
    pub(crate) streams: Vec<PreparedStream>,
    /// Where each type is in [`texts`](Self::texts).
    pub(crate) types: Vec<Range<usize>>,
    /// Ids of streams, and types.
    texts: String,
    /// What is expected of streams, by index into [`streams`](Self::streams).
    pub(crate) expected: Vec<(usize, ExpectedVersion)>,
    pub(crate) events: Vec<PreparedEvent>,
    /// The bodies of the events, one after the other.
    pub(crate) bodies: Vec<u8>,
    pub(crate) records: Vec<PreparedRecord>,
    pub(crate) keyframes: Vec<PreparedKeyframe>,
    pub(crate) as_recorded: Option<AsRecorded>,
    pub(crate) durability: Durability,
    /// The active segment when the look-ups were made; what was sealed since must be asked again.
    pub(crate) tail: u32,
    /// How many events the active part held when the look-ups were made; later ones must be asked again.
    pub(crate) tail_events: u32,
    /// Bytes it takes at most, symbols included.
    pub(crate) size: usize,
    stream_hash: Option<StreamHash>,
    stream_numbers: Numbers,
    type_numbers: Numbers,
    id_numbers: Numbers,
    hasher: DefaultHashBuilder,
}

fn room_for(body: usize) -> usize {
    body + RECORD_HEADER_LEN
}

impl Prepared {
    /// An empty one, prepared against `view`.
    pub(crate) fn new(scope: Option<&Scope>, durability: Durability, view: &View) -> Box<Self> {
        Box::new(Self {
            scope: scope.cloned(),
            streams: Vec::new(),
            types: Vec::new(),
            texts: String::new(),
            expected: Vec::new(),
            events: Vec::new(),
            bodies: Vec::new(),
            records: Vec::new(),
            keyframes: Vec::new(),
            as_recorded: None,
            durability,
            tail: view.tail(),
            tail_events: view.tail_events(),
            size: super::format::FRAME_HEADER_LEN + 8,
            stream_hash: scope.map(|scope| view.hash().streams_of(scope)),
            stream_numbers: Numbers::default(),
            type_numbers: Numbers::default(),
            id_numbers: Numbers::default(),
            hasher: DefaultHashBuilder::default(),
        })
    }

    /// One that was committed, emptied for another append and keeping what memory it has.
    pub(crate) fn renew(mut self: Box<Self>, scope: Option<&Scope>, durability: Durability, view: &View) -> Box<Self> {
        if self.scope.as_ref() != scope {
            self.scope = scope.cloned();
            self.stream_hash = scope.map(|scope| view.hash().streams_of(scope));
        }
        self.streams.clear();
        self.types.clear();
        self.texts.clear();
        self.expected.clear();
        self.events.clear();
        self.bodies.clear();
        self.records.clear();
        self.keyframes.clear();
        self.as_recorded = None;
        self.durability = durability;
        (self.tail, self.tail_events) = (view.tail(), view.tail_events());
        self.size = super::format::FRAME_HEADER_LEN + 8;
        for numbers in [&mut self.stream_numbers, &mut self.type_numbers, &mut self.id_numbers] {
            numbers.clear();
        }
        self
    }

    /// About how many bytes of memory it has.
    pub(crate) fn memory(&self) -> usize {
        let events = self.events.capacity() * std::mem::size_of::<PreparedEvent>();
        let streams = self.streams.capacity() * std::mem::size_of::<PreparedStream>();
        std::mem::size_of::<Self>() + self.bodies.capacity() + self.texts.capacity() + events + streams
    }

    /// The id of a stream.
    pub(crate) fn id_of(&self, stream: &PreparedStream) -> &str {
        self.texts.get(stream.id.clone()).unwrap_or_default()
    }

    /// A type by its number.
    pub(crate) fn type_of(&self, number: usize) -> &str {
        self.types.get(number).and_then(|text| self.texts.get(text.clone())).unwrap_or_default()
    }

    fn put_text(&mut self, text: &str) -> Range<usize> {
        let start = self.texts.len();
        self.texts.push_str(text);
        start..self.texts.len()
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.records.is_empty() && self.keyframes.is_empty()
    }

    /// The stream `id`, where it is known here.
    pub(crate) fn known_stream(&self, id: &str) -> Option<&PreparedStream> {
        let hash = || self.stream_hash.as_ref().map_or(0, |hash| hash.of(id));
        let is_it = |number: usize| self.streams.get(number).is_some_and(|stream| self.id_of(stream) == id);
        let number = self.stream_numbers.find(self.streams.len(), hash, is_it);
        number.and_then(|number| self.streams.get(number))
    }

    /// States what is expected of a stream.
    pub(crate) fn expect(&mut self, view: &View, id: &str, expected: ExpectedVersion) -> Result<(), AppendError> {
        // As a rule there is one for each stream, in the order of the events.
        let next = self.expected.len();
        let number = match self.streams.get(next) {
            Some(stream) if self.id_of(stream) == id => next,
            _ => self.stream(view, id)?,
        };
        self.expected.push((number, expected));
        Ok(())
    }

    /// The number of a stream, added where it is new; its head is looked up in the parts before the active one.
    pub(crate) fn stream(&mut self, view: &View, id: &str) -> Result<usize, AppendError> {
        let mut hash = None;
        let mut hash_of_id = || *hash.get_or_insert_with(|| self.stream_hash.as_ref().map_or(0, |hash| hash.of(id)));
        let is_it = |number: usize| self.streams.get(number).is_some_and(|stream| self.id_of(stream) == id);
        if let Some(known) = self.stream_numbers.find(self.streams.len(), &mut hash_of_id, is_it) {
            return Ok(known);
        }
        let hash = hash_of_id();
        let head = match &self.scope {
            Some(scope) => view.head_before_tail(hash, scope, id)?,
            None => (0, 0),
        };
        let text = self.put_text(id);
        self.streams.push(PreparedStream { id: text, hash, head, events: 0 });
        let streams = &self.streams;
        let hash_of = |number: usize| streams.get(number).map_or(0, |stream| stream.hash);
        self.stream_numbers.added(streams.len(), hash_of);
        // Its symbol, and perhaps its scope's.
        self.size += 2 * room_for(16) + id.len() + 2 * crate::event::MAX_NAME_LEN;
        Ok(self.streams.len() - 1)
    }

    /// The number of a type, where an event of this type was added.
    pub(crate) fn find_type(&self, event_type: &str) -> Option<usize> {
        let is_it = |number: usize| self.type_of(number) == event_type;
        self.type_numbers.find(self.types.len(), || self.hasher.hash_one(event_type), is_it)
    }

    /// Adds a type that is new; its number.
    fn add_type(&mut self, event_type: &str) -> usize {
        let text = self.put_text(event_type);
        self.types.push(text);
        let (types, texts, hasher) = (&self.types, &self.texts, &self.hasher);
        let text_of = |number: usize| types.get(number).and_then(|text| texts.get(text.clone())).unwrap_or_default();
        self.type_numbers.added(types.len(), |number| hasher.hash_one(text_of(number)));
        self.size += room_for(event_type.len() + 1);
        self.types.len() - 1
    }

    /// Adds an event that was checked, with the data and the metadata that the check gave, and with what
    /// [`find_type`](Self::find_type) says of its type.
    ///
    /// # Errors
    /// [`AppendError::RepeatedId`]; otherwise where the stream can't be looked up.
    pub(crate) fn event(
        &mut self,
        view: &View,
        event: &Event,
        id: Uuid,
        known_type: Option<usize>,
        data: &Data,
        metadata: Option<&[u8]>,
    ) -> Result<(), AppendError> {
        if self.holds(id) {
            return Err(AppendError::RepeatedId { id });
        }
        let stream = self.stream(view, &event.stream)?;
        let event_type = known_type.unwrap_or_else(|| self.add_type(&event.event_type));
        let start = self.bodies.len();
        let correlation_id = put_event(&mut self.bodies, event, id, data, metadata);
        let body = self.bodies.get(start..).unwrap_or_default();
        let body_crc = crc_of_body(body);
        self.size += room_for(body.len());
        let (causation_id, body_end) = (event.causation_id, self.bodies.len());
        self.events.push(PreparedEvent { id, correlation_id, causation_id, event_type, stream, body_end, body_crc });
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.events += 1;
        }
        let (events, hasher) = (&self.events, &self.hasher);
        let hash_of = |number: usize| events.get(number).map_or(0, |event| hasher.hash_one(event.id.as_u128()));
        self.id_numbers.added(events.len(), hash_of);
        Ok(())
    }

    /// Whether it holds an event with this id.
    pub(crate) fn holds(&self, id: Uuid) -> bool {
        let is_it = |number: usize| self.events.get(number).is_some_and(|event| event.id == id);
        self.id_numbers.find(self.events.len(), || self.hasher.hash_one(id.as_u128()), is_it).is_some()
    }

    pub(crate) fn keyframe(
        &mut self,
        view: &View,
        stream: &str,
        version: u64,
        body: Vec<u8>,
    ) -> Result<(), AppendError> {
        let stream = self.stream(view, stream)?;
        self.size += room_for(body.len());
        let body_crc = crc_of_body(&body);
        self.keyframes.push(PreparedKeyframe { stream, version, body, body_crc });
        Ok(())
    }

    pub(crate) fn record(&mut self, kind: RecordKind, body: Vec<u8>) {
        self.size += room_for(body.len());
        let body_crc = crc_of_body(&body);
        self.records.push(PreparedRecord { kind, body, body_crc });
    }

    /// Checks that it is not larger than `max_commit` bytes.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`].
    pub(crate) fn check_size(&self, max_commit: usize) -> Result<(), AppendError> {
        if self.size > max_commit {
            return Err(AppendError::TooLarge { size: self.size, limit: max_commit });
        }
        Ok(())
    }
}
