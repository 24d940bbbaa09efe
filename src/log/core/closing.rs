//! The end: a clean close, or letting go of the directory without one.

use std::sync::Arc;

use super::Core;
use crate::log::derived::scan_sealed;
use crate::log::format::{ClosingReason, SEGMENT_HEADER_LEN};
use crate::log::writer::{Failure, Writer};
use crate::log::{AppendError, ReadError};
use crate::sync::Ordering;

impl Core {
    /// Closes the log: commits what is queued, writes a closing frame and the tail's index where anything changed. Whoever
    /// closes it again waits for the first to be done, and is told the same.
    pub(crate) fn close(self: &Arc<Self>) -> Result<(), AppendError> {
        if !self.opened_by.is_current() {
            return Err(AppendError::Forked { opened_by: self.opened_by.id() });
        }
        let mut closed = self.closed.lock();
        match &*closed {
            Some(result) => result.clone(),
            None => closed.insert(self.close_once()).clone(),
        }
    }

    fn close_once(self: &Arc<Self>) -> Result<(), AppendError> {
        self.queue.close();
        let result = self.close_log();
        if !self.is_read_only() {
            // So that the next open has nothing to make up for.
            if let Err(error) = self.seal_all() {
                tracing::warn!(%error, "a segment could not be indexed; the next open does it");
            }
        }
        self.closing.store(true, Ordering::Release);
        self.let_go();
        result
    }

    /// Ends all work, then lets go of the directory: last, so that nobody else opens what is still being written.
    fn let_go(self: &Arc<Self>) {
        self.durable.close();
        self.environment.scheduler.stop();
        // What is queued behind the very job that lets go of the store.
        while let Some(batch) = self.queue.next_batch() {
            self.commit_batch(batch);
        }
        self.sealed.derived.release();
        self.fence.close();
        let _writer = self.writer.as_ref().map(|writer| writer.lock());
        self.lock.lock().take();
    }

    fn close_log(&self) -> Result<(), AppendError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let mut writer = writer.lock();
        if let Some(error) = &*self.poison.lock() {
            return Err(error.clone());
        }
        if !self.changed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check_held()?;
        let end = if writer.is_closed() {
            writer.synced_to
        } else {
            let ended = writer.close_segment(ClosingReason::Closed, self.options.segment_size);
            let end = ended.map_err(|failure| self.fail(failure))?;
            self.publish(&writer, end)?;
            end
        };
        self.write_tail_index(&writer)?;
        if let Some(lock) = &*self.lock.lock() {
            lock.set_clean(end).map_err(|source| self.fail(Failure::Poisoned { operation: "sync", source }))?;
        }
        Ok(())
    }

    /// Writes the index of the tail, unless the one of an earlier close lacks so little that the next open can scan it, or
    /// the disk doesn't take it: then the next open makes it.
    fn write_tail_index(&self, writer: &Writer) -> Result<(), ReadError> {
        const SMALL: u32 = 4 << 10;
        let index = writer.part.index.read();
        if index.start > SEGMENT_HEADER_LEN as u32 && index.end - index.start <= SMALL.max(index.end / 256) {
            return Ok(());
        }
        let number = writer.part.segment.number();
        if index.start == SEGMENT_HEADER_LEN as u32 {
            return self.sealed.derived.write_or_keep_index(number, &index).map(drop);
        }
        let scan = scan_sealed(&writer.part.segment, index.hash().clone())?;
        self.sealed.derived.write_or_keep_index(number, &scan.index).map(drop)
    }

    /// Lets go of the directory without ending the log: for when the last handle is dropped.
    pub(crate) fn abandon(self: &Arc<Self>) {
        if self.closing.swap(true, Ordering::AcqRel) || !self.opened_by.is_current() {
            return;
        }
        // What was queued already is still committed.
        self.let_go();
    }
}
