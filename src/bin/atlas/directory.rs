//! Opening the data directory: only commands that say so create it, and one that another process holds can still be
//! read.

use std::path::Path;


use atlas::log::{EventStore, OpenError};

use crate::failure::{Failure, Outcome};

/// Whether `dir` holds a store.
fn holds_store(dir: &Path) -> bool {
    dir.join("log").is_dir()
}

/// Refuses a directory that holds no store.
pub(crate) fn require(dir: &Path) -> Outcome {
    if holds_store(dir) {
        return Ok(());
    }
    Err(OpenError::NotFound { dir: dir.display().to_string() }.into())
}

/// Says which directory an error of opening is about.
pub(crate) fn failed(dir: &Path, error: OpenError) -> Failure {
    match error {
        OpenError::NotFound { .. } => error.into(),
        _ => Failure::new(format!("{}: {error}", dir.display())),
    }
}

/// Runs `look` on the log of `dir`, which it may only read.
pub(crate) fn look<T>(dir: &Path, look: impl FnOnce(&EventStore) -> Outcome<T>) -> Outcome<T> {
    require(dir)?;
    let store = match EventStore::open(dir) {
        Err(OpenError::Held { .. }) => EventStore::open_read_only(dir),
        other => other,
    };
    let store = store.map_err(|error| failed(dir, error))?;
    let result = look(&store);
    let closed = store.close();
    let result = result?;
    closed?;
    Ok(result)
}
