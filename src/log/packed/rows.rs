//! A plain segment's bytes behind its header as rows next to each other: each a record, or what stands between records
//! (padding and the next frame's header). A row is numbers, which a page packs by columns, and a unit, the bytes that are
//! left.

use super::columns::COLUMNS;
use super::lz4;
use crate::log::RecordKind;
use crate::log::format::{EVENT_HAS_TIME, EVENT_ID_END, RECORD_HEADER_LEN, RecordHeader, Salt, record_crc};

/// The columns: where the row begins in its page and where its unit ends among the page's units, both put in by the page;
/// the shape, put in by its number; then the fields of the record header, and those of an event's body that are numbers.
pub(super) const START: usize = 0;
pub(super) const UNIT_END: usize = 1;
pub(super) const SHAPE: usize = 2;
const TYPE: usize = 3;
const STREAM: usize = 4;
const VERSION: usize = 5;
const MILLIS: usize = 6;
const TIME: usize = 7;
const OFFSET: usize = 8;

/// A shape: the record's kind in the low byte, an event's flags in the next two, and these.
const IS_RECORD: u32 = 1 << 24;
/// The body is an event's: flags, id, and time where flagged, are taken out of it.
const IS_EVENT: u32 = 1 << 25;
/// The id is of version 7: its milliseconds are a column, and ten bytes of it are in the unit.
const IS_V7: u32 = 1 << 26;
/// The unit's end is an LZ4 block.
const IS_LZ4: u32 = 1 << 27;

/// That a time follows the id, among an event's flags.
const HAS_TIME: u32 = (EVENT_HAS_TIME as u32) << 8;
/// Bytes of the time.
const TIME_LEN: usize = 10;
/// No byte of an LZ4 block stands for more than this.
const MOST_PER_BYTE: usize = 255;

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) shape: u32,
    pub(super) numbers: [Option<u64>; COLUMNS],
    pub(super) unit: Vec<u8>,
}

/// A number that grows as a signed one does.
fn unsigned(number: i64) -> u64 {
    number as u64 ^ 1 << 63
}

fn signed(number: u64) -> i64 {
    (number ^ 1 << 63) as i64
}

fn put_rest(unit: &mut Vec<u8>, rest: &[u8], dictionary: &[u8], wanted: bool) -> u32 {
    match lz4::compress(rest, dictionary).filter(|_| wanted) {
        Some(packed) => {
            unit.extend_from_slice(&packed);
            IS_LZ4
        }
        None => {
            unit.extend_from_slice(rest);
            0
        }
    }
}

/// What of a record's body is left once the numbers are out of it.
pub(super) fn rest<'a>(header: &RecordHeader, body: &'a [u8]) -> &'a [u8] {
    let split = split_event(header, body).map(|(_, _, _, rest)| rest);
    split.unwrap_or(body)
}

/// Flags, id, time and the rest of an event's body.
type Split<'a> = (u32, [u8; 16], Option<(i64, i16)>, &'a [u8]);

fn split_event<'a>(header: &RecordHeader, body: &'a [u8]) -> Option<Split<'a>> {
    if header.kind != RecordKind::Event as u8 {
        return None;
    }
    let (flags, rest) = body.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let flags = u32::from(u16::from_le_bytes(*flags)) << 8;
    if flags & HAS_TIME == 0 {
        return Some((flags, *id, None, rest));
    }
    let (micros, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    Some((flags, *id, Some((i64::from_le_bytes(*micros), i16::from_le_bytes(*offset))), rest))
}

impl Row {
    /// Bytes between records.
    pub(super) fn between(bytes: &[u8], dictionary: &[u8]) -> Self {
        let mut unit = Vec::new();
        let shape = put_rest(&mut unit, bytes, dictionary, true);
        Self { shape, numbers: [None; COLUMNS], unit }
    }

    /// A record; its rest stays as it is unless `wanted`.
    pub(super) fn record(header: &RecordHeader, body: &[u8], dictionary: &[u8], wanted: bool) -> Self {
        let mut unit = Vec::new();
        let mut shape = IS_RECORD | u32::from(header.kind);
        let (mut millis, mut micros, mut minutes) = (None, None, None);
        let mut left = body;
        if let Some((flags, id, time, rest)) = split_event(header, body) {
            shape |= IS_EVENT | flags;
            let [a, b, c, d, e, f, random @ ..] = id;
            if random.first().is_some_and(|byte| byte >> 4 == 7) {
                shape |= IS_V7;
                millis = Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
                unit.extend_from_slice(&random);
            } else {
                unit.extend_from_slice(&id);
            }
            micros = time.map(|(micros, _)| unsigned(micros));
            minutes = time.map(|(_, minutes)| unsigned(i64::from(minutes)));
            left = rest;
        }
        shape |= put_rest(&mut unit, left, dictionary, wanted);
        let of_header = [header.type_symbol.into(), header.stream_symbol.into(), header.version].map(Some);
        let [event_type, stream, version] = of_header;
        Self { shape, numbers: [None, None, None, event_type, stream, version, millis, micros, minutes], unit }
    }
}

/// Adds the plain bytes of a row, `length` of them, to `out`; without a salt the CRC of a record is left out, as zeros.
/// `None` where there is no such row.
#[inline]
pub(super) fn put_plain(
    out: &mut Vec<u8>,
    length: usize,
    shape: u32,
    unit: &[u8],
    number: impl Fn(usize) -> u64,
    (salt, dictionary): (Option<&Salt>, &[u8]),
) -> Option<()> {
    let start = out.len();
    if length > unit.len().saturating_mul(MOST_PER_BYTE).saturating_add(RECORD_HEADER_LEN + EVENT_ID_END + TIME_LEN) {
        return None;
    }
    out.reserve(length);
    let mut unit = unit;
    if shape & IS_RECORD != 0 {
        let header = RecordHeader {
            body_len: length.checked_sub(RECORD_HEADER_LEN)? as u32,
            crc: 0,
            kind: shape as u8,
            type_symbol: number(TYPE) as u32,
            stream_symbol: number(STREAM) as u32,
            version: number(VERSION),
        };
        out.extend_from_slice(header.encode().map(u64::to_le_bytes).as_flattened());
    }
    if shape & IS_EVENT != 0 {
        out.extend_from_slice(&((shape >> 8) as u16).to_le_bytes());
        let in_unit = if shape & IS_V7 != 0 {
            let [_, _, millis @ ..] = number(MILLIS).to_be_bytes();
            out.extend_from_slice(&millis);
            10
        } else {
            16
        };
        let (id, rest) = unit.split_at_checked(in_unit)?;
        out.extend_from_slice(id);
        unit = rest;
        if shape & HAS_TIME != 0 {
            out.extend_from_slice(&signed(number(TIME)).to_le_bytes());
            out.extend_from_slice(&(signed(number(OFFSET)) as i16).to_le_bytes());
        }
    }
    let left = (start + length).checked_sub(out.len())?;
    if shape & IS_LZ4 != 0 {
        let at = out.len();
        out.resize(at + left, 0);
        lz4::decompress(unit, dictionary, out.get_mut(at..)?)?;
    } else {
        out.extend_from_slice(unit);
    }
    let row = out.get_mut(start..).filter(|row| row.len() == length)?;
    if let Some(salt) = salt.filter(|_| shape & IS_RECORD != 0) {
        let crc = record_crc(row, salt);
        row.get_mut(4..8)?.copy_from_slice(&crc.to_le_bytes());
    }
    Some(())
}
