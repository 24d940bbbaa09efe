//! Checking a whole directory: every frame and record of every segment, how the segments follow each other, and every
//! index against its segment. Writes nothing.

use std::path::Path;
use std::sync::Arc;

use super::derived::NOT_CLOSED;
use super::index::{Directory, IndexFile, KeyHash};
use super::lock_file::LockFile;
use super::part::Horizon;
use super::recovery::{self, Before, Scan, Stop};
use super::salvage::store_of;
use super::segment::{Segment, segment_name, segment_number};
use super::view::SealedSegments;
use super::{Address, OpenError, Options, ReadError};
use crate::storage::{Disk, RealDisk};

/// Something in a directory that isn't as it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file's name in the data directory.
    pub file: String,
    /// Where, in bytes from its start.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Whether there are no problems.
    pub ok: bool,
    /// The problems, by file.
    pub problems: Vec<Problem>,
}

impl Report {
    fn add(&mut self, file: String, offset: u64, what: impl Into<String>) {
        self.problems.push(Problem { file, offset, what: what.into() });
    }

    fn add_error(&mut self, error: ReadError) {
        match error {
            ReadError::Corrupt { file, offset, what } => self.add(file, offset, what),
            ReadError::Io { file, source } => self.add(file, 0, source.to_string()),
            other => self.add("log".to_owned(), 0, other.to_string()),
        }
    }
}

/// Checks the store in `dir`, also while another process holds it: then what is durable now. `progress` is told bytes
/// checked and bytes in all.
///
/// # Errors
/// [`OpenError::NotFound`] where there is no store; [`OpenError::Read`] where it can't be listed. What is wrong inside is
/// in the report.
pub fn verify(dir: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<Report, OpenError> {
    let dir = dir.as_ref();
    let not_found = || OpenError::NotFound { dir: dir.display().to_string() };
    if !dir.is_dir() {
        return Err(not_found());
    }
    verify_disk(Arc::new(RealDisk::new(dir)), progress)?.ok_or_else(not_found)
}

/// As [`verify`], on any disk; `None` where there is no store.
///
/// # Errors
/// [`OpenError::Read`] where the disk can't be listed.
pub fn verify_disk(disk: Arc<dyn Disk>, mut progress: impl FnMut(u64, u64)) -> Result<Option<Report>, OpenError> {
    // Before the files are listed, so that nothing it says is durable can be missing from the list.
    let lock = LockFile::look(&*disk)?;
    let names = disk.list("log").map_err(ReadError::io("log"))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let Some(last) = numbers.last().copied() else { return Ok(None) };
    let mut report = Report::default();
    for (number, expected) in numbers.iter().zip(1..) {
        if *number != expected {
            report.add(segment_name(expected), 0, "the segment is missing, and a later one is there");
            break;
        }
    }
    let total: u64 = numbers.iter().map(|number| file_len(&*disk, *number)).sum();
    let mut done = 0;
    let headers = numbers.iter().filter_map(|number| Segment::open(&*disk, *number, false, None).ok());
    let store_id = store_of(headers.map(|segment| segment.header.store_id));
    let mut check =
        Check { disk: disk.clone(), store_id, sealed: None, next_position: Some(1), last_recorded: i64::MIN };
    for number in numbers {
        let limit = (number == last && lock.durable_end.segment() == number && lock.clean_end == Address::START)
            .then(|| lock.durable_end.offset());
        let before = done;
        check.segment(number, number == last, limit, lock.durable_end, &mut report, |bytes| {
            done += bytes;
            progress(done, total);
        });
        done = before + file_len(&*disk, number);
        progress(done, total);
    }
    if let Some(sealed) = &check.sealed {
        match Directory::open(&*disk, sealed.store_id(), &names, last - 1, false) {
            Ok(directory) => {
                if let Err(error) = directory.check_all() {
                    report.add_error(error);
                }
            }
            Err(error) => report.add_error(error),
        }
    }
    report.ok = report.problems.is_empty();
    Ok(Some(report))
}

fn file_len(disk: &dyn Disk, number: u32) -> u64 {
    disk.open(&segment_name(number), false).and_then(|file| file.len()).unwrap_or(0)
}

/// What is known of the segments before the one that is checked.
struct Check {
    disk: Arc<dyn Disk>,
    /// What most segments are of.
    store_id: [u8; 16],
    sealed: Option<SealedSegments>,
    /// Unknown after a damaged segment.
    next_position: Option<u64>,
    last_recorded: i64,
}

impl Check {
    fn segment(
        &mut self,
        number: u32,
        is_tail: bool,
        limit: Option<u32>,
        durable_end: Address,
        report: &mut Report,
        progress: impl FnMut(u64),
    ) {
        let segment = match Segment::open(&*self.disk, number, false, None) {
            Ok(segment) => segment,
            Err(error) => {
                self.next_position = None;
                return match error {
                    OpenError::Read(error) => report.add_error(error),
                    other => report.add(segment_name(number), 0, other.to_string()),
                };
            }
        };
        let store_id = self.store_id;
        let hash = KeyHash::new(store_id);
        self.sealed.get_or_insert_with(|| {
            SealedSegments::new(self.disk.clone(), store_id, hash.clone(), &Options::default(), false)
        });
        if segment.header.store_id != store_id {
            return report.add(segment_name(number), 16, "the segment is of another store");
        }
        // A held log may be written to right now: what is durable by its holder's word is checked.
        match recovery::scan(&segment, hash, &Before::Segment(self.next_position), limit, progress) {
            Ok(scan) => self.scanned(&segment, &scan, is_tail, durable_end, report),
            Err(error) => {
                self.next_position = None;
                report.add_error(error);
            }
        }
    }

    fn scanned(&mut self, segment: &Segment, scan: &Scan, is_tail: bool, durable_end: Address, report: &mut Report) {
        let number = segment.number();
        let end = scan.index.end;
        let mut bad = |what: &str| report.add(segment_name(number), u64::from(end), what);
        match scan.stop {
            Stop::End if !is_tail && file_len(&*self.disk, number) != u64::from(end) => {
                bad("zeros follow the last frame of a sealed segment");
            }
            Stop::End if !is_tail && !scan.index.closed => bad(NOT_CLOSED),
            Stop::End if !is_tail => {}
            Stop::Damaged(what) => bad(what),
            Stop::Bad(what) if !is_tail => bad(what),
            Stop::End | Stop::Bad(_) => match recovery::was_synced(segment, end) {
                Ok(true) => bad("no whole frame where one had been synced"),
                // A torn tail is what a crash leaves; the next open cuts it.
                Ok(false) => {}
                Err(error) => report.add_error(error),
            },
        }
        if is_tail && durable_end > Address::new(number, end) {
            report.add(segment_name(number), u64::from(end), "the log ends before what LOCK says was durable");
        }
        if scan.index.frames.first().is_some_and(|frame| frame.recorded_at < self.last_recorded) {
            report.add(segment_name(number), 64, "the segment was recorded before the segment before it");
        }
        self.last_recorded = self.last_recorded.max(scan.last_recorded);
        self.next_position = (scan.stop == Stop::End || is_tail).then(|| scan.index.next_position());
        self.check_streams(number, scan, report);
        self.check_index(number, scan, report);
    }

    /// Each stream goes on where the segment that is named before it left it.
    fn check_streams(&self, number: u32, scan: &Scan, report: &mut Report) {
        let Some(sealed) = &self.sealed else { return };
        for stream in &scan.index.streams {
            let found = match stream.previous_segment {
                0 => Ok(0),
                previous if previous >= number => Ok(u64::MAX),
                previous => sealed.get(previous).and_then(|part| {
                    let Some(scope) = scan.index.scope(stream.scope_symbol) else { return Ok(u64::MAX) };
                    let found = part.find_stream(stream.hash, scope, stream.id.as_str(), Horizon::Durable)?;
                    Ok(found.map_or(u64::MAX, |found| found.version()))
                }),
            };
            match found {
                Ok(version) if version == stream.base_version => {}
                Ok(_) => {
                    let what = format!("stream {:?} doesn't go on where it ended before", stream.id.as_str());
                    report.add(segment_name(number), 64, what);
                }
                Err(error) => report.add_error(error),
            }
        }
    }

    /// The index, where there is one, says what the segment says.
    fn check_index(&self, number: u32, scan: &Scan, report: &mut Report) {
        let Some(sealed) = &self.sealed else { return };
        let name = super::index::index_name(number);
        match IndexFile::open(&*self.disk, number, sealed.store_id()) {
            // Of the last clean close, and passed over since the log went on: of the tail, or of a segment that a kill left
            // before it was indexed anew.
            Ok(index) if index.summary.end < scan.index.end => {
                if let Err(error) = index.check_all() {
                    report.add_error(error);
                }
            }
            Ok(index) => match index.says(sealed.store_id(), &scan.index) {
                Ok(true) => {}
                Ok(false) => report.add(name, 0, "the index doesn't say what its segment says"),
                Err(error) => report.add_error(error),
            },
            // Missing ones are rebuilt when they are needed.
            Err(ReadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => report.add_error(error),
        }
    }
}
