//! The directory: which sealed segments hold a stream or a key, and what each covers. Derived from the indexes.
//!
//! It is a list of immutable `.dir` files, runs, each covering neighbouring segments; a sealed segment adds a run, and
//! neighbouring runs of like size are merged, so that there are about log2(segments) of them and a look-up probes each
//! once. Hashes only: who finds a segment here asks its index for the name itself.

use std::sync::Arc;

use super::checked_file::{CheckedFile, CheckedWriter, Healer, Section, is_older};
use super::file::{IndexFile, Summary};
use crate::log::ReadError;
use crate::log::format::Reader;
use crate::storage::Disk;

const MAGIC: &[u8; 8] = b"ATLASDR2";
const HEADER: usize = 64;

/// One `.dir` file.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) last: u32,
    file: CheckedFile,
    /// [`Summary::LEN`], by segment.
    summaries: Section,
    /// 24, sorted by hash, then segment: hash u64, base version u64, segment u32, zero u32.
    streams: Section,
    /// 16, sorted by hash, then segment: hash u64, segment u32, zero u32.
    keys: Section,
}

/// A stream as the directory knows it in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamPlace {
    pub(crate) segment: u32,
    /// The stream's version before that segment.
    pub(crate) base_version: u64,
}

fn run_name(first: u32, last: u32) -> String {
    format!("log/{first:08}-{last:08}.dir")
}

/// The segments that a file name says a run covers.
fn covered_by(name: &str) -> Option<(u32, u32)> {
    let (first, last) = name.strip_suffix(".dir")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first >= 1 && first <= last).then_some((first, last))
}

fn stream_row(hash: u64, base_version: u64, segment: u32) -> [u8; 24] {
    let bytes =
        hash.to_le_bytes().into_iter().chain(base_version.to_le_bytes()).chain(u64::from(segment).to_le_bytes());
    let mut row = [0; 24];
    row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    row
}

fn key_row(hash: u64, segment: u32) -> [u8; 16] {
    let mut row = [0; 16];
    let bytes = hash.to_le_bytes().into_iter().chain(u64::from(segment).to_le_bytes());
    row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    row
}

/// The hash in front of a row.
fn hash_of<const N: usize>(row: &[u8; N]) -> u64 {
    row.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn segment_of<const N: usize>(row: &[u8; N], at: usize) -> u32 {
    row.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

impl Run {
    fn header(first: u32, last: u32, store_id: [u8; 16], counts: [u32; 3]) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&first.to_le_bytes());
        header.extend_from_slice(&last.to_le_bytes());
        header.extend_from_slice(&store_id);
        for count in counts {
            header.extend_from_slice(&count.to_le_bytes());
        }
        header.resize(HEADER, 0);
        header
    }

    /// Writes the run of one segment.
    pub(crate) fn of_index(disk: &dyn Disk, store_id: [u8; 16], index: &IndexFile) -> Result<Self, ReadError> {
        let segment = index.summary.segment;
        let mut streams = Vec::with_capacity(index.streams() as usize);
        for number in 0..index.streams() {
            let row = index.stream(number)?;
            streams.push((row.hash, row.base_version));
        }
        streams.sort_unstable();
        let name = run_name(segment, segment);
        let mut file = CheckedWriter::create(disk, &name)?;
        file.put(&Self::header(segment, segment, store_id, [1, index.streams(), index.far_keys()]))?;
        file.put(&index.summary.encode())?;
        for (hash, base_version) in streams {
            file.put(&stream_row(hash, base_version, segment))?;
        }
        for number in 0..index.far_keys() {
            file.put(&key_row(index.far_key(number)?, segment))?;
        }
        file.finish(MAGIC)?;
        Self::open(disk, store_id, segment, segment)
    }

    /// Writes the run that covers what two neighbours cover.
    pub(crate) fn merge(disk: &dyn Disk, store_id: [u8; 16], a: &Self, b: &Self) -> Result<Self, ReadError> {
        let name = run_name(a.first, b.last);
        let mut file = CheckedWriter::create(disk, &name)?;
        let counts =
            [a.summaries.count + b.summaries.count, a.streams.count + b.streams.count, a.keys.count + b.keys.count];
        file.put(&Self::header(a.first, b.last, store_id, counts))?;
        for run in [a, b] {
            for number in 0..run.summaries.count {
                file.put(&run.summaries.row::<{ Summary::LEN }>(&run.file, number)?)?;
            }
        }
        merge_rows::<24>(&mut file, (&a.file, a.streams), (&b.file, b.streams))?;
        merge_rows::<16>(&mut file, (&a.file, a.keys), (&b.file, b.keys))?;
        file.finish(MAGIC)?;
        Self::open(disk, store_id, a.first, b.last)
    }

    fn open(disk: &dyn Disk, store_id: [u8; 16], first: u32, last: u32) -> Result<Self, ReadError> {
        let file = CheckedFile::open(disk, &run_name(first, last), MAGIC)?;
        let mut fields = Reader::new(file.get(0, HEADER.min(file.len()))?);
        let decoded = (|| {
            let covers = (fields.u32()?, fields.u32()?);
            let found: [u8; 16] = fields.array()?;
            Some((covers, found, [fields.u32()?, fields.u32()?, fields.u32()?]))
        })();
        let corrupt = || file.corrupt(0, "the run is of other segments or of another store");
        let (covers, found, [summaries, streams, keys]) = decoded.ok_or_else(corrupt)?;
        if covers != (first, last) || found != store_id || summaries != last - first + 1 {
            return Err(corrupt());
        }
        let after = |section: Section, row: u64| section.offset + u64::from(section.count) * row;
        let summaries = Section { offset: HEADER as u64, count: summaries };
        let streams = Section { offset: after(summaries, Summary::LEN as u64), count: streams };
        let keys = Section { offset: after(streams, 24), count: keys };
        if after(keys, 16) != file.len() as u64 {
            return Err(corrupt());
        }
        Ok(Self { first, last, file, summaries, streams, keys })
    }

    fn summary(&self, segment: u32) -> Result<Summary, ReadError> {
        let row: [u8; Summary::LEN] = self.summaries.row(&self.file, segment.wrapping_sub(self.first))?;
        Summary::decode(&mut Reader::new(&row)).ok_or_else(|| self.file.corrupt(0, "a summary is cut short"))
    }

    fn streams(&self, hash: u64, mut found: impl FnMut(StreamPlace)) -> Result<(), ReadError> {
        let from = self.streams.lower_bound::<24>(&self.file, hash, hash_of)?;
        for number in from..self.streams.count {
            let row: [u8; 24] = self.streams.row(&self.file, number)?;
            if hash_of(&row) != hash {
                break;
            }
            let base_version = row.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |v| u64::from_le_bytes(*v));
            found(StreamPlace { segment: segment_of(&row, 16), base_version });
        }
        Ok(())
    }

    fn keys(&self, hash: u64, mut found: impl FnMut(u32)) -> Result<(), ReadError> {
        let from = self.keys.lower_bound::<16>(&self.file, hash, hash_of)?;
        for number in from..self.keys.count {
            let row: [u8; 16] = self.keys.row(&self.file, number)?;
            if hash_of(&row) != hash {
                break;
            }
            found(segment_of(&row, 8));
        }
        Ok(())
    }
}

/// Writes two sorted sections as one, by hash; of equal hashes those of `a` first, whose segments are older.
fn merge_rows<const N: usize>(
    file: &mut CheckedWriter<'_>,
    a: (&CheckedFile, Section),
    b: (&CheckedFile, Section),
) -> Result<(), ReadError> {
    let row = |(file, section): (&CheckedFile, Section), number: u32| {
        (number < section.count).then(|| section.row::<N>(file, number)).transpose()
    };
    let (mut at_a, mut at_b) = (0, 0);
    let (mut next_a, mut next_b) = (row(a, 0)?, row(b, 0)?);
    loop {
        let takes_a = match (&next_a, &next_b) {
            (Some(a), Some(b)) => hash_of(a) <= hash_of(b),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return Ok(()),
        };
        if takes_a {
            file.put(next_a.as_ref().map_or(&[][..], |row| row))?;
            at_a += 1;
            next_a = row(a, at_a)?;
        } else {
            file.put(next_b.as_ref().map_or(&[][..], |row| row))?;
            at_b += 1;
            next_b = row(b, at_b)?;
        }
    }
}

/// The runs that together cover the segments from 1 on, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    runs: Vec<Arc<Run>>,
}

impl Directory {
    /// Opens the runs that cover the most segments up to `last`, and removes files that are damaged, unfinished or
    /// covered by others. The directory may end before `last`, or be empty: what is missing is added from the indexes.
    pub(crate) fn open(
        disk: &dyn Disk,
        store_id: [u8; 16],
        names: &[String],
        last: u32,
        may_write: bool,
    ) -> Result<Self, ReadError> {
        let mut covers: Vec<(u32, u32)> = names.iter().filter_map(|name| covered_by(name)).collect();
        // Of those that begin alike the longest first.
        covers.sort_unstable_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
        let mut runs: Vec<Arc<Run>> = Vec::new();
        for (first, to) in covers {
            let next = runs.last().map_or(1, |run| run.last + 1);
            let opened = if first == next && to <= last { Run::open(disk, store_id, first, to).ok() } else { None };
            match opened {
                Some(run) => runs.push(Arc::new(run)),
                None if may_write => {
                    let name = run_name(first, to);
                    tracing::debug!(name, "removes a run of the directory that is not needed or damaged");
                    disk.remove(&name).map_err(ReadError::io(&name))?;
                }
                None => {}
            }
        }
        Ok(Self { runs })
    }

    /// The newest segment covered, or 0.
    pub(crate) fn last(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.last)
    }

    /// The directory with the next segment added.
    pub(crate) fn with(&self, disk: &dyn Disk, store_id: [u8; 16], index: &IndexFile) -> Result<Self, ReadError> {
        let mut runs = self.runs.clone();
        runs.push(Arc::new(Run::of_index(disk, store_id, index)?));
        Ok(Self { runs })
    }

    /// The directory with two neighbouring runs merged, where the newer covers at least as many segments as the older;
    /// and the names of the files that are no longer needed.
    pub(crate) fn merged(&self, disk: &dyn Disk, store_id: [u8; 16]) -> Result<Option<(Self, [String; 2])>, ReadError> {
        let size = |run: &Run| run.last - run.first + 1;
        let fits = |a: u32, b: u32| a.checked_add(b).is_some();
        let mergeable = |a: &Run, b: &Run| fits(a.streams.count, b.streams.count) && fits(a.keys.count, b.keys.count);
        let is_due = |pair: &[Arc<Run>]| matches!(pair, [a, b] if size(b) >= size(a) && mergeable(a, b));
        let due = self.runs.windows(2).position(is_due);
        let Some((at, [a, b])) = due.and_then(|at| Some((at, self.runs.get(at..)?.first_chunk()?))) else {
            return Ok(None);
        };
        let merged = Arc::new(Run::merge(disk, store_id, a, b)?);
        let old = [run_name(a.first, a.last), run_name(b.first, b.last)];
        let mut runs = self.runs.clone();
        runs.splice(at..at + 2, [merged]);
        Ok(Some((Self { runs }, old)))
    }

    /// The segments that may hold a stream, oldest first.
    pub(crate) fn streams(&self, hash: u64) -> Result<Vec<StreamPlace>, ReadError> {
        let mut places = Vec::new();
        for run in &self.runs {
            run.streams(hash, |place| places.push(place))?;
        }
        Ok(places)
    }

    /// The segments that may hold a stream, newest first, run by run.
    pub(crate) fn newest_streams(&self, hash: u64) -> impl Iterator<Item = Result<StreamPlace, ReadError>> {
        self.runs.iter().rev().flat_map(move |run| {
            let mut places = Vec::new();
            let result = run.streams(hash, |place| places.push(Ok(place)));
            places.reverse();
            places.extend(result.err().map(Err));
            places
        })
    }

    /// The segments that may hold a key, oldest first.
    pub(crate) fn keys(&self, hash: u64) -> Result<Vec<u32>, ReadError> {
        let mut segments = Vec::new();
        for run in &self.runs {
            run.keys(hash, |segment| segments.push(segment))?;
        }
        Ok(segments)
    }

    /// What a segment covers.
    pub(crate) fn summary(&self, segment: u32) -> Result<Option<Summary>, ReadError> {
        let at = self.runs.partition_point(|run| run.last < segment);
        self.runs.get(at).filter(|run| run.first <= segment).map(|run| run.summary(segment)).transpose()
    }

    /// The first segment for whose summary `is_before` doesn't hold, where it holds for a front part of the log.
    pub(crate) fn first_not(&self, is_before: impl Fn(&Summary) -> bool) -> Result<u32, ReadError> {
        let (mut low, mut high) = (1, self.last() + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.summary(middle)? {
                Some(summary) if is_before(&summary) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Streams that begin in the segments covered.
    pub(crate) fn new_streams(&self) -> Result<u64, ReadError> {
        let mut streams = 0;
        for run in &self.runs {
            for segment in run.first..=run.last {
                streams += u64::from(run.summary(segment)?.new_streams);
            }
        }
        Ok(streams)
    }

    /// States who makes each run anew where a block of it is damaged: a function of the segments covered.
    pub(crate) fn set_healers(&self, healer: impl Fn(u32, u32) -> Healer) {
        self.runs.iter().for_each(|run| run.file.set_healer(healer(run.first, run.last)));
    }

    /// Makes the run over the segments from `first` to `last` anew from their indexes, with the same bytes, however it
    /// was merged before.
    pub(crate) fn run_anew(
        disk: &dyn Disk,
        store_id: [u8; 16],
        first: u32,
        last: u32,
        index: impl Fn(u32) -> Result<Arc<IndexFile>, ReadError>,
    ) -> Result<CheckedFile, ReadError> {
        let size = |run: &Run| run.last - run.first;
        let mut runs: Vec<Run> = Vec::new();
        for number in first..=last {
            runs.push(Run::of_index(disk, store_id, &*index(number)?)?);
            while let Some([a, b]) = runs.last_chunk()
                && (size(b) >= size(a) || number == last)
            {
                let merged = Run::merge(disk, store_id, a, b)?;
                for run in [a, b] {
                    match disk.remove(&run_name(run.first, run.last)) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(ReadError::io(run_name(run.first, run.last))(error));
                        }
                        _ => {}
                    }
                }
                runs.truncate(runs.len() - 2);
                runs.push(merged);
            }
        }
        runs.pop().map(|run| run.file).ok_or(ReadError::Closed)
    }

    /// Each run's first segment, and the summary of its last.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (u32, Result<Summary, ReadError>)> {
        self.runs.iter().map(|run| (run.first, run.summary(run.last)))
    }

    /// The directory without what covers `segment` and all after it, and the names of the files left out.
    pub(crate) fn before(&self, segment: u32) -> (Self, Vec<String>) {
        let (kept, left_out): (Vec<_>, Vec<_>) = self.runs.iter().cloned().partition(|run| run.last < segment);
        (Self { runs: kept }, left_out.iter().map(|run| run_name(run.first, run.last)).collect())
    }

    /// How many rows of streams and of keys it has.
    pub(crate) fn rows(&self) -> (u64, u64) {
        let rows = |of: fn(&Run) -> u32| self.runs.iter().map(|run| u64::from(of(run))).sum();
        (rows(|run| run.streams.count), rows(|run| run.keys.count))
    }

    /// Checks every block of every run.
    pub(crate) fn check_all(&self) -> Result<(), ReadError> {
        self.runs.iter().try_for_each(|run| run.file.check_all())
    }

    /// Checks every block of every file of the directory, and that each is of this store; what is wrong with them.
    pub(crate) fn check_files(disk: &dyn Disk, store_id: [u8; 16], names: &[String]) -> Vec<ReadError> {
        let covers = names.iter().filter_map(|name| covered_by(name));
        let check = |(first, last)| Run::open(disk, store_id, first, last)?.file.check_all();
        covers.filter_map(|covered| check(covered).err()).filter(|error| !is_gone(error) && !is_older(error)).collect()
    }
}

/// Whether the file is no longer there: a running host merges and removes some.
fn is_gone(error: &ReadError) -> bool {
    matches!(error, ReadError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
