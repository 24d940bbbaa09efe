//! Reading beside a running host: what a store that is open for reading only knows of the log, taken in anew whenever
//! `LOCK` says that more of it is durable. Takes no lock, writes nothing, and sees nothing beyond the durable end.

use std::io;
use std::sync::{Arc, Weak};

use super::core::{Core, Opened};
use super::derived::describes;
use super::format::{FRAME_HEADER_LEN, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN};
use super::index::{Directory, KeyHash};
use super::lock_file::LockFile;
use super::open::{before_tail, first_foreign, missing_segment};
use super::packed::check_built_in;
use super::part::{MemoryPart, Part, SealedPart};
use super::recovery::{self, Before, Scan, Stop};
use super::segment::{Segment, Window, segment_name, segment_numbers};
use super::view::{SealedSegments, View};
use super::{Address, OpenError, Options, ReadError, RecordKind};
use crate::storage::{Disk, Environment};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// How often a listing is taken again while the host renames and removes files under it.
const LISTINGS: u32 = 8;
const ENDS_EARLY: &str = "the log ends before what LOCK says was durable";

/// What a store that is open for reading only keeps, to go on from.
#[derive(Debug)]
pub(crate) struct Beside {
    known: Mutex<Known>,
    /// Whether a look is due on behalf of those who wait.
    look_is_due: AtomicBool,
    /// Whether it looks no more.
    still: AtomicBool,
}

#[derive(Debug)]
struct Known {
    tail: Tail,
    /// Why there is no going on, ever.
    failed: Option<ReadError>,
}

/// The segment that the durable end is in, as far as it is durable.
#[derive(Debug)]
struct Tail {
    /// What a clean close of the host indexed of it.
    base: Option<Arc<SealedPart>>,
    part: Arc<MemoryPart>,
    last_recorded: i64,
}

/// Opens the store in `environment`'s directory for reading.
pub(crate) fn open(environment: Environment, options: Options) -> Result<Arc<Core>, OpenError> {
    options.check()?;
    let disk = environment.disk.clone();
    let stated = LockFile::look(&*disk)?.durable_end;
    match open_at(environment.clone(), options.clone(), stated) {
        // Where LOCK says nothing, a host that has begun meanwhile may have written into what was read.
        Err(OpenError::Corrupt { source, readable_to }) if stated == Address::START => {
            match LockFile::look(&*disk)?.durable_end {
                Address::START => Err(OpenError::Corrupt { source, readable_to }),
                stated => open_at(environment, options, stated),
            }
        }
        opened => opened,
    }
}

/// Opens the store up to `stated`, or where that says nothing as far as the log proves that it is durable.
fn open_at(environment: Environment, options: Options, stated: Address) -> Result<Arc<Core>, OpenError> {
    let started = environment.clock.now_micros();
    let disk = environment.disk.clone();
    let last = last_segment(&*disk, stated)?;
    check_built_in(&*disk, [1, last - 1].into_iter().filter(|number| *number > 0))?;
    let segment = Segment::open(&*disk, last, false, None)?;
    let store_id = segment.header.store_id;
    let sealed = Arc::new(SealedSegments::new(disk, store_id, KeyHash::new(store_id), &options, false));
    let (directory, mut recent) = sealed_parts(&sealed, last, None)?;
    sealed.check_before(&segment, &recent)?;
    let before = before_tail(&directory, &recent)?;
    let end = match stated {
        Address::START => proven_end(&sealed, &segment, before.0)?,
        stated => stated.offset(),
    };
    let tail = Tail::new(&sealed, segment, end, before)?;
    recent.extend(tail.parts());
    let position = tail.position();
    let view = View { sealed, directory, recent, losses: Arc::default() };
    let open_us = u64::try_from(environment.clock.now_micros() - started).unwrap_or(0);
    let (look_is_due, still) = (AtomicBool::new(false), AtomicBool::new(false));
    let end = Address::new(last, end);
    let beside = Beside { known: Mutex::new(Known { tail, failed: None }), look_is_due, still };
    let (writer, lock, beside) = (None, None, Some(beside));
    Ok(Core::new(Opened { environment, options, view, writer, lock, beside, end, position, open_us }))
}

/// The segment that holds the durable end: by `LOCK`'s word, or the newest where it says nothing. All before it are there.
fn last_segment(disk: &dyn Disk, stated: Address) -> Result<u32, OpenError> {
    let names = disk.list("log").map_err(ReadError::io("log"))?;
    let numbers = segment_numbers(&names);
    let Some(newest) = numbers.last().copied() else { return Err(OpenError::NotFound { dir: String::new() }) };
    let last = if stated == Address::START { newest } else { stated.segment() };
    for number in (1..=last).filter(|number| numbers.binary_search(number).is_err()) {
        // A listing may lack what was created while it was taken.
        match disk.open(&segment_name(number), false) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what =
                    if number < newest { "the segment is missing, and a later one is there" } else { ENDS_EARLY };
                return Err(missing_segment(disk, number, number - 1, what));
            }
            Err(error) => return Err(ReadError::io(segment_name(number))(error).into()),
        }
    }
    Ok(last)
}

/// Where `LOCK` says nothing: the end of what the log itself proves to be durable. A frame states what had been synced
/// when it was written, and a closing frame that ends its file was synced before the file was cut there.
fn proven_end(sealed: &SealedSegments, segment: &Arc<Segment>, first_position: u64) -> Result<u32, OpenError> {
    let whole = Before::Segment(Some(first_position));
    let scan = recovery::scan(segment, sealed.hash().clone(), &whole, None, |_| {})?;
    let end = scan.index.end;
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    if u64::from(end) == length && ends_with_closing(segment, &scan)? {
        return Ok(end);
    }
    if recovery::was_synced(segment, end)? {
        let readable_to = scan.index.next_position().saturating_sub(1);
        let source = segment.corrupt(end, "no whole frame where one had been synced");
        return Err(OpenError::Corrupt { source, readable_to });
    }
    let synced = if scan.synced_to.segment() == segment.number() { scan.synced_to.offset() } else { 0 };
    Ok(synced.max(SEGMENT_HEADER_LEN as u32))
}

fn ends_with_closing(segment: &Segment, scan: &Scan) -> Result<bool, ReadError> {
    let Some(frame) = scan.index.frames.last() else { return Ok(false) };
    let at = frame.offset as usize + FRAME_HEADER_LEN;
    let bytes = segment.slice(at, RECORD_HEADER_LEN, scan.index.end, &mut Window::default())?;
    Ok(RecordHeader::decode(&bytes).is_some_and(|record| record.kind == RecordKind::Closing as u8))
}

/// What stands before segment `last`: the directory as the host has written it, and the parts after it, of which those
/// that the host has not indexed yet are indexed in memory; where `old` holds such, they are used again.
fn sealed_parts(
    sealed: &Arc<SealedSegments>,
    last: u32,
    old: Option<&View>,
) -> Result<(Arc<Directory>, Vec<Part>), ReadError> {
    let mut directory = Arc::new(directory(sealed, last - 1)?);
    if let Some(old) = old.filter(|old| old.directory.last() > directory.last()) {
        // Its files are mapped, so that it doesn't matter whether they have a name still.
        directory = old.directory.clone();
    }
    let mut recent = Vec::new();
    for number in directory.last() + 1..last {
        if whole_index(sealed, number)? {
            let part = sealed.get(number)?;
            sealed.check_next(&part)?;
            recent.push(part);
            continue;
        }
        let parts = old.map_or(&[][..], |old| &old.recent).iter();
        let before = recent.len();
        recent.extend(parts.filter(|part| part.segment().number() == number).cloned());
        if recent.len() == before {
            recent.push(sealed.indexed_anew(number)?);
        }
    }
    Ok((directory, recent))
}

/// Opens the directory up to segment `last`. The host merges its files meanwhile: then the listing is taken again.
fn directory(sealed: &SealedSegments, last: u32) -> Result<Directory, ReadError> {
    let list = || -> Result<Vec<String>, ReadError> {
        let mut names = sealed.disk().list("log").map_err(ReadError::io("log"))?;
        names.retain(|name| name.ends_with(".dir"));
        names.sort_unstable();
        Ok(names)
    };
    let mut names = list()?;
    let mut listings = 1;
    loop {
        let mut directory = Directory::open(sealed.disk(), sealed.store_id(), &names, last, false)?;
        sealed.derived.watch_directory(&directory);
        if let Some(first) = first_foreign(sealed, &directory)? {
            directory = directory.before(first).0;
        }
        let now = list()?;
        if now == names || listings == LISTINGS {
            return Ok(directory);
        }
        names = now;
        listings += 1;
    }
}

/// Whether the host has indexed the whole of a sealed segment, this very one; makes the index known.
fn whole_index(sealed: &SealedSegments, number: u32) -> Result<bool, ReadError> {
    let Ok(index) = sealed.derived.open_index(number) else { return Ok(false) };
    let segment = sealed.segment(number, None)?;
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    // Of a clean close, after which the segment went on; or of another history of this store.
    if length != u64::from(index.summary.end) || !describes(&index, &segment)? {
        return Ok(false);
    }
    sealed.sealed(index)?;
    Ok(true)
}

impl Tail {
    /// The tail up to `end`, which is durable. `before`: the position that it begins with, and when what is before it was
    /// recorded.
    fn new(sealed: &SealedSegments, segment: Arc<Segment>, end: u32, before: (u64, i64)) -> Result<Self, OpenError> {
        let base = match sealed.derived.open_index(segment.number()) {
            // The host may have gone on meanwhile and indexed more than this.
            Ok(index) if index.summary.end <= end && describes(&index, &segment)? => {
                Some(Arc::new(SealedPart::new(segment.clone(), index)))
            }
            _ => None,
        };
        let scan_from = |before| recovery::scan(&segment, sealed.hash().clone(), &before, Some(end), |_| {});
        let (base, scan) = match base.as_ref().map(|base| scan_from(Before::Indexed(base))) {
            Some(Ok(scan)) => (base, scan),
            Some(Err(ReadError::Corrupt { .. })) => (None, scan_from(Before::Segment(Some(before.0)))?),
            Some(Err(error)) => return Err(error.into()),
            None => (None, scan_from(Before::Segment(Some(before.0)))?),
        };
        if scan.index.end != end {
            let readable_to = scan.index.next_position().saturating_sub(1);
            let what = match scan.stop {
                Stop::End => ENDS_EARLY,
                Stop::Bad(what) | Stop::Damaged(what) => what,
            };
            let source = segment.corrupt(scan.index.end, what);
            return Err(OpenError::Corrupt { source, readable_to });
        }
        let Scan { mut index, last_crc, last_recorded, .. } = scan;
        index.last_crc = last_crc;
        let part = Arc::new(MemoryPart::new(segment, index));
        Ok(Self { base, part, last_recorded: last_recorded.max(before.1) })
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        self.base.iter().cloned().map(Part::Sealed).chain([Part::Memory(self.part.clone())])
    }

    /// The position of its newest event, or of the one before it.
    fn position(&self) -> u64 {
        self.part.index.read().next_position().saturating_sub(1)
    }

    /// Takes in the frames up to `end`, which are durable, and makes them visible.
    fn extend(&mut self, end: u32) -> Result<(), ReadError> {
        let segment = &self.part.segment;
        let mut window = Window::default();
        loop {
            let (at, last_crc) = {
                let index = self.part.index.read();
                (index.end, index.last_crc)
            };
            if at == end {
                break;
            }
            let found =
                if at < end { recovery::next_frame(segment, at, end, last_crc, &mut window)? } else { Ok(None) };
            let (header, frame) = match found {
                Ok(Some(found)) => found,
                Ok(None) => return Err(segment.corrupt(at, ENDS_EARLY)),
                Err(what) => return Err(segment.corrupt(at, what)),
            };
            let mut index = self.part.index.write();
            if let Some(base) = &self.base {
                recovery::adopt_streams(&mut index, base, &header, &frame)?;
            }
            recovery::index_frame(&mut index, self.last_recorded, at, &header, &frame)
                .map_err(|what| segment.corrupt(at, what))?;
            self.last_recorded = header.recorded_at;
        }
        self.part.set_written();
        self.part.publish();
        Ok(())
    }
}

impl Beside {
    /// Takes in what has become durable since the last look.
    pub(crate) fn look(&self, core: &Core) -> Result<(), ReadError> {
        let mut known = self.known.lock();
        if self.still.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(error) = &known.failed {
            return Err(error.clone());
        }
        let end = LockFile::look(core.sealed.disk()).map_err(read_error)?.durable_end;
        // A host that opens a store whose LOCK says nothing is about to say more.
        if end == Address::START || end == core.durable.end() {
            return Ok(());
        }
        let result = if end < core.durable.end() {
            Err(ReadError::Replaced { file: "LOCK".to_owned() })
        } else {
            known.tail.take_in(core, end)
        };
        if let Err(error) = &result {
            let for_good = match error {
                ReadError::Replaced { .. } => true,
                ReadError::Corrupt { file, .. } => file.ends_with(".seg"),
                _ => false,
            };
            known.failed = for_good.then(|| error.clone());
        }
        // Whoever is woken may look at once.
        drop(known);
        if result.is_ok() {
            core.durable.wake();
        }
        result
    }

    /// Looks no more: what is known now is what stays.
    pub(crate) fn stand_still(&self) {
        let _looking = self.known.lock();
        self.still.store(true, Ordering::Release);
    }

    /// Has a look taken after a pause, unless one is due already. For whoever is about to wait.
    pub(crate) fn look_later(&self, core: &Arc<Core>) {
        if self.look_is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let look = DueLook(Some(Arc::downgrade(core)));
        core.environment.scheduler.submit_after(core.options.follow_pause, Box::new(move || look.take()));
    }
}

impl Tail {
    /// Takes in the log up to `end`, which `LOCK` says is durable and which is beyond what is known.
    fn take_in(&mut self, core: &Core, end: Address) -> Result<(), ReadError> {
        let disk = core.sealed.disk();
        let number = self.part.segment.number();
        let replaced = |number| ReadError::Replaced { file: segment_name(number) };
        if open_segment(disk, number)?.header != self.part.segment.header {
            return Err(replaced(number));
        }
        if end.segment() == number {
            self.extend(end.offset())?;
            core.durable.set(end, self.position());
            return Ok(());
        }
        // The host went on to a later segment, so this one is durable to its end; it is completed, as readers that know no
        // later one go through it first.
        let segment = self.part.segment.clone();
        let length = segment.file.len().map_err(|error| segment.io(error))?;
        self.extend(u32::try_from(length).unwrap_or(u32::MAX))?;
        let next = open_segment(disk, end.segment())?;
        if next.header.store_id != core.sealed.store_id() {
            return Err(replaced(end.segment()));
        }
        let view = core.view.read().clone();
        let (directory, mut recent) = sealed_parts(&core.sealed, end.segment(), Some(&view))?;
        core.sealed.check_before(&next, &recent)?;
        let before = before_tail(&directory, &recent)?;
        let next = Self::new(&core.sealed, next, end.offset(), before).map_err(read_error)?;
        recent.extend(next.parts());
        *core.view.write() = Arc::new(View { sealed: core.sealed.clone(), directory, recent, losses: Arc::default() });
        *self = next;
        core.durable.set(end, self.position());
        Ok(())
    }
}

/// Opens a segment that must be there.
fn open_segment(disk: &dyn Disk, number: u32) -> Result<Arc<Segment>, ReadError> {
    Segment::open(disk, number, false, None).map_err(read_error)
}

fn read_error(error: OpenError) -> ReadError {
    match error {
        OpenError::Read(ReadError::Io { file, source }) if source.kind() == io::ErrorKind::NotFound => {
            ReadError::Replaced { file }
        }
        OpenError::Read(source) | OpenError::Corrupt { source, .. } => source,
        OpenError::NewerFormat { file, .. } => {
            ReadError::Corrupt { file, offset: 8, what: "the format is newer than this version knows" }
        }
        _ => ReadError::Replaced { file: "log".to_owned() },
    }
}

/// A look on behalf of those who wait. Where it is dropped without being taken, they are woken and see to themselves.
struct DueLook(Option<Weak<Core>>);

impl DueLook {
    fn take(mut self) {
        let Some(core) = self.0.take().and_then(|core| core.upgrade()) else { return };
        let Some(beside) = &core.beside else { return };
        beside.look_is_due.store(false, Ordering::Release);
        match core.look() {
            Ok(()) if core.durable.is_waited_for() => beside.look_later(&core),
            Ok(()) => {}
            // Who waits is told by the look that it takes itself.
            Err(_) => core.durable.wake(),
        }
    }
}

impl Drop for DueLook {
    fn drop(&mut self) {
        let Some(core) = self.0.take().and_then(|core| core.upgrade()) else { return };
        if let Some(beside) = &core.beside {
            beside.look_is_due.store(false, Ordering::Release);
        }
        core.durable.wake();
    }
}
