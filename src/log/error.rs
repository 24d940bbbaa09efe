//! What can go wrong in the log.

use std::io;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::{Address, ExpectedVersion};
use crate::event::VocabularyError;
use crate::storage::is_shortage;

/// An append was refused or failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An event is not well formed or too large; nothing was written.
    #[error("event {index} of the append: {source}")]
    Event {
        /// Which event of the append, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: VocabularyError,
    },
    /// A stream is not as expected; nothing was written.
    #[error("stream {stream:?} is at version {actual}; expected {expected}")]
    Conflict {
        /// The stream.
        stream: String,
        /// What was expected.
        expected: ExpectedVersion,
        /// The version it has.
        actual: u64,
    },
    /// The id is known with other content; nothing was written.
    #[error("event id {id} is known with another {field}; an id may be used again only for the same content")]
    IdReused {
        /// The id.
        id: Uuid,
        /// The first field that differs.
        field: &'static str,
    },
    /// Some ids of the batch are known and some are new; nothing was written.
    #[error("the batch mixes known ids (such as {known}) and new ones; expected all known or all new")]
    MixedIds {
        /// One that is known.
        known: Uuid,
    },
    /// The same id stands twice in one append; nothing was written.
    #[error("event id {id} stands twice in one append")]
    RepeatedId {
        /// The id.
        id: Uuid,
    },
    /// The append is larger than one commit may be; nothing was written.
    #[error("the append needs {size} bytes; max_commit is {limit} bytes")]
    TooLarge {
        /// What it needs, in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The append holds neither events nor records.
    #[error("the append is empty; expected at least one event")]
    Empty,
    /// No room could be made for it on the disk, which is full or failed as `source` says; nothing was written, and
    /// appending works again once there is room.
    #[error("no space for {needed} bytes in the log: {source}")]
    NoSpace {
        /// How much was needed, in bytes.
        needed: u64,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A write or sync failed, now or earlier; the store takes no more appends until it is opened again. Whether this
    /// append is in the log is learnt by repeating its ids then.
    #[error("the store is poisoned since a {operation} failed: {source}; close it and open it again")]
    Poisoned {
        /// `write` or `sync`.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// `LOCK` was removed or replaced under the store, so that another may hold the directory by now. The store takes no
    /// more appends; whether this one is in the log is learnt by repeating its ids once it is opened again.
    #[error(
        "LOCK was removed or replaced while this store held the directory, and another may hold it by now; close the store, and let `atlas verify` tell what is there"
    )]
    LockLost,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The store was opened for reading.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// The call comes from a forked child of the process that opened the store.
    #[error("the store was opened by process {opened_by}; a forked child can't use it")]
    Forked {
        /// The process id that opened it.
        opened_by: u32,
    },
    /// A look-up that the append needs failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl AppendError {
    /// Whether the append is refused for want of room, so that it is worth trying again later.
    pub(crate) fn is_full_disk(&self) -> bool {
        let kind = match self {
            Self::NoSpace { source, .. } => source.kind(),
            _ => return false,
        };
        matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// A read failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk failed.
    #[error("{file}: {source}")]
    Io {
        /// The file's name in the data directory.
        file: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Bytes that were durable are not what was written.
    #[error("{file}: damaged at offset {offset}: {what}")]
    Corrupt {
        /// The file's name in the data directory.
        file: String,
        /// Where, in bytes from its start.
        offset: u64,
        /// What was found.
        what: &'static str,
    },
    /// A segment is packed, and this build of Atlas can't read those.
    #[error("{file}: the segment is packed; reading it takes a build with the feature `{feature}`")]
    FeatureMissing {
        /// The file's name in the data directory.
        file: String,
        /// The feature of the crate.
        feature: &'static str,
    },
    /// A store that is open for reading only found another log in its place, or an older one: a copy was put there.
    #[error("{file} is not of the log that was opened, or of an older copy of it; open the store again")]
    Replaced {
        /// The file's name in the data directory.
        file: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The call comes from a forked child of the process that opened the store.
    #[error("the store was opened by process {opened_by}; a forked child can't use it")]
    Forked {
        /// The process id that opened it.
        opened_by: u32,
    },
    /// What is asked for is not well formed.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
}

impl ReadError {
    pub(crate) fn io(file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { file: file.into(), source: Arc::new(source) }
    }

    /// Whether it says nothing of the file: the process was short of something.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_shortage(source))
    }
}

fn readable(to: u64) -> String {
    match to {
        0 => "no event is known to be whole before it".to_owned(),
        1 => "the one event before it is whole".to_owned(),
        to => format!("the {to} events before it are whole"),
    }
}

/// A store could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory doesn't exist, or holds no store.
    #[error("{dir}: no Atlas store here; expected a directory that an earlier open or import created")]
    NotFound {
        /// The directory.
        dir: String,
    },
    /// Another process, or another handle in this one, has the directory open.
    #[error("the directory is held by process {process_id}; close it there first")]
    Held {
        /// The process id that holds it.
        process_id: u32,
    },
    /// There are segments, and no `LOCK`: it was removed, or left out of a copy. No crash does that.
    #[error(
        "LOCK is missing beside the segments of a log, and with it the word of how far they are durable; see that no process has the directory open still, then put LOCK back or have `atlas rebuild` make it anew"
    )]
    LockMissing,
    /// A database that is derived from a log is there, and neither a segment nor a `LOCK` that tells of one. Nothing was
    /// created.
    #[error(
        "the log is missing: {file} tells of it up to {up_to}, and there is no segment in log/; nothing was created; see that the volume with the log is mounted, or remove catalog.redb and dispatch.redb to begin a new log"
    )]
    LogMissing {
        /// The database.
        file: &'static str,
        /// Up to where it reflects the log.
        up_to: Address,
    },
    /// An option is out of its range.
    #[error("option {option} is {value}; expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: u64,
        /// Its range.
        expected: &'static str,
    },
    /// The log was written by a newer version of Atlas.
    #[error("{file}: format version {found}; this version of Atlas reads up to {known}")]
    NewerFormat {
        /// The file's name in the data directory.
        file: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The log is damaged where it had been synced. Nothing was changed.
    #[error("{source}; nothing was changed, and {}", readable(*readable_to))]
    Corrupt {
        /// Where and what.
        #[source]
        source: ReadError,
        /// The last position before the damage.
        readable_to: u64,
    },
    /// The disk failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}
