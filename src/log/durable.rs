//! How far the log is durable, and who waits for more.

use super::ticket::Ticket;
use super::{Address, ReadError};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// The durable end. Readers see nothing at or after it.
#[derive(Debug)]
pub(crate) struct Durable {
    end: AtomicU64,
    position: AtomicU64,
    closed: AtomicBool,
    waiting: Mutex<Vec<Ticket<()>>>,
}

impl Durable {
    pub(crate) fn new(end: Address, position: u64) -> Self {
        Self {
            end: AtomicU64::new(end.to_u64()),
            position: AtomicU64::new(position),
            closed: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn end(&self) -> Address {
        Address::from_u64(self.end.load(Ordering::Acquire))
    }

    /// The position of the newest durable event, or 0.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Moves the end, and leaves it to the caller to [`wake`](Self::wake) who waits. What is before it must be visible
    /// already.
    pub(crate) fn set(&self, end: Address, position: u64) {
        self.position.store(position, Ordering::Release);
        self.end.store(end.to_u64(), Ordering::Release);
    }

    /// No more will become durable: whoever waits is told.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }

    /// Has all who wait look again.
    pub(crate) fn wake(&self) {
        // Who is woken may come here again, so the lock isn't held meanwhile.
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for ticket in waiting {
            ticket.set(());
        }
    }

    /// A ticket that is set with the next advance; `None` where the end is beyond `end` already.
    pub(crate) fn ticket(&self, end: Address) -> Result<Option<Ticket<()>>, ReadError> {
        let mut waiting = self.waiting.lock();
        // Under the lock, so that no advance falls between the look and the entry.
        if self.end() > end {
            return Ok(None);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(ReadError::Closed);
        }
        waiting.retain(|ticket| !ticket.is_abandoned());
        let ticket = Ticket::new();
        waiting.push(ticket.clone());
        Ok(Some(ticket))
    }

    /// Whether anybody waits for an advance.
    pub(crate) fn is_waited_for(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.retain(|ticket| !ticket.is_abandoned());
        !waiting.is_empty()
    }
}
