//! History that was recorded elsewhere: its events never have deliveries.
//!
//! The record that says so comes last, since nothing in the log may be older than what stands before it, and all of
//! history is. Until then a file says that what is in the log is history: a process that ends halfway must not leave
//! events that are dispatched.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::DispatchError;
use super::context::Context;
use super::driver::Message;
use super::hold::Hold;
use super::record::{IMPORTED_KEY, decode_imported, encode_imported};
use crate::event::Envelope;
use crate::log::{Append, AppendError, EventStore, Import, ReadError, RecordKind};

/// Stands in the data directory while an import of history is under way.
const UNFINISHED: &str = "import.unfinished";

/// An import of history, into a store without events. Push events in order of their positions, from 1 on and without
/// gaps, then [`finish`](Self::finish). Both may block. Dropped without, it ends at the last event that was pushed. No
/// event is ingested while it is under way.
#[derive(Debug)]
pub struct HistoryImport {
    context: Arc<Context>,
    /// `None` once it has ended.
    import: Option<Import>,
}

/// Keeps events from being ingested, for an import that is about to begin. The thread of dispatch has it, and opens it again
/// should there be no import: only once nothing that comes is taken for history any more.
pub(super) struct Gate {
    context: Arc<Context>,
    /// Up to where events were history before; `None` once that is another's to say.
    before: Option<u64>,
}

impl Gate {
    /// Closes it, where no import is under way, and waits for what is being ingested.
    pub(super) async fn close(context: &Arc<Context>) -> Result<Self, DispatchError> {
        let before = context.imported.swap(u64::MAX, Ordering::SeqCst);
        if before == u64::MAX {
            return Err(DispatchError::ImportUnderWay);
        }
        let gate = Self { context: context.clone(), before: Some(before) };
        loop {
            // Before it is looked, so that none that ends meanwhile is missed.
            let ended = context.ingested.notified();
            if context.ingesting.load(Ordering::SeqCst) == 0 {
                break;
            }
            ended.await;
        }
        // Whoever stopped waiting has left an append in the queue: this one is behind it.
        context.store.sync_async().await?;
        Ok(gate)
    }

    /// The import has ended, and has said up to where events are history.
    pub(super) fn leave(mut self) {
        self.before = None;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // An import that has begun says itself when it ends; without the thread of dispatch the next open does.
        if let Some(before) = self.before.take()
            && !self.context.import_has_begun.load(Ordering::SeqCst)
        {
            let _ = self.context.imported.compare_exchange(u64::MAX, before, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

/// An event is being ingested.
pub(crate) struct Ingesting<'a>(&'a Context);

impl<'a> Ingesting<'a> {
    /// `None` while an import is under way, or about to begin.
    pub(super) fn begin(context: &'a Context) -> Option<Self> {
        context.ingesting.fetch_add(1, Ordering::SeqCst);
        let this = Self(context);
        (context.imported.load(Ordering::SeqCst) != u64::MAX).then_some(this)
    }
}

impl Drop for Ingesting<'_> {
    fn drop(&mut self) {
        if self.0.ingesting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ingested.notify_waiters();
        }
    }
}

impl HistoryImport {
    /// `hold` keeps the thread of dispatch from bringing events of its own, until the import has ended.
    pub(super) fn begin(context: Arc<Context>, hold: Hold) -> Result<Self, DispatchError> {
        let import = context.store.import_as_recorded()?;
        let disk = &context.store.environment().disk;
        context.import_has_begun.store(true, Ordering::SeqCst);
        if let Err(error) = disk.create(UNFINISHED).and_then(|_| disk.sync_dir("")) {
            // As long as the file stands, what comes is history: nothing may come then.
            if disk.remove(UNFINISHED).is_ok() || matches!(is_unfinished(&context.store), Ok(false)) {
                context.import_has_begun.store(false, Ordering::SeqCst);
            }
            return Err(ReadError::io(UNFINISHED)(error).into());
        }
        context.import_abandoned.store(false, Ordering::Release);
        hold.end();
        Ok(Self { context, import: Some(import) })
    }

    /// Adds the next event.
    ///
    /// # Errors
    /// [`AppendError`] where the envelope isn't complete or isn't the next one.
    pub fn push(&mut self, envelope: &Envelope<'_>) -> Result<(), AppendError> {
        match &mut self.import {
            Some(import) => import.push(envelope),
            None => Err(AppendError::Closed),
        }
    }

    /// Makes all of it durable; returns how many events it has.
    ///
    /// # Errors
    /// [`DispatchError::Append`] where the log can't be written.
    pub fn finish(mut self) -> Result<u64, DispatchError> {
        let Some(import) = self.import.take() else { return Err(DispatchError::Stopped) };
        let ended = finish(&self.context, import);
        if ended.is_err() {
            self.abandon(None);
        }
        ended
    }

    /// Leaves it to the thread of dispatch to end the import, since that may block.
    fn abandon(&mut self, import: Option<Import>) {
        self.context.import_abandoned.store(true, Ordering::Release);
        self.context.mailbox.send(Message::EndHistory { import, reply: None });
    }
}

impl Drop for HistoryImport {
    fn drop(&mut self) {
        if let Some(import) = self.import.take() {
            self.abandon(Some(import));
        }
    }
}

/// Ends the import with all that was pushed; returns how many events that were.
pub(super) fn finish(context: &Context, import: Import) -> Result<u64, DispatchError> {
    let events = import.finish()?;
    end(&context.store, events)?;
    context.import_has_begun.store(false, Ordering::SeqCst);
    context.imported.store(events, Ordering::SeqCst);
    context.import_abandoned.store(false, Ordering::Release);
    Ok(events)
}

/// Ends an import that was abandoned, with what came of it: nothing was ingested meanwhile. Does nothing where it has
/// ended.
pub(super) fn end_abandoned(context: &Context) -> Result<(), DispatchError> {
    end_unfinished(&context.store)?;
    let up_to = imported(&context.store)?;
    context.import_has_begun.store(false, Ordering::SeqCst);
    context.imported.store(up_to, Ordering::SeqCst);
    context.import_abandoned.store(false, Ordering::Release);
    Ok(())
}

/// Records up to which position events are history.
fn end(store: &EventStore, position: u64) -> Result<(), DispatchError> {
    store.append(Append::of_records().record(RecordKind::Delivery, IMPORTED_KEY, encode_imported(position)))?;
    let disk = &store.environment().disk;
    disk.remove(UNFINISHED).and_then(|()| disk.sync_dir("")).map_err(ReadError::io(UNFINISHED))?;
    Ok(())
}

/// Up to which position events are history: all of them while an import is under way.
pub(super) fn imported(store: &EventStore) -> Result<u64, DispatchError> {
    if is_unfinished(store)? {
        return Ok(u64::MAX);
    }
    let Some(found) = store.records_with_key(RecordKind::Delivery, IMPORTED_KEY)?.pop() else { return Ok(0) };
    decode_imported(&found.body).ok_or(DispatchError::Record { address: found.address })
}

/// Ends an import that a process left unfinished; called when a store is opened, before anything is ingested.
pub(super) fn end_unfinished(store: &EventStore) -> Result<(), DispatchError> {
    if store.is_read_only() {
        return Ok(());
    }
    if is_unfinished(store)? { end(store, store.last_position()) } else { Ok(()) }
}

fn is_unfinished(store: &EventStore) -> Result<bool, DispatchError> {
    let names = store.environment().disk.list("").map_err(ReadError::io("."))?;
    Ok(names.iter().any(|name| name == UNFINISHED))
}
