//! A fence around files that others than the log keep in its directory: nobody writes to them once it is let go, as they
//! may be the next holder's by then. It may have writers wait for room on a full disk.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::sync::RwLock;

/// Waits a while for room on the disk; `false` gives up.
type WaitForRoom = Arc<dyn Fn() -> bool + Send + Sync>;

/// Open at first. Clones are one fence.
#[derive(Clone, Default)]
pub(crate) struct Fence {
    is_closed: Arc<RwLock<bool>>,
    wait_for_room: Option<WaitForRoom>,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Fence {
    /// The same fence, with writers that wait while the disk is full, as long as `wait` says so: an error would be the end of
    /// the database that gets it.
    pub(crate) fn waiting_for_room(&self, wait: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_closed: self.is_closed.clone(), wait_for_room: Some(Arc::new(wait)) }
    }

    /// Works where the fence is open; it stays open until that is done.
    pub(crate) fn pass<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let is_closed = self.is_closed.read();
        if *is_closed {
            return Err(io::Error::other("the store is closed, and the file may be another's"));
        }
        work()
    }

    /// As [`pass`](Self::pass), of what may be tried again where it finds the disk full.
    pub(crate) fn pass_with_room<T>(&self, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            match self.pass(&work) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
                        && self.wait_for_room.as_ref().is_some_and(|wait| wait()) => {}
                other => return other,
            }
        }
    }

    /// Shuts it for good, once nobody writes any more.
    pub(crate) fn close(&self) {
        *self.is_closed.write() = true;
    }

    /// Whether it was shut.
    pub(crate) fn is_closed(&self) -> bool {
        *self.is_closed.read()
    }
}
