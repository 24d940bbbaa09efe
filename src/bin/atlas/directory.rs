//! Opening the data directory: only commands that say so create it, and one that another process holds can still be
//! read.

use std::path::Path;

use atlas::log::{Depth, EventStore, OpenError, OpenMode, Options, ReadError};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Atlas, Error};

use crate::failure::{Failure, Outcome};

/// Says which directory an error of opening is about.
pub(crate) fn about(dir: &Path, error: &OpenError) -> Failure {
    match error {
        // The log alone doesn't know that databases may tell of it; what verifies all does.
        OpenError::NotFound { .. } => match atlas::verify(dir, &Depth::Tail, |_, _| {}) {
            Err(Error::Open(missing @ OpenError::LogMissing { .. })) => about(dir, &missing),
            _ => Failure::new(error.to_string()),
        },
        OpenError::Corrupt { .. } => Failure::new(format!("{}: {error}; `atlas verify` tells more", dir.display())),
        _ => Failure::new(format!("{}: {error}", dir.display())),
    }
}

/// Runs `work` on the log of `dir`, which it may only read. Where nobody holds the directory it is recovered first: `LOCK`
/// may be behind the log, and what stands there is shown only once it is known to be durable.
pub(crate) fn look<T>(dir: &Path, work: impl FnOnce(&EventStore) -> Outcome<T>) -> Outcome<T> {
    let existing = Options { create: false, ..Options::default() };
    let store = match EventStore::open_options(dir, existing) {
        Err(error) if is_not_ours(&error) => EventStore::open_read_only(dir),
        other => other,
    };
    let store = store.map_err(|error| about(dir, &error))?;
    let result = work(&store);
    let closed = store.close();
    let result = result?;
    closed?;
    Ok(result)
}

/// Whether a directory can only be read: another process holds it, or it can't be written to.
fn is_not_ours(error: &OpenError) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match error {
        OpenError::Held { .. } => true,
        OpenError::Read(ReadError::Io { source, .. }) => matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem),
        _ => false,
    }
}

/// Runs `work` on what is whole of a damaged log in `dir`.
pub(crate) fn salvage<T>(dir: &Path, work: impl FnOnce(&EventStore) -> Outcome<T>) -> Outcome<T> {
    let store = EventStore::open_mode(dir, Options::default(), OpenMode::Salvage);
    work(&store.map_err(|error| about(dir, &error))?)
}

/// Refuses a log whose newest segment is damaged, before anything is appended behind that.
pub(crate) fn check_tail(dir: &Path) -> Outcome {
    let report = match atlas::verify(dir, &Depth::Tail, |_, _| {}) {
        Err(Error::Open(OpenError::NotFound { .. })) => return Ok(()),
        Err(Error::Open(error)) => return Err(about(dir, &error)),
        other => other?,
    };
    match report.problems.iter().find(|problem| problem.file.ends_with(".seg")) {
        Some(problem) => {
            let what = crate::commands::verify::shown(problem);
            Err(Failure::new(format!("{}: {what}; nothing was changed; `atlas verify` tells more", dir.display())))
        }
        None => Ok(()),
    }
}

/// How a directory is opened for work.
#[derive(Clone, Copy)]
pub(crate) enum Opening {
    /// One that holds a store, to look at it: also while another process holds it.
    Look,
    /// One that holds a store.
    Existing,
    /// One that is created where it isn't there.
    Create,
    /// As [`Create`](Self::Create), with segments of this size, and deliveries are served.
    Serve { segment_size: u64 },
    /// As [`Serve`](Self::Serve), in memory: for work that is refused where there is no store, and leaves none behind.
    Rehearse { segment_size: u64 },
}

/// Runs `work` on `dir`, and closes it.
pub(crate) async fn work<T>(dir: &Path, opening: Opening, work: impl AsyncFnOnce(&Atlas) -> Outcome<T>) -> Outcome<T> {
    let existing = Options { create: false, ..Options::default() };
    // No command has an effect outside the store.
    let builder = Atlas::builder().http(false);
    let builder = match opening {
        Opening::Look | Opening::Existing => builder.log_options(existing).dispatch(false),
        Opening::Create => builder.dispatch(false),
        Opening::Serve { segment_size } | Opening::Rehearse { segment_size } => {
            builder.log_options(Options { segment_size, ..Options::default() })
        }
    };
    let opened = match opening {
        Opening::Rehearse { .. } => builder.open_with(Environment::new(MemoryDisk::new())).await,
        _ => builder.open(dir).await,
    };
    let opened = match (opened, opening) {
        (Err(Error::Open(error)), Opening::Look) if is_not_ours(&error) => {
            Atlas::builder().http(false).read_only(true).open(dir).await
        }
        (other, _) => other,
    };
    let atlas = opened.map_err(|error| match &error {
        Error::Open(error) => about(dir, error),
        _ => error.into(),
    })?;
    let result = work(&atlas).await;
    let closed = atlas.close().await;
    let result = result?;
    closed?;
    Ok(result)
}
