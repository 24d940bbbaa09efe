//! The log: an append-only, log-structured store of events in segments, with keyframes among them.
//!
//! The parts, from the bytes up: `format` (frames and records as pure bytes), `segment` (one file), `packed` (one that
//! takes less room), `index` (of one
//! segment, and the directory over all), `part` and `view` (what can be asked of the log at one moment), `recovery` and
//! `open`, `prepare`, `queue`, `writer` and `core` (appending), `read`, `follow` and `state` (reading), `beside`
//! (reading what another process writes), `store` (all of it for users). `docs/design.md` draws the bytes and argues each step.

mod address;
mod append;
#[doc(hidden)]
pub mod bench;
mod beside;
mod core;
mod derived;
mod durable;
mod error;
mod fingerprint;
mod fold;
mod follow;
#[cfg(test)]
mod follow_tests;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod import;
mod index;
mod kind;
mod lock_file;
mod memo;
mod numbers;
mod open;
mod options;
mod packed;
mod part;
mod prepare;
mod prepared;
mod queue;
mod read;
mod rebuild;
mod recorded;
mod recovery;
mod salvage;
mod segment;
#[cfg(all(test, shuttle))]
mod shuttle_tests;
mod spare;
mod state;
mod store;
mod ticket;
mod verify;
mod view;
mod writer;

pub use address::Address;
pub use append::{Append, Durability, ExpectedVersion, Receipt, Written};
pub use error::{AppendError, OpenError, ReadError};
pub(crate) use fingerprint::{Fingerprint, Reflected, Standing};
pub use fold::{Fold, MergeFold};
pub(crate) use follow::Follow;
pub use follow::Subscription;
pub use import::Import;
pub use kind::RecordKind;
pub(crate) use lock_file::has_no_log;
pub use open::OpenMode;
pub use options::{Compress, KeyframePolicy, Options, ReadMode};
pub use read::{Direction, Events, Query};
pub(crate) use rebuild::Rebuild;
pub use rebuild::{Lost, RebuildError};
pub use recorded::{EventRef, RecordedEvent};
pub(crate) use recorded::{LogEntry, RoomRecord};
pub use salvage::Loss;
pub use state::{At, State};
pub use store::{EventStore, Stats, StreamInfo, StreamIter};
pub use verify::{Checked, Depth, Folds, Problem, Report, verify, verify_disk};

/// What the simulation looks at beneath the store.
#[cfg(feature = "simulation")]
pub(crate) mod simulated {
    pub(crate) use super::index::KeyHash;
    pub(crate) use super::recovery::{Before, scan};
    pub(crate) use super::segment::Segment;
}

/// The longest key of a record of another room, in bytes.
pub(crate) const MAX_KEY_LEN: usize = 1024;

/// The largest frame, in bytes: a full commit with its header.
pub(crate) const MAX_FRAME: usize = (64 << 20) + 4096;

/// The most events, streams and records of other rooms of one segment, beyond those of one append; bounds the memory of
/// the active one.
pub(crate) const MAX_SEGMENT_ENTRIES: usize = 1 << 20;

/// A version 7 UUID made within this many microseconds of its recording is looked for by its time.
pub(crate) const NEAR_MICROS: i64 = 60_000_000;
