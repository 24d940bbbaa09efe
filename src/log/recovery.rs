//! Finding out what of a segment is whole: frame by frame, deciding between a torn tail and damage.

use bytes::Bytes;

use super::format::{FRAME_HEADER_LEN, FrameHeader, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN, check_frame, records};
use super::index::{KeyHash, MemoryIndex};
use super::part::SealedPart;
use super::segment::{Segment, Window};
use super::{Address, MAX_FRAME, MAX_SEGMENT_ENTRIES, ReadError, RecordKind};
use crate::planted::{Bug, planted};

/// What a scan of a segment found.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Everything whole, indexed; its `end` is where the whole frames end.
    pub(crate) index: MemoryIndex,
    /// CRC of the last whole frame, or of the segment header.
    pub(crate) last_crc: u32,
    /// The last whole frame's recorded_at.
    pub(crate) last_recorded: i64,
    /// The newest `synced_to` that a whole frame states.
    pub(crate) synced_to: Address,
    /// Why the scan stopped before the end of the file: no frame there but zeros, or a bad one.
    pub(crate) stop: Stop,
}

/// Why a scan stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The file ends, or only zeros follow the header that would be next.
    End,
    /// The bytes after the last whole frame are not a frame, or not the one that follows it.
    Bad(&'static str),
    /// A frame whose CRCs match says what cannot be: no tear makes that.
    Damaged(&'static str),
}

/// CRC of a segment header: what its first frame chains to.
pub(crate) fn header_crc(segment: &Segment) -> u32 {
    crc32fast::hash(&segment.header.encode())
}

/// What stands before a scan.
pub(crate) enum Before<'a> {
    /// Nothing of the segment; the next position, where it is known (else it is taken from the first frame).
    Segment(Option<u64>),
    /// A part of the segment that a clean close indexed.
    Indexed(&'a SealedPart),
}

/// How much of a segment tells about how many events the rest holds, in bytes.
const SAMPLE: u32 = 1 << 20;

/// Scans a segment from its first frame, or from where its index ends, up to `limit` or the end of the file.
pub(crate) fn scan(
    segment: &Segment,
    hash: KeyHash,
    before: &Before<'_>,
    limit: Option<u32>,
    mut progress: impl FnMut(u64),
) -> Result<Scan, ReadError> {
    let file_len = segment.file.len().map_err(|error| segment.io(error))?;
    let end = u32::try_from(file_len).unwrap_or(u32::MAX).min(limit.unwrap_or(u32::MAX));
    let mut scan = match before {
        Before::Segment(first_position) => Scan {
            index: MemoryIndex::new(hash, SEGMENT_HEADER_LEN as u32, 1, first_position.unwrap_or(0)),
            last_crc: header_crc(segment),
            last_recorded: i64::MIN,
            synced_to: Address::START,
            stop: Stop::End,
        },
        Before::Indexed(part) => Scan {
            index: index_after(part, hash)?,
            last_crc: part.index.summary.last_crc,
            last_recorded: part.index.summary.last_recorded,
            synced_to: Address::new(segment.number(), part.index.summary.end),
            stop: Stop::End,
        },
    };
    let mut window = Window::default();
    let mut at = scan.index.start;
    let mut sampled = scan.index.start.saturating_add(SAMPLE);
    while at < end {
        if at >= sampled {
            let (events, scanned) = (scan.index.events.len() as u64, u64::from(at - scan.index.start));
            let more = (events * u64::from(end - at) / scanned) as usize;
            scan.index.expect_events(more.min(MAX_SEGMENT_ENTRIES));
            sampled = u32::MAX;
        }
        let (header, frame) = match next_frame(segment, at, end, scan.last_crc, &mut window)? {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(what) => {
                scan.stop = Stop::Bad(what);
                break;
            }
        };
        if let Before::Indexed(part) = before {
            adopt_streams(&mut scan.index, part, &header, &frame)?;
        }
        if matches!(before, Before::Segment(None)) && scan.index.frames.is_empty() {
            scan.index.first_position = header.first_position;
        }
        if let Err(what) = add_frame(&mut scan, at, &header, &frame) {
            scan.stop = Stop::Damaged(what);
            break;
        }
        at += frame.len() as u32;
        progress(frame.len() as u64);
    }
    scan.index.end = at;
    Ok(scan)
}

/// An empty index of what follows an indexed part of the same segment: it knows the scopes and types named there.
fn index_after(part: &SealedPart, hash: KeyHash) -> Result<MemoryIndex, ReadError> {
    let summary = &part.index.summary;
    let mut index = MemoryIndex::new(hash, summary.end, summary.next_symbol, summary.next_position());
    index.last_crc = summary.last_crc;
    let mut window = Window::default();
    for kind in 0..part.index.kinds() {
        let (scope, event_type) = part.index.kind(kind)?;
        index.adopt_scope(scope, part.scope(scope, &mut window)?);
        index.adopt_type(event_type, part.event_type(event_type, &mut window)?);
    }
    Ok(index)
}

/// Takes in the streams that a frame refers to and that the indexed part has named.
pub(crate) fn adopt_streams(
    index: &mut MemoryIndex,
    part: &SealedPart,
    header: &FrameHeader,
    frame: &[u8],
) -> Result<(), ReadError> {
    let body = frame.get(FRAME_HEADER_LEN..).unwrap_or_default();
    let mut window = Window::default();
    for (_, record, _) in records(body, header.records).flatten() {
        let refers = [RecordKind::Event as u8, RecordKind::Erased as u8, RecordKind::Keyframe as u8];
        let symbol = record.stream_symbol;
        let known = index.symbols.contains(symbol) || symbol >= part.index.summary.next_symbol;
        if !refers.contains(&record.kind) || known {
            continue;
        }
        let (scope_symbol, _, id) = part.stream_name(symbol, &mut window)?;
        let scope = part.scope(scope_symbol, &mut window)?;
        let hash = index.hash().stream(&scope, &id);
        if let Some((_, row)) = part.find_stream(hash, &scope, &id)? {
            index.adopt_stream(symbol, scope_symbol, &scope, id, row.version());
        }
    }
    Ok(())
}

enum Found {
    Nothing,
    Bad(&'static str),
    Frame(Bytes),
}

/// The frame that comes next, `None` where there is none, or what is wrong with what stands there.
pub(crate) type NextFrame = Result<Option<(FrameHeader, Bytes)>, &'static str>;

/// The whole frame at `at` that follows the one with `last_crc`, nothing at or after `end` being looked at; `None` where
/// there are zeros, and what is wrong where there is something else.
pub(crate) fn next_frame(
    segment: &Segment,
    at: u32,
    end: u32,
    last_crc: u32,
    window: &mut Window,
) -> Result<NextFrame, ReadError> {
    let frame = match frame_at(segment, at, end, window)? {
        Found::Nothing => return Ok(Ok(None)),
        Found::Bad(what) => return Ok(Err(what)),
        Found::Frame(frame) => frame,
    };
    Ok(match check_frame(&frame, &segment.salt) {
        Ok(header) if header.previous_crc == last_crc || planted(Bug::ChainUnchecked) => Ok(Some((header, frame))),
        Ok(_) => Err("the frame doesn't follow the frame before it"),
        Err(what) => Err(what),
    })
}

/// The frame at `at`, its length plausible, its CRCs not checked yet.
fn frame_at(segment: &Segment, at: u32, end: u32, window: &mut Window) -> Result<Found, ReadError> {
    let left = (end - at) as usize;
    let head = segment.slice(at as usize, FRAME_HEADER_LEN.min(left), end, window)?;
    if head.iter().all(|byte| *byte == 0) {
        return Ok(Found::Nothing);
    }
    match FrameHeader::decode(&head, MAX_FRAME.min(left)) {
        Ok(header) => segment.slice(at as usize, header.length as usize, end, window).map(Found::Frame),
        Err(what) => Ok(Found::Bad(what)),
    }
}

/// Adds a whole frame to an index that ends at `at`, with a frame that was recorded at `last_recorded`.
pub(crate) fn index_frame(
    index: &mut MemoryIndex,
    last_recorded: i64,
    at: u32,
    header: &FrameHeader,
    frame: &[u8],
) -> Result<(), &'static str> {
    if header.recorded_at < last_recorded {
        return Err("the frame was recorded before the frame before it");
    }
    index.begin_frame(at, header)?;
    let body = frame.get(FRAME_HEADER_LEN..).unwrap_or_default();
    for record in records(body, header.records) {
        let (offset, record, bytes) = record?;
        let body = bytes.get(RECORD_HEADER_LEN..).unwrap_or_default();
        index.add(at + (FRAME_HEADER_LEN + offset) as u32, &record, body)?;
    }
    Ok(())
}

fn add_frame(scan: &mut Scan, at: u32, header: &FrameHeader, frame: &[u8]) -> Result<(), &'static str> {
    index_frame(&mut scan.index, scan.last_recorded, at, header, frame)?;
    scan.last_crc = header.crc;
    scan.last_recorded = header.recorded_at;
    scan.synced_to = scan.synced_to.max(header.synced_to);
    Ok(())
}

/// After a bad frame at `bad`: whether a later frame that is whole says that the log had been synced beyond it. Then the
/// bad frame is damage, and not a torn tail.
pub(crate) fn was_synced(segment: &Segment, bad: u32) -> Result<bool, ReadError> {
    let file_len = segment.file.len().map_err(|error| segment.io(error))?;
    let end = u32::try_from(file_len).unwrap_or(u32::MAX);
    let here = Address::new(segment.number(), bad);
    const STEP: u32 = 256 << 10;
    let mut window = Window::default();
    let mut at = bad.next_multiple_of(8).max(bad + 8);
    while at < end {
        // Space that was filled ahead is zeros, and there may be much of it.
        let step_end = at.saturating_add(STEP).min(end);
        let bytes = segment.slice(at as usize, (step_end - at) as usize, end, &mut window)?;
        if bytes.iter().all(|byte| *byte == 0) {
            at = step_end;
            continue;
        }
        let mut inside = at;
        while inside < step_end && end - inside >= FRAME_HEADER_LEN as u32 {
            let left = (end - inside) as usize;
            let head = segment.slice(inside as usize, FRAME_HEADER_LEN, end, &mut window)?;
            let header = FrameHeader::decode(&head, MAX_FRAME.min(left)).ok().filter(|header| {
                // Most candidates end here: a frame of this segment states an address of this log.
                header.synced_to > here && header.synced_to.segment() == segment.number()
            });
            if let Some(header) = header {
                let frame = segment.slice(inside as usize, header.length as usize, end, &mut Window::default())?;
                if check_frame(&frame, &segment.salt).is_ok() {
                    return Ok(true);
                }
            }
            inside += 8;
        }
        at = step_end;
    }
    Ok(false)
}

/// Makes what a scan found certain before anything is built on it: writes the frames again that neither a frame nor LOCK,
/// whose `durable_end` follows a sync, says were synced
/// (after a failed sync they may stand only in a cache that believes itself clean), zeroes what follows them, and syncs.
/// `false`: a frame isn't any more what was scanned, as that cache let go of it; nothing was lost that was durable, and
/// the scan is to be made again.
pub(crate) fn settle(segment: &Segment, scan: &Scan, durable_end: Address) -> Result<bool, ReadError> {
    if segment.packed().is_some() {
        return Ok(true);
    }
    let io = |error| segment.io(error);
    let here = |end: Address| if end.segment() == segment.number() { end.offset() } else { 0 };
    let synced = here(scan.synced_to).max(here(durable_end));
    let ends = scan.index.frames.iter().skip(1).map(|frame| frame.offset).chain([scan.index.end]);
    let mut last_crc = None;
    for (frame, end) in scan.index.frames.iter().zip(ends).filter(|(frame, _)| frame.offset >= synced) {
        let mut bytes = vec![0; (end - frame.offset) as usize];
        let at = u64::from(frame.offset);
        segment.file.read_exact_at(at, &mut bytes).map_err(io)?;
        // What is written is what was checked: a look at the file alone may show something else by now.
        match check_frame(&bytes, &segment.salt) {
            Ok(header) if last_crc.is_none_or(|crc| header.previous_crc == crc) => last_crc = Some(header.crc),
            _ => return Ok(false),
        }
        if !planted(Bug::TailNotSettled) {
            segment.file.write_all_at(at, &bytes).map_err(io)?;
        }
    }
    if last_crc.is_some_and(|crc| crc != scan.last_crc) {
        return Ok(false);
    }
    zero(segment, scan.index.end)?;
    segment.file.sync().map_err(io)?;
    Ok(true)
}

/// Zeroes what follows `end` in a segment.
fn zero(segment: &Segment, end: u32) -> Result<(), ReadError> {
    const CHUNK: usize = 1 << 20;
    let io = |error| segment.io(error);
    let file_len = segment.file.len().map_err(io)?;
    let (zeros, mut buffer) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = u64::from(end);
    while at < file_len {
        let length = CHUNK.min((file_len - at) as usize);
        let part = buffer.get_mut(..length).unwrap_or_default();
        segment.file.read_exact_at(at, part).map_err(io)?;
        if part.iter().any(|byte| *byte != 0) {
            segment.file.write_all_at(at, zeros.get(..length).unwrap_or_default()).map_err(io)?;
        }
        at += length as u64;
    }
    Ok(())
}
