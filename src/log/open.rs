//! Opening a store: take the lock, find the end of the log, recover it where the last close wasn't clean.

use std::sync::Arc;

use super::core::{Core, Opened};
use super::derived::describes;
use super::format::SegmentEnd;
use super::index::{Directory, KeyHash, MemoryIndex};
use super::lock_file::{LockFile, LockState};
use super::packed::check_built_in;
use super::part::{MemoryPart, Part, SealedPart};
use super::recovery::{self, Before, Scan, Stop};
use super::segment::{Segment, index_number, is_own_name, segment_name, segment_number, segment_numbers};
use super::view::{SealedSegments, View};
use super::writer::{Failure, Writer, create_segment};
use super::{Address, OpenError, Options, ReadError};
use crate::planted::{Bug, planted};
use crate::storage::{Disk, Environment};

/// How a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Alone, to read and append.
    #[default]
    Write,
    /// To read what is durable, also what becomes so later; takes no lock and writes nothing. After a power loss the newest
    /// events may not be seen before the directory was opened for writing once.
    Read,
    /// To read all that is whole of a log that is damaged; takes no lock and writes nothing. What is missing is said by
    /// [`EventStore::losses`](super::EventStore::losses). Reads every byte of the log first. Of a log that another
    /// process writes to right now it may show what isn't durable yet.
    Salvage,
}

/// The tail segment, found whole.
struct Tail {
    segment: Arc<Segment>,
    /// The part of it that a clean close indexed.
    base: Option<Arc<SealedPart>>,
    index: MemoryIndex,
    last_recorded: i64,
    /// Whether it ends with a closing frame.
    closed: bool,
}

/// Opens the store in `environment`'s directory.
pub(crate) fn open(environment: Environment, options: Options) -> Result<Arc<Core>, OpenError> {
    options.check()?;
    if options.create {
        environment.disk.create_dir("log").map_err(ReadError::io("log"))?;
    }
    let (lock, state) = LockFile::take(&environment.disk, options.create)?;
    open_locked(environment, options, lock, state)
}

/// Opens the store whose lock is taken; `state` is what `LOCK` says.
pub(crate) fn open_locked(
    environment: Environment,
    options: Options,
    lock: LockFile,
    state: LockState,
) -> Result<Arc<Core>, OpenError> {
    let started = environment.clock.now_micros();
    let disk = environment.disk.clone();
    let create = options.create;
    let names = disk.list("log").map_err(ReadError::io("log"))?;
    if names.iter().all(|name| segment_number(name).is_none()) && state.durable_end != Address::START {
        let what = "the segment is missing, and LOCK says that it was there";
        let source = ReadError::Corrupt { file: segment_name(1), offset: 0, what };
        return Err(OpenError::Corrupt { source, readable_to: 0 });
    }
    let last = segments(&*disk, &environment, &names, create)?;
    check_built_in(&*disk, [1, last - 1].into_iter().filter(|number| *number > 0))?;
    let tail_segment = Segment::open(&*disk, last, true, None)?;
    let store_id = tail_segment.header.store_id;
    let hash = KeyHash::new(store_id);
    let sealed = Arc::new(SealedSegments::new(disk.clone(), store_id, hash.clone(), &options, true));
    let (directory, mut recent) = self::directory(&sealed, &names, last - 1)?;
    sealed.check_before(&tail_segment, &recent)?;
    let before = before_tail(&directory, &recent)?;
    let base = indexed_tail(&sealed, &tail_segment, before.0, is_clean(&state, &tail_segment)?)?;
    let tail = recover(tail_segment, base, hash, before.0, &state, &*disk)?;
    sealed.map_active(&tail.segment);
    let end = Address::new(last, tail.index.end);
    if state.durable_end != end {
        lock.set_found(end).map_err(ReadError::io("LOCK"))?;
    }
    let position = tail.index.next_position().saturating_sub(1);
    let last_crc = tail.index.last_crc;
    recent.extend(tail.base.map(Part::Sealed));
    let part = Arc::new(MemoryPart::new(tail.segment, tail.index));
    recent.push(Part::Memory(part.clone()));
    let last_recorded = tail.last_recorded.max(before.1);
    let filled = part.segment.file.len().map_err(|error| part.segment.io(error))?;
    let writer = Writer::new(part, last_crc, last_recorded, tail.closed, filled, options.fill_chunk);
    let view = View { sealed, directory: Arc::new(directory), recent, losses: Arc::default() };
    let open_us = u64::try_from(environment.clock.now_micros() - started).unwrap_or(0);
    let (writer, lock, beside) = (Some(writer), Some(lock), None);
    Ok(Core::new(Opened { environment, options, view, writer, lock, beside, end, position, open_us }))
}

/// Finds the segments among the names in `log/`, removes what was never finished, creates the first where there is none; the last one's number.
fn segments(disk: &dyn Disk, environment: &Environment, names: &[String], create: bool) -> Result<u32, OpenError> {
    for name in names.iter().filter(|name| name.ends_with(".new") && is_own_name(name)) {
        let name = format!("log/{name}");
        disk.remove(&name).map_err(ReadError::io(&name))?;
    }
    let mut numbers = segment_numbers(names);
    if numbers.is_empty() && create {
        // An earlier try may have been stopped before the name of LOCK was durable: no segment is without it.
        disk.sync_dir("").map_err(ReadError::io("LOCK"))?;
        let mut store_id = [0; 16];
        let (low, high) = (environment.entropy.next_u64().to_le_bytes(), environment.entropy.next_u64().to_le_bytes());
        store_id.iter_mut().zip(low.into_iter().chain(high)).for_each(|(to, from)| *to = from);
        create_segment(disk, environment, store_id, 1, SegmentEnd::default()).map_err(|failure| match failure {
            Failure::Refused(error) => ReadError::io(segment_name(1))(std::io::Error::other(error)),
            Failure::Poisoned { source, .. } => ReadError::io(segment_name(1))(source),
        })?;
        numbers.push(1);
    }
    // Segments are never removed: a gap is lost data.
    let newest = numbers.last().copied();
    let missing = numbers.iter().zip(1..).find(|(number, expected)| *number != expected).map(|(_, expected)| expected);
    if let Some(expected) = missing {
        return Err(missing_segment(disk, expected, expected - 1, "the segment is missing, and a later one is there"));
    }
    let last = newest.ok_or(OpenError::NotFound { dir: String::new() })?;
    match index_beyond(names, last) {
        Some(number) => Err(missing_segment(disk, number, last, NOT_WITH_ITS_INDEX)),
        None => Ok(last),
    }
}

/// What is wrong with a segment of which only the index is there.
pub(super) const NOT_WITH_ITS_INDEX: &str = "the segment is missing, and its index is there";

/// The first segment after `last` that has an index: an index is written once its segment is whole, and segments are never
/// removed, so its segment is lost.
pub(super) fn index_beyond(names: &[String], last: u32) -> Option<u32> {
    let numbers = names.iter().filter_map(|name| index_number(name));
    numbers.filter(|number| *number > last).min()
}

/// Segment `number` isn't there; says how far the log can be read up to segment `before`.
pub(super) fn missing_segment(disk: &dyn Disk, number: u32, before: u32, what: &'static str) -> OpenError {
    let source = ReadError::Corrupt { file: segment_name(number), offset: 0, what };
    OpenError::Corrupt { source, readable_to: readable_to(disk, before) }
}

/// The last position that can be read of segment `number`; 0 where none is known.
pub(super) fn readable_to(disk: &dyn Disk, number: u32) -> u64 {
    let position = || {
        let segment = Segment::open(disk, number, false, None).ok()?;
        let hash = KeyHash::new(segment.header.store_id);
        let scan = recovery::scan(&segment, hash, &Before::Segment(None), None, |_| {}).ok()?;
        Some(scan.index.next_position().saturating_sub(1))
    };
    position().unwrap_or(0)
}

/// Opens the directory and brings it up to segment `last`. Segments for which the disk has no room in it are given beside
/// it: the next rotation or close adds them.
fn directory(sealed: &Arc<SealedSegments>, names: &[String], last: u32) -> Result<(Directory, Vec<Part>), OpenError> {
    let (disk, store_id) = (sealed.disk(), sealed.store_id());
    let mut directory = Directory::open(disk, store_id, names, last, true)?;
    sealed.derived.watch_directory(&directory);
    if let Some(first) = first_foreign(sealed, &directory)? {
        let (before, left_out) = directory.before(first);
        for name in &left_out {
            disk.remove(name).map_err(ReadError::io(name))?;
        }
        directory = before;
    }
    let mut recent = Vec::new();
    for number in directory.last() + 1..=last {
        let part = sealed.get(number)?;
        match &part {
            Part::Sealed(sealed) if recent.is_empty() => match directory.with(disk, store_id, &sealed.index) {
                Ok(longer) => directory = longer,
                Err(ReadError::Io { file, source }) => {
                    tracing::warn!(%source, file, "a segment stays out of the directory for now");
                    recent.push(part);
                }
                Err(other) => return Err(other.into()),
            },
            _ => recent.push(part),
        }
    }
    loop {
        match directory.merged(disk, store_id) {
            Ok(None) => break,
            Ok(Some((merged, old))) => {
                directory = merged;
                for name in old {
                    disk.remove(&name).map_err(ReadError::io(&name))?;
                }
            }
            Err(ReadError::Io { file, source }) => {
                tracing::warn!(%source, file, "the directory stays in more parts than it should for now");
                break;
            }
            Err(other) => return Err(other.into()),
        }
    }
    sealed.derived.watch_directory(&directory);
    Ok((directory, recent))
}

/// Where the first run of the directory begins that isn't of these segments, but of another history of this store. It is
/// enough to look at each run's last segment: no two have the same salt, so one that was created after histories parted
/// differs.
pub(super) fn first_foreign(sealed: &SealedSegments, directory: &Directory) -> Result<Option<u32>, ReadError> {
    for (first, summary) in directory.ends() {
        let summary = summary?;
        // A segment that is damaged is reported when it is read.
        if let Ok(Part::Sealed(part)) = sealed.get(summary.segment)
            && part.index.summary != summary
        {
            tracing::warn!(
                first,
                last = summary.segment,
                "makes a part of the directory anew: it is of other segments"
            );
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// The position after the sealed segments, and the time that the last of them was recorded at.
pub(super) fn before_tail(directory: &Directory, recent: &[Part]) -> Result<(u64, i64), ReadError> {
    if let Some(part) = recent.last() {
        let next = part.first_position().saturating_add(u64::from(part.events(super::part::Horizon::Written)));
        return Ok((next, part.recorded_range().map_or(i64::MIN, |(_, last)| last)));
    }
    match directory.summary(directory.last())? {
        Some(summary) => Ok((summary.next_position(), summary.last_recorded)),
        None => Ok((1, i64::MIN)),
    }
}

/// Whether the last close ended the log where the segment ends.
pub(super) fn is_clean(state: &LockState, segment: &Segment) -> Result<bool, ReadError> {
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    Ok(state.clean_end.segment() == segment.number() && u64::from(state.clean_end.offset()) == length)
}

/// The part of the tail that a clean close indexed; where that index is lost it is made anew if `make`.
fn indexed_tail(
    sealed: &SealedSegments,
    segment: &Arc<Segment>,
    first_position: u64,
    make: bool,
) -> Result<Option<Arc<SealedPart>>, ReadError> {
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    let found = match sealed.derived.open_index(segment.number()) {
        Ok(index) if u64::from(index.summary.end) > length => {
            let end = index.summary.end;
            return Err(segment.corrupt(end, "the segment is shorter than its index says"));
        }
        Ok(index) if describes(&index, segment)? => Some(index),
        // What is wrong with the segment is found by the scan that follows.
        _ if make => sealed.derived.index(segment.number()).ok(),
        _ => None,
    };
    let follows = found.filter(|index| index.summary.first_position == first_position);
    Ok(follows.map(|index| Arc::new(SealedPart::new(segment.clone(), index))))
}

/// How often a tail that changes while it is recovered is scanned before that is an error.
const MAX_SCANS: u32 = 16;

/// Scans the tail after what is indexed of it, decides what of it is whole, and makes that certain. After a clean close
/// there is little or nothing to scan and nothing to decide.
fn recover(
    segment: Arc<Segment>,
    base: Option<Arc<SealedPart>>,
    hash: KeyHash,
    first_position: u64,
    state: &LockState,
    disk: &dyn Disk,
) -> Result<Tail, OpenError> {
    for _ in 0..MAX_SCANS {
        let length = segment.file.len().map_err(|error| segment.io(error))?;
        let clean = is_clean(state, &segment)?;
        let (base, scan) = scan_tail(&segment, base.clone(), &hash, first_position)?;
        let closed = clean && u64::from(scan.index.end) == length;
        decide(&segment, &scan, closed, state)?;
        if !closed {
            // A crash may have left names that are not durable.
            disk.sync_dir("log").and_then(|()| disk.sync_dir("")).map_err(ReadError::io("log"))?;
            if !recovery::settle(&segment, &scan, state.durable_end)? {
                continue;
            }
        }
        let mut index = scan.index;
        index.last_crc = scan.last_crc;
        let closed = closed && base.is_some() || segment.packed().is_some();
        return Ok(Tail { segment, base, index, last_recorded: scan.last_recorded, closed });
    }
    Err(segment.io(std::io::Error::other("the file changes while it is recovered")).into())
}

fn scan_tail(
    segment: &Segment,
    base: Option<Arc<SealedPart>>,
    hash: &KeyHash,
    first_position: u64,
) -> Result<(Option<Arc<SealedPart>>, Scan), OpenError> {
    let scan = |before: &Before<'_>| recovery::scan(segment, hash.clone(), before, None, |_| {});
    let whole = Before::Segment(Some(first_position));
    match base.as_ref().map(|part| scan(&Before::Indexed(part))) {
        Some(Ok(found)) => Ok((base, found)),
        // The whole scan says how far the segment can be read.
        Some(Err(ReadError::Corrupt { .. })) => Ok((None, scan(&whole)?)),
        Some(Err(error)) => Err(error.into()),
        None => Ok((None, scan(&whole)?)),
    }
}

/// Whether what a scan stopped at is the end of the log, or damage.
pub(super) fn decide(segment: &Segment, scan: &Scan, closed: bool, state: &LockState) -> Result<(), OpenError> {
    let end = scan.index.end;
    let readable_to = scan.index.next_position().saturating_sub(1);
    let corrupt = |what| OpenError::Corrupt { source: segment.corrupt(end, what), readable_to };
    let ends_early = state.durable_end > Address::new(segment.number(), end);
    match scan.stop {
        Stop::End if closed => {}
        Stop::Bad(_) if planted(Bug::DamagedTailCut) => {}
        // Zeros may be what a tear left, or what damage made of a frame that a later one says was synced.
        Stop::End => {
            if recovery::was_synced(segment, end)? {
                return Err(corrupt("zeros where a frame had been synced"));
            }
        }
        Stop::Damaged(what) => return Err(corrupt(what)),
        Stop::Bad(what) if ends_early => return Err(corrupt(what)),
        Stop::Bad(what) => {
            if recovery::was_synced(segment, end)? {
                return Err(corrupt(what));
            }
            tracing::warn!(segment = segment.number(), offset = end, what, "cuts a torn tail");
        }
    }
    if ends_early {
        return Err(corrupt("the log ends before what LOCK says was durable"));
    }
    Ok(())
}
