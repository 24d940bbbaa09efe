//! Making anew what is derived from the log: indexes and the directory here, the databases in their rooms.
//!
//! Everything derived comes back by itself where it is missing. A rebuild is for when it is there and wrong, or says that
//! the log has lost data: it alone discards that evidence, and tells what it was. A log that is itself damaged is refused,
//! and nothing is changed.
//!
//! Killed anywhere, the next open or rebuild goes on from what is left: files are removed, then made anew, and what `LOCK`
//! says is discarded when nothing else is left to do here.

use thiserror::Error;

use super::index::{IndexFile, KeyHash, index_name};
use super::lock_file::{LockFile, LockState};
use super::recovery::Stop;
use super::segment::{index_number, is_own_name, segment_name, segment_number, segment_numbers};
use super::verify::{Check, Derived, Watched, file_len};
use super::view::SealedSegments;
use super::{Address, EventStore, OpenError, Options, Problem, ReadError, Report};
use crate::storage::{Disk, Environment};

/// Evidence that the log has lost what had been durable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Lost {
    /// The file that says so.
    pub file: String,
    /// The address up to which it says the log had gone.
    pub said: String,
    /// Where the log ends.
    pub end: String,
    /// The position of the last event that is there: all after it up to what was said are lost.
    pub after_position: u64,
}

impl Lost {
    pub(crate) fn new(file: &str, said: Address, end: Address, after_position: u64) -> Self {
        Self { file: file.to_owned(), said: said.to_string(), end: end.to_string(), after_position }
    }
}

/// What is derived can't be made anew.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The log itself is damaged. Nothing was changed.
    #[error(
        "the log is damaged in {first}; nothing was changed, and `atlas export --salvage` reads what is whole", first = first(problems)
    )]
    Damaged {
        /// Where and how.
        problems: Vec<Problem>,
    },
    /// The store can't be opened: another process holds it, or there is none.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

fn first(problems: &[Problem]) -> String {
    problems.first().map_or_else(String::new, |p| format!("{} at offset {}: {}", p.file, p.offset, p.what))
}

/// A rebuild of a log that is whole, with the directory held.
pub(crate) struct Rebuild {
    environment: Environment,
    lock: LockFile,
    /// `LOCK` was missing, and `lock` is to become it.
    pub(crate) lock_is_new: bool,
    state: LockState,
    numbers: Vec<u32>,
    names: Vec<String>,
    pub(crate) store_id: [u8; 16],
    pub(crate) end: Address,
    pub(crate) position: u64,
    pub(crate) bytes: u64,
}

impl Rebuild {
    /// Takes the lock, and sees that the log is whole, whatever is derived from it. `progress` is told bytes of the log.
    pub(crate) fn begin(environment: Environment, mut progress: impl FnMut(u64)) -> Result<Self, RebuildError> {
        let disk = environment.disk.clone();
        let missing = LockFile::take_missing(&disk)?;
        let lock_is_new = missing.is_some();
        let (lock, state) = match missing {
            Some(lock) => (lock, LockState::default()),
            None => LockFile::take(&disk, false)?,
        };
        let names = disk.list("log").map_err(ReadError::io("log"))?;
        let numbers = segment_numbers(&names);
        let Some(last) = numbers.last().copied() else { return Err(OpenError::NotFound { dir: String::new() }.into()) };
        let mut report = Report { ok: true, ..Report::default() };
        let watched = Watched::new(disk.clone());
        let mut check = Check::new(watched.clone(), &numbers, Address::START, Derived::Nothing);
        let mut bytes = 0;
        for number in &numbers {
            check.segment(*number, *number == last, &mut report, |_| {});
            watched.check()?;
            bytes += file_len(&*disk, *number);
            progress(bytes);
        }
        let (tail, position) = (check.tail(), check.position());
        let store_id = check.finish(&mut report);
        if let Some((end, Stop::Bad(what))) = tail
            && state.durable_end > end
            && report.ok
        {
            // Something stands there that LOCK says was durable: it is damaged, and may be salvaged.
            report.add(segment_name(last), u64::from(end.offset()), what);
        }
        match tail {
            Some((end, _)) if report.ok => {
                Ok(Self { environment, lock, lock_is_new, state, numbers, names, store_id, end, position, bytes })
            }
            _ => Err(RebuildError::Damaged { problems: report.problems }),
        }
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> u64 {
        self.numbers.len() as u64
    }

    /// What `LOCK` and the indexes say of more than there is.
    pub(crate) fn lost(&self) -> Vec<Lost> {
        let disk = &*self.environment.disk;
        let numbers = self.names.iter().filter_map(|name| index_number(name));
        let mut indexes: Vec<u32> = numbers.filter(|number| *number >= self.end.segment()).collect();
        indexes.sort_unstable();
        let index = |number| IndexFile::open(disk, number, self.store_id).ok().map(|index| index.summary.end);
        let indexes = indexes.into_iter().filter_map(|number| {
            let said = Address::new(number, index(number)?);
            Some((index_name(number), said))
        });
        [("LOCK".to_owned(), self.state.durable_end)]
            .into_iter()
            .chain(indexes)
            .filter(|(_, said)| *said > self.end)
            .map(|(file, said)| Lost::new(&file, said, self.end, self.position))
            .collect()
    }

    /// Removes what is derived, makes indexes and the directory anew, and opens the store, never letting go of the lock.
    pub(crate) fn finish(
        mut self,
        databases: &[&str],
        mut progress: impl FnMut(u64),
    ) -> Result<EventStore, RebuildError> {
        let disk = self.environment.disk.clone();
        let derived = self.names.iter().filter(|name| is_own_name(name) && segment_number(name).is_none());
        for name in derived.map(|name| format!("log/{name}")).chain(databases.iter().map(|name| (*name).to_owned())) {
            remove(&*disk, &name)?;
        }
        disk.sync_dir("log").and_then(|()| disk.sync_dir("")).map_err(ReadError::io("log"))?;
        let options = Options { create: false, ..Options::default() };
        let hash = KeyHash::new(self.store_id);
        let sealed = SealedSegments::new(disk.clone(), self.store_id, hash, &options, true);
        let mut bytes = 0;
        for number in &self.numbers {
            let length = file_len(&*disk, *number);
            // Of the last segment only where it was closed cleanly: then the next open expects it.
            let clean = self.state.clean_end == Address::new(*number, u32::try_from(length).unwrap_or(u32::MAX));
            if *number < self.end.segment() || clean {
                sealed.rebuild(*number)?;
            }
            bytes += length;
            progress(bytes);
        }
        if self.lock_is_new {
            self.state = self.lock.put_in_place(Address::START)?;
        } else if self.state.durable_end > self.end {
            // As late as can be: until then the next open still says that data are lost.
            self.state = self.lock.forget(Address::START).map_err(ReadError::io("LOCK"))?;
        }
        let Self { environment, lock, state, .. } = self;
        Ok(EventStore::open_locked(environment, options, lock, state)?)
    }
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), ReadError> {
    match disk.remove(name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
            let what = "a directory stands in the place of this file; move it away, then rebuild";
            Err(ReadError::io(name)(std::io::Error::new(error.kind(), what)))
        }
        Err(error) => Err(ReadError::io(name)(error)),
        Ok(()) => Ok(()),
    }
}

impl std::fmt::Debug for Rebuild {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rebuild").field("end", &self.end).finish_non_exhaustive()
    }
}
