//! A fence around files that others than the log keep in its directory: nobody writes to them once it is let go, as they
//! may be the next holder's by then.

use std::io;
use std::sync::Arc;

use crate::sync::RwLock;

/// Open at first. Clones are one fence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<RwLock<bool>>);

impl Fence {
    /// Writes where the fence is open; it stays open until that is done.
    pub(crate) fn pass<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let is_closed = self.0.read();
        if *is_closed {
            return Err(io::Error::other("the store is closed, and the file may be another's"));
        }
        write()
    }

    /// Shuts it for good, once nobody writes any more.
    pub(crate) fn close(&self) {
        *self.0.write() = true;
    }

    /// Whether it was shut.
    pub(crate) fn is_closed(&self) -> bool {
        *self.0.read()
    }
}
