//! History that was recorded elsewhere: its events never have deliveries.

use super::DispatchError;
use super::record::{IMPORTED_KEY, decode_imported, encode_imported};
use crate::event::Envelope;
use crate::log::{Append, AppendError, EventStore, Import, RecordKind};

/// Says that the import which it began hasn't ended: all that is there is history.
const UNFINISHED: u64 = u64::MAX;

/// An import of history, into a store without events. Push events in order of their positions, from 1 on and without
/// gaps, then [`finish`](Self::finish). Both may block.
#[derive(Debug)]
pub struct HistoryImport {
    store: EventStore,
    import: Import,
}

impl HistoryImport {
    pub(crate) fn begin(store: EventStore) -> Result<Self, DispatchError> {
        let import = store.import_as_recorded()?;
        // Before the first event: should the process end halfway, what was written is history all the same.
        store.append(record(UNFINISHED))?;
        Ok(Self { store, import })
    }

    /// Adds the next event.
    ///
    /// # Errors
    /// [`AppendError`] where the envelope isn't complete or isn't the next one.
    pub fn push(&mut self, envelope: &Envelope<'_>) -> Result<(), AppendError> {
        self.import.push(envelope)
    }

    /// Makes all of it durable; returns how many events it has.
    ///
    /// # Errors
    /// [`AppendError`] where the log can't be written.
    pub fn finish(self) -> Result<u64, AppendError> {
        let events = self.import.finish()?;
        self.store.append(record(events))?;
        Ok(events)
    }
}

fn record(position: u64) -> Append {
    Append::of_records().record(RecordKind::Delivery, IMPORTED_KEY, encode_imported(position))
}

/// Up to which position events are history. An import that never finished is ended where the log ends.
pub(super) fn imported(store: &EventStore) -> Result<u64, DispatchError> {
    let Some(found) = store.records_with_key(RecordKind::Delivery, IMPORTED_KEY)?.pop() else { return Ok(0) };
    decode_imported(&found.body).ok_or(DispatchError::Record { address: found.address })
}

/// Ends an import that a process left unfinished; called when a store is opened, before anything is ingested.
pub(super) fn end_unfinished(store: &EventStore) -> Result<(), DispatchError> {
    if imported(store)? == UNFINISHED && !store.is_read_only() {
        store.append(record(store.last_position()))?;
    }
    Ok(())
}
