//! The work, the same for every peer and on every run: 256 bytes of JSON as data, the caller's v7 id, a 50-character type
//! (40 of them), a 21-character stream id; and the loaded store, its streams interleaved by a seeded shuffle.

use std::fmt::Write as _;

use atlas::Uuid;
use bytes::Bytes;

/// Bytes of each event's data.
pub const DATA_LEN: usize = 256;
/// Bytes of each event's type.
pub const TYPE_LEN: usize = 50;
/// Bytes of each stream's id.
pub const STREAM_LEN: usize = 21;
/// Types.
const TYPES: usize = 40;
/// What an event is at the least: data, type, stream, id, version, position, CRC.
pub const RAW_LEN: usize = DATA_LEN + TYPE_LEN + STREAM_LEN + 16 + 8 + 8 + 4;
/// Events between two keyframes.
pub const KEYFRAME_EVERY: u64 = 100;
/// Bytes of a keyframe's state.
pub const KEYFRAME_LEN: usize = 512;
/// Where the data say which event they are, in 8 digits.
pub const NUMBER_AT: usize = 14;
/// Where a type says which it is, in 2 digits.
pub const TYPE_NUMBER_AT: usize = 36;

/// An event to append.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id. Stored by Atlas and by peers that know ids; the others are given no column for it.
    pub id: Uuid,
    pub stream: &'static str,
    /// The number of its stream.
    pub stream_number: usize,
    pub event_type: &'static str,
    /// Its version in its stream, from 1, as the caller expects it to be.
    pub version: u64,
    /// Whether it is the first of its stream in its batch.
    pub opens: bool,
    pub data: Bytes,
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Names of types and streams, made once.
#[derive(Debug)]
pub struct Names {
    types: Vec<&'static str>,
    /// All ids of streams, one after the other: there may be millions.
    streams: &'static str,
}

impl Names {
    /// Kept for as long as the process runs, so that events can refer to them.
    pub fn leak(streams: usize) -> Self {
        let types = (0..TYPES).map(|n| format!("INSTORE_TXNFINALIZE_UPSERTTRANSACTIO{n:02}_COMPLETED_1"));
        let mut ids = String::with_capacity(streams * STREAM_LEN);
        for stream in 0..streams {
            let _ = write!(ids, "transaction-{stream:09}");
        }
        Self { types: types.map(|name| &*name.leak()).collect(), streams: ids.leak() }
    }

    pub fn stream(&self, number: usize) -> &'static str {
        &self.streams[number * STREAM_LEN..(number + 1) * STREAM_LEN]
    }

    pub fn types(&self) -> &[&'static str] {
        &self.types
    }

    pub fn event_type(&self, event: u64) -> &'static str {
        self.types[(event.wrapping_mul(7) % TYPES as u64) as usize]
    }
}

const WORDS: [&str; 32] = [
    "receipt",
    "customer",
    "returned",
    "voucher",
    "checkout",
    "delivery",
    "basket",
    "discount",
    "invoice",
    "article",
    "pending",
    "approved",
    "manual",
    "terminal",
    "payment",
    "refund",
    "partial",
    "complete",
    "express",
    "standard",
    "counter",
    "loyalty",
    "bonus",
    "price",
    "corrected",
    "by",
    "clerk",
    "the",
    "of",
    "with",
    "and",
    "second",
];

/// The data of an event: a JSON object of [`DATA_LEN`] bytes.
pub fn write_data(number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut random = Random::new(number ^ 0x5eed);
    let (customer, cents, store) = (random.next() as u32, random.below(1_000_000), random.below(900) + 100);
    let mut text = String::with_capacity(DATA_LEN);
    let _ = write!(
        text,
        r#"{{"n":"{number:016}","customer":"{customer:08x}","amount":"{}.{:02}","currency":"EUR","store":{store},"note":""#,
        cents / 100,
        cents % 100
    );
    while text.len() < DATA_LEN - 2 {
        text.push_str(WORDS[random.below(WORDS.len())]);
        text.push(' ');
    }
    text.truncate(DATA_LEN - 2);
    text.push_str("\"}");
    out.extend_from_slice(text.as_bytes());
    debug_assert_eq!(out.len() - start, DATA_LEN);
}

/// The state that a keyframe of a version holds.
pub fn keyframe_state(version: u64) -> Vec<u8> {
    let mut state = format!(r#"{{"version":"{version:016}","state":""#).into_bytes();
    let mut random = Random::new(version);
    while state.len() < KEYFRAME_LEN - 2 {
        state.extend_from_slice(WORDS[random.below(WORDS.len())].as_bytes());
        state.push(b' ');
    }
    state.truncate(KEYFRAME_LEN - 2);
    state.extend_from_slice(b"\"}");
    state
}

/// A source of events for a store: it knows each stream's version.
#[derive(Debug)]
pub struct Source<'a> {
    names: &'a Names,
    next: u64,
    versions: Vec<u64>,
}

impl<'a> Source<'a> {
    pub fn new(names: &'a Names) -> Self {
        Self { names, next: 0, versions: vec![0; names.streams.len() / STREAM_LEN] }
    }

    /// One batch, an event for each of the streams.
    pub fn batch(&mut self, streams: impl Iterator<Item = usize>) -> Vec<NewEvent> {
        let mut data = Vec::new();
        let mut batch: Vec<(usize, u64)> = Vec::new();
        let first = self.next;
        for stream in streams {
            write_data(self.next, &mut data);
            self.versions[stream] += 1;
            batch.push((stream, self.versions[stream]));
            self.next += 1;
        }
        let data = Bytes::from(data);
        let mut opened = std::collections::HashSet::new();
        let events = batch.into_iter().enumerate().map(|(at, (stream, version))| NewEvent {
            id: Uuid::now_v7(),
            stream: self.names.stream(stream),
            stream_number: stream,
            event_type: self.names.event_type(first + at as u64),
            version,
            opens: opened.insert(stream),
            data: data.slice(at * DATA_LEN..(at + 1) * DATA_LEN),
        });
        events.collect()
    }

    /// Events that are appended one by one.
    pub fn singles(&mut self, streams: impl Iterator<Item = usize>) -> Vec<NewEvent> {
        let mut events = self.batch(streams);
        events.iter_mut().for_each(|event| event.opens = true);
        events
    }

    /// The next event of the same stream, with the same type and data.
    pub fn again(&mut self, event: &NewEvent) -> NewEvent {
        self.versions[event.stream_number] += 1;
        NewEvent { id: Uuid::now_v7(), version: self.versions[event.stream_number], ..event.clone() }
    }

    /// These were not appended: their versions are free again.
    pub fn take_back<'e>(&mut self, events: impl IntoIterator<Item = &'e NewEvent>) {
        for event in events {
            self.versions[event.stream_number] -= 1;
        }
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.versions.len()
    }
}

/// The loaded store: which event, in order of positions, goes to which stream.
#[derive(Debug)]
pub struct Plan {
    /// The stream of each event.
    pub order: Vec<u32>,
    /// The events of each stream.
    pub events: Vec<Vec<u32>>,
    /// How many streams of 89 there are: the first ones.
    pub short: usize,
    /// The streams of 1,000.
    pub long: std::ops::Range<usize>,
}

impl Plan {
    /// `short` streams of 89, ten of 1,000 and one of `huge`.
    pub fn new(short: usize, huge: usize) -> Self {
        let lens = (0..short).map(|_| 89).chain((0..10).map(|_| 1_000)).chain([huge]);
        let mut order: Vec<u32> =
            lens.enumerate().flat_map(|(stream, len)| std::iter::repeat_n(stream as u32, len)).collect();
        let mut random = Random::new(0xa71a5);
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        let mut events = vec![Vec::new(); short + 11];
        for (number, stream) in order.iter().enumerate() {
            events[*stream as usize].push(number as u32);
        }
        Self { order, events, short, long: short..short + 10 }
    }

    pub fn streams(&self) -> usize {
        self.events.len()
    }

    /// The streams that have keyframes, by number.
    pub fn keyframed(&self) -> std::ops::Range<usize> {
        self.short..self.events.len()
    }
}
