//! Prepared appends that were committed, whose memory others use again: bounded in number and in bytes.

#![allow(clippy::vec_box, reason = "they are boxed in the queue, and kept as they are")]

use super::prepared::Prepared;
use crate::sync::Mutex;

/// The most that are kept.
const MAX: usize = 256;
/// The most bytes that they take together.
const MAX_BYTES: usize = 4 << 20;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    prepared: Vec<Box<Prepared>>,
    bytes: usize,
}

impl Spare {
    /// Takes one out, if there is any.
    pub(crate) fn take(&self) -> Option<Box<Prepared>> {
        let mut kept = self.0.lock();
        let prepared = kept.prepared.pop()?;
        kept.bytes = kept.bytes.saturating_sub(prepared.memory());
        Some(prepared)
    }

    /// Keeps those for which there is room.
    pub(crate) fn keep(&self, prepared: Vec<Box<Prepared>>) {
        let mut kept = self.0.lock();
        for prepared in prepared {
            let bytes = prepared.memory();
            if kept.prepared.len() < MAX && kept.bytes + bytes <= MAX_BYTES {
                kept.bytes += bytes;
                kept.prepared.push(prepared);
            }
        }
    }
}
