//! Reading a damaged log: everything that is whole, and a list of what isn't. Takes no lock and writes nothing.
//!
//! Each segment is scanned to its end. What is whole becomes a part of the view; of a damaged segment each stretch without
//! a missing event becomes one. Positions tell what is missing between two parts.

mod files;
mod frame;
mod indexed;
mod segment;
mod sparing;
#[cfg(test)]
mod tests;
mod unreadable;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use self::files::{Files, unreadable_segment};
use self::segment::{Damage, salvage};
use self::sparing::Sparing;
use self::unreadable::Patched;
use super::core::{Core, Opened};
use super::derived::NOT_CONTINUED;
use super::format::{SEGMENT_HEADER_LEN, SegmentEnd};
use super::index::{Directory, IndexFile, KeyHash};
use super::lock_file::{LockFile, LockState};
use super::packed::{check_built_in, open_plain};
use super::part::{Horizon, MemoryPart, Part, SealedPart};
use super::recovery::{self, Before, Stop};
use super::segment::{Segment, segment_name, segment_number, segment_numbers};
use super::view::{SealedSegments, View};
use super::{Address, OpenError, Options, ReadError};
use crate::storage::{Disk, Environment, is_shortage};

/// A piece of the log that could not be salvaged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Loss {
    /// The file's name in the data directory.
    pub file: String,
    /// Where it begins, in bytes from the file's start.
    pub offset: u64,
    /// How long it is, in bytes; 0 where bytes are missing.
    pub bytes: u64,
    /// The positions of the events that are lost here; `None` where none is, or none is known of. Losses with nothing
    /// whole between them share theirs.
    pub positions: Option<RangeInclusive<u64>>,
    /// What was found.
    pub what: String,
}

impl Loss {
    /// Whether the event at `position` is lost here.
    pub(super) fn holds(&self, position: u64) -> bool {
        self.positions.as_ref().is_some_and(|lost| lost.contains(&position))
    }

    /// Whether events before the one at `position` are lost here.
    pub(super) fn is_before(&self, position: u64) -> bool {
        self.positions.as_ref().is_some_and(|lost| *lost.start() < position)
    }

    /// What a read is told that needs what is lost here.
    pub(super) fn error(&self) -> ReadError {
        let what = "what stood here is lost";
        ReadError::Corrupt { file: self.file.clone(), offset: self.offset, what }
    }
}

/// A segment file, and what of it is whole.
struct Kept {
    number: u32,
    parts: Vec<Part>,
    damages: Vec<Damage>,
    /// Where its events begin and end.
    positions: (u64, u64),
    /// Where what is whole ends.
    end: u32,
    /// What its header says of the segment before.
    before: SegmentEnd,
    /// How it ends, where its last frame is whole and closes it.
    closing: Option<SegmentEnd>,
}

impl Kept {
    /// Says where bytes couldn't be read: with what is lost there, or by itself where nothing is.
    fn tell_unreadable(&mut self, patched: &Patched) {
        for run in patched.unreadable() {
            let (from, to) = (run.offset, run.offset + run.bytes);
            let what = format!("bytes {from} to {to} can't be read: {}", run.error);
            let within = |damage: &&mut Damage| {
                let begins = u64::from(damage.offset);
                begins < to && from < begins + u64::from(damage.bytes)
            };
            match self.damages.iter_mut().find(within) {
                Some(damage) => damage.what = format!("{}; {what}", damage.what).into(),
                None => {
                    let [offset, bytes] = [from, run.bytes].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
                    self.damages.push(Damage { offset, bytes, what: what.into() });
                }
            }
        }
    }

    /// Whether `next` is the segment that was created when this one was closed; `None` where that can't be told.
    fn is_continued_by(&self, next: &Self) -> Option<bool> {
        let closing = self.closing.filter(|_| self.number + 1 == next.number)?;
        match closing.last_crc == next.before.last_crc {
            true => Some(!self.damages.is_empty() || closing == next.before),
            // Of a damaged one the last frame may be lost.
            false => self.damages.is_empty().then_some(false),
        }
    }

    /// Whether both can't be of one history: a segment isn't written to any more once the next exists.
    fn contradicts(&self, next: &Self) -> bool {
        let overlap = !self.parts.is_empty() && !next.parts.is_empty() && self.positions.1 > next.positions.0;
        let is_longer = self.closing.is_some_and(|closing| closing.offset >= next.before.offset);
        overlap || (self.is_continued_by(next) == Some(false) && is_longer)
    }
}

/// Opens what is whole of the log in `environment`'s directory.
pub(super) fn open(environment: Environment, options: Options) -> Result<Arc<Core>, OpenError> {
    options.check()?;
    let started = environment.clock.now_micros();
    let disk: Arc<dyn Disk> = Arc::new(Sparing::new(environment.disk.clone()));
    let (lock, lock_loss) = look_at_lock(&*disk)?;
    let names = disk.list("log").map_err(ReadError::io("log"))?;
    let numbers = segment_numbers(&names);
    if numbers.is_empty() {
        return Err(OpenError::NotFound { dir: String::new() });
    }
    check_built_in(&*disk, numbers.iter().copied())?;
    let mut files = Files::read(&*disk, &numbers)?;
    let (store_id, last) = (files.store_id, files.last());
    let hash = KeyHash::new(store_id);
    let sealed = Arc::new(SealedSegments::new(disk.clone(), store_id, hash.clone(), &options, false));
    let mut kept: Vec<Kept> = Vec::new();
    let mut losses = std::mem::take(&mut files.losses);
    for (number, file) in &files.segments {
        let before = kept.last().filter(|kept| kept.number + 1 == *number).and_then(|kept| kept.closing);
        let Some((segment, patched)) = file.open(&*disk, store_id, *number, before, &mut losses)? else { continue };
        // Where the log goes on in a segment that is missing, this one was sealed.
        let ends_here = *number == last && lock.durable_end.segment() <= last;
        match keep(&sealed, &segment, &patched, file.is_sound, ends_here.then_some(lock.durable_end)) {
            Ok(mut segment) => {
                segment.tell_unreadable(&patched);
                kept.push(segment);
            }
            // What couldn't be read just now isn't lost.
            Err(error) if error.is_shortage() => return Err(error.into()),
            Err(error) => {
                let length = segment.file.len().unwrap_or(0);
                losses.push(whole_segment(*number, length, error.to_string()));
            }
        }
    }
    for number in drop_foreign(&mut kept) {
        let what = "the segments beside it contradict it: it is of another history";
        match open_plain(&*disk, &segment_name(number)).and_then(|file| file.len()) {
            Ok(length) => losses.push(whole_segment(number, length, what.to_owned())),
            Err(error) if is_shortage(&error) => return Err(ReadError::io(segment_name(number))(error).into()),
            Err(error) => losses.push(unreadable_segment(&*disk, number, &segment_name(number), &error)),
        }
    }
    find_shortened(&mut kept);
    let end = Address::new(last, kept.iter().find(|kept| kept.number == last).map_or(0, |kept| kept.end));
    let position = kept.iter().map(|kept| kept.positions.1).max().unwrap_or(1).saturating_sub(1);
    for (first, to) in files.missing(last.max(lock.durable_end.segment())) {
        let what = if first == to {
            "the segment is missing".to_owned()
        } else {
            format!("segments {first} to {to} are missing")
        };
        losses.push(whole_segment(first, 0, what));
    }
    let losses: Vec<Loss> = lock_loss.into_iter().chain(account(&kept, losses, position)).collect();
    let recent = kept.into_iter().flat_map(|kept| kept.parts).collect();
    let view = View { sealed, directory: Arc::new(Directory::default()), recent, losses: losses.into() };
    let open_us = u64::try_from(environment.clock.now_micros() - started).unwrap_or(0);
    Ok(Core::new(Opened { environment, options, view, writer: None, lock: None, beside: None, end, position, open_us }))
}

/// What `LOCK` says; and the loss of that, where it is there and can't be read.
fn look_at_lock(disk: &dyn Disk) -> Result<(LockState, Option<Loss>), OpenError> {
    match LockFile::look(disk) {
        Err(OpenError::Read(ReadError::Io { file, source })) if !is_shortage(&source) => {
            let what = format!("the file can't be read: {source}; how far the log had gone is not known");
            Ok((LockState::default(), Some(Loss { file, offset: 0, bytes: 0, positions: None, what })))
        }
        looked => looked.map(|state| (state, None)),
    }
}

fn whole_segment(number: u32, length: u64, what: String) -> Loss {
    Loss { file: segment_name(number), offset: 0, bytes: length, positions: None, what }
}

/// The store that most segments are of; the first of those with as many.
pub(crate) fn store_of(found: impl Iterator<Item = [u8; 16]>) -> [u8; 16] {
    let mut counts: Vec<([u8; 16], u32)> = Vec::new();
    let mut places: HashMap<[u8; 16], usize> = HashMap::new();
    for id in found {
        let place = *places.entry(id).or_insert(counts.len());
        match counts.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => counts.push((id, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    counts.iter().find(|(_, count)| Some(*count) == most).map_or([0; 16], |(id, _)| *id)
}

/// What is whole of one segment; of the last one `durable_end` is where `LOCK` says that the log ended. `is_sound`: it can be
/// opened under its own name.
fn keep(
    sealed: &SealedSegments,
    segment: &Arc<Segment>,
    patched: &Arc<Patched>,
    is_sound: bool,
    durable_end: Option<Address>,
) -> Result<Kept, ReadError> {
    let (number, before) = (segment.number(), segment.header.before);
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    let hash = sealed.hash();
    let scan = recovery::scan(segment, hash.clone(), &Before::Segment(None), None, |_| {})?;
    let end = scan.index.end;
    let is_whole = match (scan.stop, durable_end) {
        (Stop::End, None) => u64::from(end) == length && scan.index.closed,
        (Stop::End | Stop::Bad(_), Some(durable_end)) => {
            durable_end <= Address::new(number, end)
                && !recovery::was_synced(segment, end)?
                // What can't be read may be anything, also what hides the frames behind it.
                && !patched.is_unreadable_from(u64::from(end))
        }
        _ => false,
    };
    if is_whole {
        let positions = (scan.index.first_position, scan.index.next_position());
        let (closed, last_crc) = (scan.index.closed, scan.last_crc);
        // An empty segment says nothing of positions.
        let parts = if end > SEGMENT_HEADER_LEN as u32 {
            vec![part(sealed, segment, scan, is_sound && durable_end.is_none())?]
        } else {
            Vec::new()
        };
        let closing = closed.then_some(SegmentEnd { last_crc, offset: end });
        return Ok(Kept { number, parts, damages: Vec::new(), positions, end, before, closing });
    }
    drop(scan);
    let index = match IndexFile::open(sealed.disk(), number, sealed.store_id()) {
        Err(error) if error.is_shortage() => return Err(error),
        opened => opened.ok(),
    };
    let salvaged = salvage(segment, patched, hash, durable_end, index)?;
    let first = salvaged.pieces.first().map_or(salvaged.next_position, |piece| piece.first_position);
    let (positions, end, closing) = ((first, salvaged.next_position), salvaged.end(), salvaged.closing);
    let memory = |index| Part::Memory(Arc::new(MemoryPart::new(segment.clone(), index)));
    let parts = salvaged.pieces.into_iter().map(memory).collect();
    Ok(Kept { number, parts, damages: salvaged.damages, positions, end, before, closing })
}

/// A whole segment: with its index file, where that says the same, or with what was found by scanning.
fn part(
    sealed: &SealedSegments,
    segment: &Arc<Segment>,
    scan: recovery::Scan,
    may_be_sealed: bool,
) -> Result<Part, ReadError> {
    if may_be_sealed
        && let Ok(index) = IndexFile::open(sealed.disk(), segment.number(), sealed.store_id())
        && index.says(sealed.store_id(), &scan.index).unwrap_or(false)
    {
        let segment = sealed.segment(segment.number(), Some(index.summary.end))?;
        return Ok(Part::Sealed(Arc::new(SealedPart::new(segment, index))));
    }
    Ok(Part::Memory(Arc::new(MemoryPart::new(segment.clone(), scan.index))))
}

/// Takes out segments that are of another history than those beside them, and returns their numbers. Of two that contradict
/// each other the one that fits the segment on its other side is right; where both do, or neither, the later one, as it
/// says how the one before it ended.
fn drop_foreign(kept: &mut Vec<Kept>) -> Vec<u32> {
    let mut foreign = Vec::new();
    let contradict = |pair: &[Kept]| matches!(pair, [a, b] if a.contradicts(b));
    while let Some(at) = kept.windows(2).position(contradict) {
        let fits = |a: Option<usize>, b: Option<usize>| kept.get(a?)?.is_continued_by(kept.get(b?)?);
        let (before, after) = (fits(at.checked_sub(1), Some(at)), fits(Some(at + 1), Some(at + 2)));
        let wrong = match (before, after) {
            (Some(true) | None, Some(false)) | (Some(true), None) => at + 1,
            _ => at,
        };
        foreign.push(kept.remove(wrong).number);
    }
    foreign
}

/// Notes what lost its end although it is closed: an older copy, of when the log was closed before.
fn find_shortened(kept: &mut [Kept]) {
    let pairs = kept.windows(2).map(|pair| matches!(pair, [a, b] if a.is_continued_by(b) == Some(false)));
    let shortened: Vec<bool> = pairs.collect();
    for (segment, _) in kept.iter_mut().zip(shortened).filter(|(_, is_short)| *is_short) {
        let offset = segment.end;
        segment.damages.push(Damage { offset, bytes: 0, what: NOT_CONTINUED.into() });
    }
}

/// The losses in log order, with the positions that are lost in each; `last` is the newest position known of.
fn account(kept: &[Kept], whole_segments: Vec<Loss>, last: u64) -> Vec<Loss> {
    enum Item<'a> {
        Part(&'a Part),
        Loss(Loss),
    }
    let number = |loss: &Loss| segment_number(loss.file.rsplit('/').next().unwrap_or_default()).unwrap_or(0);
    let mut items: Vec<(Address, Item<'_>)> = Vec::new();
    for segment in kept {
        items.extend(segment.parts.iter().map(|part| (part.start(), Item::Part(part))));
        for damage in &segment.damages {
            let loss = Loss {
                file: segment_name(segment.number),
                offset: u64::from(damage.offset),
                bytes: u64::from(damage.bytes),
                positions: None,
                what: damage.what.to_string(),
            };
            items.push((Address::new(segment.number, damage.offset), Item::Loss(loss)));
        }
    }
    items.extend(whole_segments.into_iter().map(|loss| (Address::new(number(&loss), 0), Item::Loss(loss))));
    items.sort_by_key(|(address, _)| *address);
    let mut losses: Vec<Loss> = Vec::new();
    // Losses from here on have no events after them yet.
    let mut open = 0;
    let mut next = 1;
    let mut ended = (segment_name(1), 0);
    let close = |losses: &mut Vec<Loss>, open: usize, next: u64, first: u64, ended: &(String, u64)| {
        if first <= next {
            return;
        }
        let range = next..=first - 1;
        if losses.len() == open {
            let what = "it ends before the segment after it begins".to_owned();
            losses.push(Loss { file: ended.0.clone(), offset: ended.1, bytes: 0, positions: None, what });
        }
        losses.iter_mut().skip(open).for_each(|loss| loss.positions = Some(range.clone()));
    };
    for (_, item) in items {
        match item {
            Item::Loss(loss) => match losses.get_mut(open..).and_then(|open| open.last_mut()) {
                Some(before) if before.file == loss.file && before.offset + before.bytes == loss.offset => {
                    before.bytes += loss.bytes;
                }
                _ => losses.push(loss),
            },
            Item::Part(part) => {
                let events = part.events(Horizon::Durable);
                if events > 0 {
                    close(&mut losses, open, next, part.first_position(), &ended);
                    open = losses.len();
                    next = part.first_position().saturating_add(u64::from(events));
                }
                ended = (segment_name(part.segment().number()), u64::from(part.end(Horizon::Durable)));
            }
        }
    }
    close(&mut losses, open, next, last.saturating_add(1), &ended);
    losses
}
