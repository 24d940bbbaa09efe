//! Packed segments: a sealed segment in a third of its bytes, and still the same segment. Every offset, CRC and byte that
//! the log speaks of is that of the plain segment, which a packed file gives back byte for byte; so indexes, the directory,
//! the chain of segments, recovery and salvage know nothing of it.
//!
//! ```text
//! file    = head, pages, head again, length of the head 4, "PACK"
//! head    = segment header of version 2 (64)
//!           length of the plain segment        4
//!           bytes of the dictionary            4
//!           dictionary
//!           where each page begins, and the last one ends, in this file    4 each
//!           CRC of salt and all before         4
//! page k  = the records that begin in bytes k * 16 KiB up to (k + 1) * 16 KiB of the plain segment; empty where none does
//! ```
//!
//! What a page holds is drawn in [`page`]. A record is found and decoded without its neighbours.

mod columns;
mod dictionary;
mod file;
#[cfg(any(all(test, feature = "compression"), fuzzing))]
mod hostile;
mod lz4;
mod page;
mod rows;
mod write;

#[cfg(all(test, feature = "compression"))]
mod tests;

pub(crate) use file::{DamagedPage, PackedFile, SegmentFile, check_built_in, open_file, open_plain};
#[cfg(fuzzing)]
pub(crate) use hostile::fuzz;
pub(crate) use write::pack;

/// Bytes of the plain segment that a page stands for.
pub(crate) const PAGE: usize = 16 << 10;
/// What is said of a page whose CRC doesn't match, or that says what can't be.
pub(crate) const PAGE_DAMAGED: &str = "the page that these bytes are packed in is damaged";
/// What is said where neither copy of the head is whole.
const HEAD_DAMAGED: &str = "the head of the packed segment is damaged, and so is its copy";
