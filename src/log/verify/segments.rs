//! Segments one by one: each whole in itself, and following the one before. After damage the check goes on behind it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Report, file_len};
use crate::log::derived::{NOT_CLOSED, NOT_CONTINUED};
use crate::log::format::{SEGMENT_HEADER_LEN, SegmentEnd};
use crate::log::index::{IndexFile, KeyHash, index_name, is_older};
use crate::log::lock_file::LockFile;
use crate::log::open::{NOT_WITH_ITS_INDEX, index_beyond};
use crate::log::packed::{SegmentFile, open_file};
use crate::log::part::Horizon;
use crate::log::recovery::{self, Before, Scan, Stop};
use crate::log::salvage::store_of;
use crate::log::segment::{Segment, segment_name};
use crate::log::view::SealedSegments;
use crate::log::{Address, OpenError, Options, ReadError};
use crate::storage::Disk;

/// What of the derived files is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derived {
    /// Nothing, and nothing is believed.
    Nothing,
    /// Their checksums.
    Checksums,
    /// Every row.
    Rows,
}

/// What is known of the segments before the one that is checked.
pub(crate) struct Check {
    disk: Arc<dyn Disk>,
    sealed: SealedSegments,
    durable_end: Address,
    derived: Derived,
    /// Where the last segment ends, and why.
    tail: Option<(Address, Stop)>,
    expected_number: u32,
    /// Position after the newest event that was read; where `hidden_by` is set, more may follow it.
    next_position: u64,
    /// Which problem hides the events from `next_position` on up to the next whole frame.
    hidden_by: Option<usize>,
    damaged: BTreeSet<u32>,
    missing: Vec<Range<u32>>,
    /// Nothing before the segment that comes next is looked at.
    starts_anywhere: bool,
    /// How the segment before ends, where it is whole.
    before: Option<SegmentEnd>,
    last_recorded: i64,
}

impl Check {
    pub(crate) fn new(disk: Arc<dyn Disk>, numbers: &[u32], durable_end: Address, derived: Derived) -> Self {
        let headers = numbers.iter().filter_map(|number| Segment::open(&*disk, *number, false, None).ok());
        let store_id = store_of(headers.map(|segment| segment.header.store_id));
        let sealed = SealedSegments::new(disk.clone(), store_id, KeyHash::new(store_id), &Options::default(), false);
        Self {
            disk,
            sealed,
            durable_end,
            derived,
            tail: None,
            expected_number: 1,
            next_position: 1,
            hidden_by: None,
            damaged: BTreeSet::new(),
            missing: Vec::new(),
            starts_anywhere: false,
            before: None,
            last_recorded: i64::MIN,
        }
    }

    /// Begins with a segment that others stand before, which aren't looked at.
    pub(super) fn starting_at(self, number: u32) -> Self {
        Self { expected_number: number, starts_anywhere: true, ..self }
    }

    /// No index speaks of a segment after the `last` of those that were listed as `names`.
    pub(super) fn indexes_beyond(&mut self, names: &[String], last: u32, report: &mut Report) {
        // A listing may lack what was created while it was taken.
        let is_gone = |number: &u32| self.disk.open(&segment_name(*number), false).is_err();
        if let Some(number) = index_beyond(names, last).filter(is_gone) {
            self.damage(number, 0, NOT_WITH_ITS_INDEX, report);
        }
    }

    /// Where the last segment ends, and why; `None` where it can't be read.
    pub(crate) fn tail(&self) -> Option<(Address, Stop)> {
        self.tail
    }

    /// The position of the newest event that was read.
    pub(crate) fn position(&self) -> u64 {
        self.next_position.saturating_sub(1)
    }

    /// Ends the check of segments; the store they are of.
    pub(crate) fn finish(self, report: &mut Report) -> [u8; 16] {
        if let Some(problem) = self.hidden_by.and_then(|number| report.problems.get_mut(number)) {
            problem.what +=
                &format!("; events from position {} on, if there are any, stand behind it", self.next_position);
        }
        self.sealed.store_id()
    }

    pub(crate) fn segment(&mut self, number: u32, is_tail: bool, report: &mut Report, mut progress: impl FnMut(u64)) {
        let mut before = self.before.take();
        let first = self.expected_number;
        let missing = missing_segments(first, number);
        self.missing.push(first..number);
        self.expected_number = number.saturating_add(1);
        report.checked.segments += 1;
        // A file that is none of this log's says nothing of what is missing: that is one thing that is wrong, and not two.
        let beside = missing.as_ref().map_or_else(String::new, |what| format!("; {what}"));
        let segment = match Segment::open(&*self.disk, number, false, None) {
            Ok(segment) => segment,
            Err(OpenError::Read(ReadError::Corrupt { offset, what, .. })) => {
                return self.damage(number, offset, &format!("{what}{beside}"), report);
            }
            Err(error) => return self.damage(number, 0, &format!("{error}{beside}"), report),
        };
        if segment.header.store_id != self.sealed.store_id() {
            return self.damage(number, 16, &format!("the segment is of another store{beside}"), report);
        }
        if let Some(what) = missing {
            before = None;
            self.damage(first, 0, &what, report);
        }
        match self.scan(&segment, is_tail, &mut progress) {
            Ok((mut scan, was_synced)) => {
                self.continues(before, &segment, report);
                self.follows(&mut scan, number, report);
                self.ends(&segment, &scan, is_tail, was_synced, report);
                if is_tail {
                    self.tail = Some((Address::new(number, scan.index.end), scan.stop));
                }
                if self.derived != Derived::Nothing {
                    self.check_streams(number, &scan, report);
                    self.check_index(number, &scan, report);
                }
            }
            Err(ReadError::Corrupt { offset, what, .. }) => self.damage(number, offset, what, report),
            Err(error) => self.damage(number, 0, &error.to_string(), report),
        }
    }

    /// Scans a segment; says as well whether something after its whole frames states that more had been synced. Where it
    /// looks damaged, and `LOCK` says more than at first, a host writes there right now, and what was read may be half a
    /// write: then only what `LOCK` said at first is scanned.
    fn scan(
        &self,
        segment: &Segment,
        is_tail: bool,
        progress: &mut impl FnMut(u64),
    ) -> Result<(Scan, bool), ReadError> {
        let mut to =
            |limit| recovery::scan(segment, self.sealed.hash().clone(), &Before::Segment(None), limit, &mut *progress);
        let found = to(None).and_then(|scan| {
            let was_synced = is_tail && recovery::was_synced(segment, scan.index.end)?;
            Ok((scan, was_synced))
        });
        let looks_whole = found.as_ref().is_ok_and(|(scan, was_synced)| scan.stop == Stop::End && !was_synced);
        // A rebuild holds the directory, and asks without a word of `LOCK`.
        let may_be_held = is_tail && self.durable_end != Address::START;
        if looks_whole || !may_be_held || !self.goes_on() {
            return found;
        }
        let is_there = self.durable_end.segment() == segment.number();
        let limit = if is_there { self.durable_end.offset() } else { SEGMENT_HEADER_LEN as u32 };
        Ok((to(Some(limit))?, false))
    }

    /// Whether `LOCK` says more than at first: a host writes to the log meanwhile.
    fn goes_on(&self) -> bool {
        LockFile::look(&*self.disk).is_ok_and(|state| state.durable_end != self.durable_end)
    }

    fn is_damaged(&self, number: u32) -> bool {
        self.damaged.contains(&number) || self.missing.iter().any(|missing| missing.contains(&number))
    }

    /// Notes damage that hides what stands behind it in the segment.
    fn damage(&mut self, number: u32, offset: u64, what: &str, report: &mut Report) {
        self.damaged.insert(number);
        report.add(segment_name(number), offset, what);
        self.hidden_by.get_or_insert(report.problems.len() - 1);
    }

    /// The segment before is the very one that this one continues.
    fn continues(&mut self, before: Option<SegmentEnd>, segment: &Segment, report: &mut Report) {
        if let Some(end) = before.filter(|end| *end != segment.header.before) {
            self.damage(segment.number() - 1, u64::from(end.offset), NOT_CONTINUED, report);
        }
    }

    /// The segment's first event follows the last one before it.
    fn follows(&mut self, scan: &mut Scan, number: u32, report: &mut Report) {
        report.checked.events += scan.index.events.len() as u64;
        let Some(first) = scan.index.frames.first() else {
            scan.index.first_position = self.next_position;
            return;
        };
        if first.recorded_at < self.last_recorded {
            report.add(segment_name(number), 64, "the segment was recorded before the segment before it");
        }
        self.last_recorded = self.last_recorded.max(scan.last_recorded);
        if std::mem::take(&mut self.starts_anywhere) {
            self.next_position = scan.index.first_position;
        }
        let (expected, found) = (self.next_position, scan.index.first_position);
        let hidden = self.hidden_by.take().and_then(|number| report.problems.get_mut(number));
        if found < expected {
            let what = format!("the segment begins with position {found}; expected {expected}, as the log goes on");
            report.add(segment_name(number), SEGMENT_HEADER_LEN as u64, what);
        } else if let Some(problem) = hidden {
            problem.what += &match found - expected {
                0 => "; no event stands behind it up to the next segment that is whole".to_owned(),
                1 => format!("; position {expected} stands behind it"),
                _ => format!("; positions {expected} to {} stand behind it", found - 1),
            };
        } else if found > expected {
            let what =
                format!("the segment begins with position {found}; positions {expected} to {} are lost", found - 1);
            report.add(segment_name(number), SEGMENT_HEADER_LEN as u64, what);
        }
        self.next_position = scan.index.next_position();
    }

    /// The segment's last whole frame is the end of what was written.
    fn ends(&mut self, segment: &Segment, scan: &Scan, is_tail: bool, was_synced: bool, report: &mut Report) {
        self.next_position = scan.index.next_position();
        let (number, end) = (segment.number(), scan.index.end);
        let wrong = match scan.stop {
            Stop::Damaged(what) => Some(what),
            Stop::Bad(what) if !is_tail => Some(what),
            Stop::End if !is_tail && file_len(&*self.disk, number) != u64::from(end) => {
                Some("zeros follow the last frame of a sealed segment")
            }
            Stop::End if !is_tail => (!scan.index.closed).then_some(NOT_CLOSED),
            // A torn tail is what a crash leaves; the next open cuts it.
            Stop::End | Stop::Bad(_) if was_synced => Some("no whole frame where one had been synced"),
            Stop::End | Stop::Bad(_) if self.durable_end > Address::new(number, end) => {
                Some("the log ends before what LOCK says was durable")
            }
            Stop::End | Stop::Bad(_) => None,
        };
        match wrong {
            Some(what) => self.damage(number, u64::from(end), what, report),
            None => self.before = Some(SegmentEnd { last_crc: scan.last_crc, offset: end }),
        }
    }

    /// Each stream goes on where the segment that is named before it left it.
    fn check_streams(&self, number: u32, scan: &Scan, report: &mut Report) {
        for stream in &scan.index.streams {
            if self.is_damaged(stream.previous_segment) {
                continue;
            }
            let found = match stream.previous_segment {
                0 => Ok(0),
                previous if previous >= number => Ok(u64::MAX),
                previous => self.sealed.get(previous).and_then(|part| {
                    let Some(scope) = scan.index.scope(stream.scope_symbol) else { return Ok(u64::MAX) };
                    let found = part.find_stream(stream.hash, scope, &stream.id, Horizon::Durable)?;
                    Ok(found.map_or(u64::MAX, |found| found.version()))
                }),
            };
            match found {
                Ok(version) if version == stream.base_version => {}
                Ok(_) => {
                    let what = format!("stream {:?} doesn't go on where it ended before", &*stream.id);
                    report.add(segment_name(number), SEGMENT_HEADER_LEN as u64, what);
                }
                Err(error) => report.add_error(error),
            }
        }
    }

    /// The index, where there is one, is what was written, and says what the segment says.
    fn check_index(&mut self, number: u32, scan: &Scan, report: &mut Report) {
        if self.is_damaged(number) {
            return;
        }
        match IndexFile::open(&*self.disk, number, self.sealed.store_id()) {
            Ok(index) => {
                report.checked.indexes += 1;
                if index.summary.end > scan.index.end && !self.goes_on() {
                    let what = "the log ends before what the segment's index says";
                    return self.damage(number, u64::from(scan.index.end), what, report);
                }
                // One that covers another part is of a clean close after which the log went on, or of one just now.
                let says = match self.derived == Derived::Rows && index.summary.end == scan.index.end {
                    true => index.says(self.sealed.store_id(), &scan.index),
                    false => index.check_all().map(|()| true),
                };
                match says {
                    Ok(true) => {}
                    Ok(false) => report.add(index_name(number), 0, "the index doesn't say what its segment says"),
                    Err(error) => report.add_error(error),
                }
            }
            // Missing ones are rebuilt when they are needed.
            Err(ReadError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if is_older(&error) => {}
            Err(error) => report.add_error(error),
        }
    }
}

/// Both heads of a packed segment are whole; one that can't be opened was reported before.
pub(super) fn check_heads(disk: &dyn Disk, number: u32, report: &mut Report) {
    let name = segment_name(number);
    let Ok(SegmentFile::Packed(packed)) = open_file(disk, &name, false, false) else { return };
    match packed.damaged_head() {
        Ok(None) => {}
        Ok(Some(at)) => {
            let what = format!("one head of the packed file, at its byte {at}, is damaged; the other one is read");
            report.add(name, 0, what);
        }
        Err(error) => report.add_error(ReadError::io(name)(error)),
    }
}

/// What is said where `number` is there and `expected` should come first.
fn missing_segments(expected: u32, number: u32) -> Option<String> {
    match number.saturating_sub(expected) {
        0 => None,
        1 => Some("the segment is missing, and a later one is there".to_owned()),
        _ => Some(format!("segments {expected} to {} are missing, and a later one is there", number - 1)),
    }
}
