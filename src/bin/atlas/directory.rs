//! Opening the data directory: only commands that say so create it, and one that another process holds can still be
//! read.

use std::path::Path;

use atlas::Atlas;
use atlas::log::{EventStore, OpenError, Options};

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
fn about(dir: &Path, error: &impl std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {error}", dir.display()))
}

/// Runs `work` on the log of `dir`, which it may only read.
pub(crate) fn look<T>(dir: &Path, work: impl FnOnce(&EventStore) -> Outcome<T>) -> Outcome<T> {
    require(dir)?;
    let store = match EventStore::open(dir) {
        Err(OpenError::Held { .. }) => EventStore::open_read_only(dir),
        other => other,
    };
    let store = store.map_err(|error| about(dir, &error))?;
    let result = work(&store);
    let closed = store.close();
    let result = result?;
    closed?;
    Ok(result)
}

/// How a directory is opened for work.
pub(crate) enum Opening {
    /// One that holds a store.
    Existing,
    /// One that is created where it isn't there.
    Create,
    /// As [`Create`](Self::Create), with options, and deliveries are served.
    Serve(Options),
}

/// Runs `work` on `dir`, and closes it.
pub(crate) async fn work<T>(dir: &Path, opening: Opening, work: impl AsyncFnOnce(&Atlas) -> Outcome<T>) -> Outcome<T> {
    let builder = match opening {
        Opening::Existing => {
            require(dir)?;
            Atlas::builder().dispatch(false)
        }
        Opening::Create => Atlas::builder().dispatch(false),
        Opening::Serve(options) => Atlas::builder().log_options(options),
    };
    let atlas = builder.open(dir).await.map_err(|error| about(dir, &error))?;
    let result = work(&atlas).await;
    let closed = atlas.close().await;
    let result = result?;
    closed?;
    Ok(result)
}
