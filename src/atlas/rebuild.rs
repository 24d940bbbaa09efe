//! [`rebuild`]: everything that is derived from the log, made anew.

use std::path::Path;

use serde::Serialize;

use super::missing_log::refuse_missing_log;
use super::rooms;
use crate::config::{CATALOG_FILE, catalog_reflects};
use crate::dispatch::{self, DISPATCH_FILE, dispatch_reflects};
use crate::error::Error;
use crate::log::{Lost, OpenError, Rebuild, Reflected};
use crate::storage::{Environment, RealDisk, copy_database};

/// What a rebuild made, and what it found lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Events in the log.
    pub events: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// What said that the log had gone further than it does. It was discarded.
    pub lost: Vec<Lost>,
    /// Whether `LOCK` was missing, and with it its word of how far the log had gone. It was made anew.
    pub lock_was_missing: bool,
}

/// Makes everything anew that is derived from the log in `dir`: indexes, the directory, `catalog.redb` and
/// `dispatch.redb`. Holds the directory all the while. `progress` is told bytes read and bytes in all.
///
/// This alone discards the evidence that the log has lost data, `LOCK` or a database that tells of more than there is, and
/// says what it was. Blocking.
///
/// # Errors
/// [`Error::Rebuild`] where the log itself is damaged, and nothing was changed, or the directory is held.
pub fn rebuild(dir: impl AsRef<Path>, mut progress: impl FnMut(u64, u64)) -> Result<Rebuilt, Error> {
    let dir = dir.as_ref();
    let not_found = || OpenError::NotFound { dir: dir.display().to_string() };
    if !dir.is_dir() {
        return Err(not_found().into());
    }
    let environment = Environment::new(RealDisk::new(dir));
    rebuild_with(environment, &mut progress).map_err(|error| match error {
        Error::Rebuild(crate::log::RebuildError::Open(OpenError::NotFound { .. })) => not_found().into(),
        other => other,
    })
}

/// As [`rebuild`], in a world of the caller's making.
///
/// # Errors
/// As [`rebuild`].
pub fn rebuild_with(environment: Environment, mut progress: impl FnMut(u64, u64)) -> Result<Rebuilt, Error> {
    let disk = environment.disk.clone();
    let all: u64 = disk
        .list("log")
        .unwrap_or_default()
        .iter()
        .filter(|name| name.ends_with(".seg"))
        .filter_map(|name| disk.open(&format!("log/{name}"), false).and_then(|file| file.len()).ok())
        .sum();
    refuse_missing_log(&*disk)?;
    let rebuild = Rebuild::begin(environment, |bytes| progress(bytes, 3 * all))?;
    let mut lost = rebuild.lost();
    let ahead = [
        copy_database(&*disk, CATALOG_FILE).ok().flatten().and_then(|copy| catalog_reflects(&copy)),
        copy_database(&*disk, DISPATCH_FILE).ok().flatten().and_then(|copy| dispatch_reflects(&copy)),
    ];
    for (file, said) in [CATALOG_FILE, DISPATCH_FILE].into_iter().zip(ahead) {
        // What a database of another store says is no evidence.
        let is_ours = |said: &Reflected| said.fingerprint.is_none_or(|said| said.store_id == rebuild.store_id);
        if let Some(said) = said.filter(|said| said.up_to > rebuild.end && is_ours(said)) {
            lost.push(Lost::new(file, said.up_to, rebuild.end, rebuild.position));
        }
    }
    for Lost { file, said, end, .. } in &lost {
        tracing::warn!(file, said, end, "the log has lost data; a rebuild goes on with what is there");
    }
    let (bytes, segments, lock_was_missing) = (rebuild.bytes, rebuild.segments(), rebuild.lock_is_new);
    let store = rebuild.finish(&[CATALOG_FILE, DISPATCH_FILE], |bytes| progress(all + bytes, 3 * all))?;
    let made = rooms(store.clone()).and_then(|rooms| {
        let segment = all.checked_div(segments).unwrap_or_default();
        let read = |address: crate::log::Address| u64::from(address.segment().saturating_sub(1)) * segment;
        Ok(dispatch::rebuild(rooms, |address| progress(2 * all + read(address).min(all), 3 * all))?)
    });
    let closed = store.close();
    made?;
    closed?;
    progress(3 * all, 3 * all);
    Ok(Rebuilt { events: store.last_position(), segments, bytes, lost, lock_was_missing })
}
