//! Growth: Atlas and the limit at several sizes of the log, and at many streams. Stores are filled by bulk appends and no
//! list of events is held, so that a size may be larger than memory. A mode of its own, not one of the rows.
//!
//! A size at a time: the limit's file is written, brought into the page cache and read; then it goes, and Atlas's store is
//! filled, closed, opened, brought into the page cache, read, and written to. They don't take turns, as the two together
//! may be more than the page cache holds; the table says how much of each was in it.

mod memory;
mod raw_log;
mod reads;
mod shape;
mod size;
pub mod table;

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::peer::Result;
use crate::progress::Progress;

pub use size::Size;
use table::Column;

/// Events of an append while filling.
const BATCH: u64 = 1_000;

/// What growth works with.
pub struct Setup {
    pub dir: PathBuf,
    pub runtime: Runtime,
    pub progress: Progress,
    /// How long a sample that goes by time takes.
    pub time: Duration,
    pub repetitions: usize,
}

pub fn run(setup: &Setup, sizes: &[Size]) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for size in sizes {
        columns.push(size::measure(setup, *size)?);
        setup.progress.step();
    }
    Ok(columns)
}
