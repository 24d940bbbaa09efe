//! Indexes: of the active segment in memory, of a sealed one in its `.idx`, over all in the directory's `.dir` files.
//! All are derived from the segments.

mod checked_file;
mod directory;
mod file;
mod hash;
mod memory;
mod symbols;
#[cfg(test)]
mod tests;

pub(crate) use checked_file::{CheckedFile, Healer, is_older};
pub(crate) use directory::{Directory, StreamPlace};
pub(crate) use file::{IndexFile, StreamRow, Summary, index_name};
pub(crate) use hash::{KeyHash, StreamHash};
pub(crate) use memory::{FrameEntry, KeyframeEntry, MemoryIndex, NewEvent, StreamEntry, v7_micros};
pub(crate) use symbols::Symbol;
