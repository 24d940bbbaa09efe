//! [`verify`]: the log, and what every room derives from it. Writes nothing.

use std::fs::File;
use std::path::Path;

use super::missing_log::refuse_missing_log;
use super::rooms;
use crate::config::{CATALOG_FILE, catalog_reflects, differing_table};
use crate::dispatch::{DISPATCH_FILE, dispatch_reflects, dispatch_table_that_differs};
use crate::error::Error;
use crate::log::{self, Depth, EventStore, OpenError, Report, Standing};
use crate::storage::{DatabaseError, MemoryDisk, RealDisk, copy_database, verify_copy};

/// Checks the store in `dir`, also while another process holds it: then what is durable now. `progress` is told bytes
/// checked and bytes in all.
///
/// The log first, see [`log::verify`]. Then the databases that are derived from it, unless another process holds the
/// directory: that each is what was written and reflects this very log, and of a deep check that it says what the log says. For that the log is
/// folded into memory, where the copy of a database takes as much room as the file.
///
/// # Errors
/// [`Error::Open`] where there is no store, or databases tell of a log that isn't there. What is wrong inside is in the report.
pub fn verify(dir: impl AsRef<Path>, depth: &Depth, progress: impl FnMut(u64, u64)) -> Result<Report, Error> {
    let dir = dir.as_ref();
    let mut report = match log::verify(dir, depth, progress) {
        Err(error @ OpenError::NotFound { .. }) => {
            refuse_missing_log(&RealDisk::new(dir))?;
            return Err(error.into());
        }
        other => other?,
    };
    if !matches!(depth, Depth::Tail) {
        for file in [CATALOG_FILE, DISPATCH_FILE] {
            check_database(dir, file, &mut report);
        }
    }
    Ok(report)
}

const LOST_DATA: &str = "the log has lost data, or is an older copy than this file";

const ANOTHER_LOG: &str = "it is of another store, or of a copy that went on by itself; the next open makes it anew";

/// Checks a database on a copy, so that the directory is held only while it is copied.
fn check_database(dir: &Path, file: &'static str, report: &mut Report) {
    let damaged = |source: &dyn std::fmt::Display| format!("damaged: {source}; `atlas rebuild` makes it anew");
    let copy = match unheld_copy(dir, file) {
        Ok(Some(copy)) => copy,
        Ok(None) => return,
        Err(error) => return report.add(file, 0, error.source.to_string()),
    };
    if let Err(error) = verify_copy(&copy, file) {
        return report.add(file, 0, damaged(&error.source));
    }
    report.checked.databases.push(file.to_owned());
    if report.log_is_damaged() {
        return;
    }
    // Opened after the copy was made: the log only goes on from there.
    let store = match EventStore::open_read_only(dir) {
        Ok(store) => store,
        Err(error) => return report.add("log", 0, error.to_string()),
    };
    let reflected = if file == CATALOG_FILE { catalog_reflects(&copy) } else { dispatch_reflects(&copy) };
    if let Some(reflected) = reflected {
        let (said, end) = (reflected.up_to, store.durable_end());
        match store.standing_of(&reflected) {
            // One that an older version of Atlas wrote doesn't say; it is made anew at the next open.
            Ok(Standing::OfThisLog | Standing::Unsaid) => {}
            Ok(Standing::AheadOfLog) => {
                let what = format!("it tells of the log up to {said}, which ends at {end}: {LOST_DATA}");
                return report.add(file, 0, what);
            }
            Ok(Standing::OfAnotherLog) => {
                let what = format!("it reflects another log than this one up to {said}: {ANOTHER_LOG}");
                return report.add(file, 0, what);
            }
            Err(error) => return report.add("log", 0, error.to_string()),
        }
    }
    if report.checked.deep
        && let Err(what) = says_the_log(&copy, file, store)
    {
        report.add(file, 0, what);
    }
}

/// A copy of a database that nobody writes to; `None` where there is none, or another process may hold the directory.
fn unheld_copy(dir: &Path, file: &'static str) -> Result<Option<MemoryDisk>, DatabaseError> {
    let Ok(lock) = File::open(dir.join("LOCK")) else { return Ok(None) };
    if lock.try_lock_shared().is_err() {
        return Ok(None);
    }
    copy_database(&RealDisk::new(dir), file)
}

/// Whether a database says what the log says, or what it says instead.
fn says_the_log(copy: &MemoryDisk, file: &'static str, store: EventStore) -> Result<(), String> {
    let differs = || -> Result<Option<&'static str>, Error> {
        if file == CATALOG_FILE {
            return Ok(differing_table(copy, &store)?);
        }
        Ok(dispatch_table_that_differs(copy, rooms(store)?)?)
    };
    match differs() {
        Ok(None) => Ok(()),
        Ok(Some(table)) => {
            Err(format!("table {table} doesn't say what the log says; `atlas rebuild` makes the file anew"))
        }
        Err(error) => Err(error.to_string()),
    }
}
