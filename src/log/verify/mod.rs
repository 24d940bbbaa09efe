//! Checking the log of a directory. Writes nothing, and works beside a host that holds the directory.
//!
//! *Structure*: every frame and record of every segment, how the segments follow each other, and the checksums of the
//! derived files. *Deep*, in addition: every row of every index and of the directory against the log, every stream from
//! its first event to its last, every keyframe against its fold. Memory is bounded by one segment's index, and by one
//! stream's state and its list of keyframes.

mod deep;
mod folds;
mod report;
mod segments;
mod watched;

use std::path::Path;
use std::sync::Arc;

pub use folds::Folds;
pub use report::{Checked, Problem, Report};
use segments::check_heads;
pub(crate) use segments::{Check, Derived};
pub(crate) use watched::Watched;

use super::index::Directory;
use super::lock_file::{Found, LockFile, LockState};
use super::packed::open_plain;
use super::segment::{segment_name, segment_numbers};
use super::{OpenError, ReadError};
use crate::storage::{Disk, RealDisk, is_shortage};

/// How much is checked.
#[derive(Debug, Default)]
pub enum Depth {
    /// That the newest segment is whole: what an append is going to follow.
    Tail,
    /// That the log is whole, and the derived files are what was written.
    #[default]
    Structure,
    /// That, and that all that is derived says what the log says; keyframes of these folds included.
    Deep(Folds),
}

/// Checks the log in `dir`, also while another process holds it: then what is durable now. `progress` is told bytes
/// checked and bytes in all.
///
/// # Errors
/// [`OpenError::NotFound`] where there is no store; [`OpenError::Read`] where it can't be listed, or the process is short
/// of what it needs to look (such as files that it may open). What is wrong inside is in the report.
pub fn verify(dir: impl AsRef<Path>, depth: &Depth, progress: impl FnMut(u64, u64)) -> Result<Report, OpenError> {
    let dir = dir.as_ref();
    let not_found = || OpenError::NotFound { dir: dir.display().to_string() };
    if !dir.is_dir() {
        return Err(not_found());
    }
    match verify_disk(Arc::new(RealDisk::new(dir)), depth, progress) {
        Err(OpenError::NotFound { .. }) => Err(not_found()),
        other => other,
    }
}

/// As [`verify`], on any disk.
///
/// # Errors
/// As [`verify`].
pub fn verify_disk(
    disk: Arc<dyn Disk>,
    depth: &Depth,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, OpenError> {
    let watched = Watched::new(disk);
    let disk: Arc<dyn Disk> = watched.clone();
    // Before the files are listed, so that nothing it says is durable can be missing from the list.
    let (lock, lock_problem) = look_at_lock(&*disk)?;
    let names = disk.list("log").map_err(ReadError::io("log"))?;
    let mut numbers = segment_numbers(&names);
    let Some(last) = numbers.last().copied() else { return Err(OpenError::NotFound { dir: String::new() }) };
    let mut report = Report { ok: true, ..Report::default() };
    if let Some(what) = lock_problem {
        report.add("LOCK", 0, what);
    }
    let derived = match depth {
        Depth::Tail => {
            numbers = vec![last];
            Derived::Nothing
        }
        Depth::Structure => Derived::Checksums,
        Depth::Deep(_) => Derived::Rows,
    };
    let bytes: u64 = numbers.iter().map(|number| file_len(&*disk, *number)).sum();
    // A deep check reads the log a second time, stream by stream.
    let total = if matches!(depth, Depth::Deep(_)) { 2 * bytes } else { bytes };
    let mut done = 0;
    let mut check = Check::new(disk.clone(), &numbers, lock.durable_end, derived);
    if derived == Derived::Nothing {
        check = check.starting_at(last);
    }
    for number in numbers {
        watched.check()?;
        let before = done;
        check.segment(number, number == last, &mut report, |bytes| {
            done += bytes;
            progress(done, total);
        });
        check_heads(&*disk, number, &mut report);
        done = before + file_len(&*disk, number);
        progress(done, total);
    }
    check.indexes_beyond(&names, last, &mut report);
    let store_id = check.finish(&mut report);
    if derived != Derived::Nothing {
        for error in Directory::check_files(&*disk, store_id, &names) {
            report.add_error(error);
        }
    }
    if let Depth::Deep(folds) = depth
        && !report.log_is_damaged()
    {
        report.checked.deep = true;
        if let Err(error) = deep::check(disk, folds, &mut report, |bytes| progress(done + bytes, total)) {
            report.add_error(error);
        }
        progress(total, total);
    }
    watched.check()?;
    Ok(report)
}

/// What `LOCK` says, and what is wrong with it.
fn look_at_lock(disk: &dyn Disk) -> Result<(LockState, Option<String>), OpenError> {
    match LockFile::look_at(disk) {
        Ok(Found::Says(state)) => Ok((state, None)),
        Ok(Found::Missing) => Ok((LockState::default(), Some(LOCK_MISSING.to_owned()))),
        Ok(Found::Damaged) => Ok((LockState::default(), Some(LOCK_DAMAGED.to_owned()))),
        Err(OpenError::Read(ReadError::Io { source, .. })) if !is_shortage(&source) => {
            Ok((LockState::default(), Some(format!("{source}: how far the log had gone is not known"))))
        }
        Err(error) => Err(error),
    }
}

const LOCK_MISSING: &str = "the file is missing, and with it the word of how far the log is durable: no event may be \
    missing, or some at its end; `atlas rebuild` makes it anew";

const LOCK_DAMAGED: &str = "damaged: what it said of how far the log had gone is not known";

pub(crate) fn file_len(disk: &dyn Disk, number: u32) -> u64 {
    open_plain(disk, &segment_name(number)).and_then(|file| file.len()).unwrap_or(0)
}
