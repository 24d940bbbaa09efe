//! The bytes of a segment by `docs/design.md`, read without the crate's own code.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Record {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) type_symbol: u32,
    pub(crate) stream_symbol: u32,
    /// Of an event.
    pub(crate) position: Option<u64>,
    /// Of the symbol of a stream: its scope's.
    pub(crate) scope_symbol: u32,
    what: &'static str,
}

pub(crate) struct Frame {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) records: Vec<Record>,
}

pub(crate) struct Region {
    pub(crate) what: String,
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = 64;
    while at < bytes.len() {
        let length = u32_at(bytes, at) as usize;
        if length == 0 {
            // Space that was filled ahead.
            break;
        }
        let mut position = u64_at(bytes, at + 8);
        let mut records = Vec::new();
        let mut offset = at + 48;
        for _ in 0..u32_at(bytes, at + 24) {
            let kind = bytes[offset + 8];
            let is_event = kind == 1 || kind == 5;
            let is_stream = kind == 2 && bytes[offset + 24] == 3;
            let record = Record {
                offset,
                length: 24 + u32_at(bytes, offset) as usize,
                kind,
                type_symbol: u32_at(bytes, offset + 9) & 0xff_ffff,
                stream_symbol: u32_at(bytes, offset + 12),
                position: is_event.then_some(position),
                scope_symbol: if is_stream { u32_at(bytes, offset + 25) } else { 0 },
                what: match (kind, bytes[offset + 24]) {
                    (1, _) => "event",
                    (2, 1) => "scope symbol",
                    (2, 2) => "type symbol",
                    (2, _) => "stream symbol",
                    (3, _) => "keyframe",
                    (4, _) => "closing",
                    _ => "record of another room",
                },
            };
            position += u64::from(is_event);
            offset += record.length;
            records.push(record);
        }
        frames.push(Frame { offset: at, length, records });
        at += length;
    }
    frames
}

/// Every kind of region that a segment has, each once: the middle one of its kind.
pub(crate) fn regions(bytes: &[u8]) -> Vec<Region> {
    let mut all: Vec<Region> = Vec::new();
    let mut add = |what: String, offset, length| all.push(Region { what, offset, length });
    for (what, offset, length) in [
        ("magic", 0, 8),
        ("version", 8, 4),
        ("store id", 16, 16),
        ("number", 32, 4),
        ("salt", 40, 8),
        ("CRC of the segment before", 48, 4),
        ("end of the segment before", 52, 4),
        ("CRC", 60, 4),
    ] {
        add(format!("segment header, {what}"), offset, length);
    }
    for frame in frames(bytes) {
        for (what, offset, length) in [
            ("length", 0, 4),
            ("CRC", 4, 4),
            ("first position", 8, 8),
            ("recorded at", 16, 8),
            ("records", 24, 4),
            ("events", 28, 4),
            ("previous CRC", 32, 4),
            ("body length", 36, 4),
            ("synced to", 40, 8),
        ] {
            add(format!("frame header, {what}"), frame.offset + offset, length);
        }
        for record in &frame.records {
            let what = record.what;
            add(format!("{what}, length"), record.offset, 4);
            add(format!("{what}, CRC"), record.offset + 4, 4);
            add(format!("{what}, numbers"), record.offset + 8, 16);
            add(format!("{what}, body"), record.offset + 24, record.length - 24);
        }
        let end = frame.records.last().map_or(frame.offset + 48, |record| record.offset + record.length);
        if end < frame.offset + frame.length {
            add("padding".to_owned(), end, frame.offset + frame.length - end);
        }
    }
    let mut by_kind: BTreeMap<String, Vec<Region>> = BTreeMap::new();
    for region in all {
        by_kind.entry(region.what.clone()).or_default().push(region);
    }
    by_kind.into_values().map(|mut regions| regions.swap_remove(regions.len() / 2)).collect()
}

/// The positions that may be lost where the bytes from `from` to `to` aren't what they were: those in the frames there, and
/// those that need a name from there.
pub(crate) fn may_be_lost(bytes: &[u8], from: usize, to: usize) -> BTreeSet<u64> {
    let frames = frames(bytes);
    let hit = |frame: &Frame| from < 64 || (frame.offset < to && from < frame.offset + frame.length);
    let records = || frames.iter().flat_map(|frame| frame.records.iter());
    let gone: BTreeSet<u32> = frames
        .iter()
        .filter(|frame| hit(frame))
        .flat_map(|frame| frame.records.iter().filter(|record| record.kind == 2).map(|record| record.stream_symbol))
        .collect();
    let nameless: BTreeSet<u32> = records()
        .filter(|record| record.kind == 2 && gone.contains(&record.scope_symbol))
        .map(|record| record.stream_symbol)
        .chain(gone.iter().copied())
        .collect();
    let needs = |record: &Record| nameless.contains(&record.type_symbol) || nameless.contains(&record.stream_symbol);
    frames
        .iter()
        .flat_map(|frame| frame.records.iter().map(move |record| (frame, record)))
        .filter(|(frame, record)| hit(frame) || needs(record))
        .filter_map(|(_, record)| record.position)
        .collect()
}
