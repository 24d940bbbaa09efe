//! [`verify`]: the log, and what every room derives from it. Writes nothing.

use std::fs::File;
use std::path::Path;

use super::rooms;
use crate::config::{CATALOG_FILE, differing_table};
use crate::dispatch::{DISPATCH_FILE, dispatch_table_that_differs};
use crate::error::Error;
use crate::log::{self, Depth, EventStore, Report};
use crate::storage::{RealDisk, copy_database, verify_database};

/// Checks the store in `dir`, also while another process holds it: then what is durable now. `progress` is told bytes
/// checked and bytes in all.
///
/// The log first, see [`log::verify`]. Then the databases that are derived from it, unless another process holds the
/// directory: that each is what was written, and of a deep check that it says what the log says. For that the log is
/// folded into memory, where the copy of a database takes as much room as the file.
///
/// # Errors
/// [`Error::Open`] where there is no store. What is wrong inside is in the report.
pub fn verify(dir: impl AsRef<Path>, depth: &Depth, progress: impl FnMut(u64, u64)) -> Result<Report, Error> {
    let dir = dir.as_ref();
    let mut report = log::verify(dir, depth, progress)?;
    // Held until all are checked, so that nobody begins to write.
    let Ok(lock) = File::open(dir.join("LOCK")) else { return Ok(report) };
    if lock.try_lock_shared().is_err() {
        return Ok(report);
    }
    for file in [CATALOG_FILE, DISPATCH_FILE] {
        let is_there = dir.join(file).exists();
        match verify_database(dir, file) {
            Err(error) => report.add(file, 0, format!("damaged: {}; `atlas rebuild` makes it anew", error.source)),
            Ok(()) if !is_there => {}
            Ok(()) => {
                report.checked.databases.push(file.to_owned());
                if report.checked.deep
                    && let Err(what) = says_the_log(dir, file)
                {
                    report.add(file, 0, what);
                }
            }
        }
    }
    Ok(report)
}

/// Whether a database says what the log says, or what it says instead.
fn says_the_log(dir: &Path, file: &'static str) -> Result<(), String> {
    let differs = || -> Result<Option<&'static str>, Error> {
        let Some(copy) = copy_database(&RealDisk::new(dir), file).map_err(crate::config::ConfigError::from)? else {
            return Ok(None);
        };
        let store = EventStore::open_read_only(dir)?;
        if file == CATALOG_FILE {
            return Ok(differing_table(&copy, &store)?);
        }
        Ok(dispatch_table_that_differs(&copy, rooms(store)?)?)
    };
    match differs() {
        Ok(None) => Ok(()),
        Ok(Some(table)) => {
            Err(format!("table {table} doesn't say what the log says; `atlas rebuild` makes the file anew"))
        }
        Err(error) => Err(error.to_string()),
    }
}
