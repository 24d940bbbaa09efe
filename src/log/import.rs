//! Writing history as it was recorded elsewhere, into an empty store.

use std::sync::Arc;

use uuid::Uuid;

use super::core::Core;
use super::part::Horizon;
use super::prepared::{AsRecorded, Prepared};
use super::view::View;
use super::writer::Committed;
use super::{AppendError, Durability, ExpectedVersion};
use crate::event::{Envelope, VocabularyError};

/// Bytes of events after which what was pushed is written.
const BATCH: usize = 1 << 20;

/// History on its way into an empty store. Push events in order, then [`finish`](Self::finish); what was pushed is
/// durable only then.
#[derive(Debug)]
pub struct Import {
    core: Arc<Core>,
    batch: Option<Box<Prepared>>,
    next_position: u64,
}

impl Import {
    pub(super) fn new(core: Arc<Core>) -> Result<Self, AppendError> {
        let actual = core.written_position();
        if actual > 0 {
            let (stream, expected) = ("the whole log".to_owned(), ExpectedVersion::NoStream);
            return Err(AppendError::Conflict { stream, expected, actual });
        }
        Ok(Self { core, batch: None, next_position: 1 })
    }

    /// Adds the next event of history.
    ///
    /// # Errors
    /// [`AppendError::Event`] where the envelope is not well formed, lacks `id`, `version`, `position` or `recorded_at`,
    /// or is not the next by position, or its version is not the next of its stream; later pushes are possible.
    /// Otherwise as [`EventStore::append`](super::EventStore::append).
    pub fn push(&mut self, envelope: &Envelope<'_>) -> Result<(), AppendError> {
        let refuse = |what| AppendError::Event { index: 0, source: VocabularyError::Field { what } };
        let vocabulary = |source| AppendError::Event { index: 0, source };
        let scope = envelope.scope().map_err(vocabulary)?;
        let mut event = envelope.to_event().map_err(vocabulary)?;
        let id = envelope.id.ok_or_else(|| refuse("the field id is missing; history has it"))?;
        let version = envelope.version.ok_or_else(|| refuse("the field version is missing; history has it"))?;
        let recorded_at =
            envelope.recorded_at.ok_or_else(|| refuse("the field recorded_at is missing; history has it"))?;
        if envelope.position != Some(self.next_position) {
            return Err(refuse("the field position doesn't count 1, 2, 3; history has no gaps"));
        }
        let recorded_at = recorded_at.micros();
        let latest = self.batch.as_ref().and_then(|batch| batch.as_recorded).map(|recorded| recorded.recorded_at);
        if recorded_at < latest.unwrap_or_else(|| self.core.last_recorded()) {
            return Err(refuse(
                "the field recorded_at is before that of an earlier line; history never runs backwards",
            ));
        }
        event.revision = envelope.revision;
        // What the defaults would give again isn't stored.
        event.time = event.time.filter(|time| (time.micros(), time.offset_minutes()) != (recorded_at, 0));
        let (data, metadata) = event.check(&self.core.options.limits).map_err(vocabulary)?;
        let same_frame = self.batch.as_ref().is_some_and(|batch| {
            batch.size + data.bytes.len() + (64 << 10) < BATCH.min(self.core.options.max_commit)
                && batch.scope.as_ref() == Some(&scope)
                && batch.as_recorded.is_some_and(|recorded| recorded.recorded_at == recorded_at)
        });
        if !same_frame {
            self.flush(Durability::Deferred)?;
        }
        let core = self.core.clone();
        let view = core.current()?;
        let mut batch = self.batch.take().unwrap_or_else(|| {
            let mut batch = Prepared::new(Some(&scope), Durability::Deferred, &view);
            batch.as_recorded = Some(AsRecorded { first_position: self.next_position, recorded_at });
            batch
        });
        let expected = written_version(&batch, &view, &event.stream)? + 1;
        let result = if version != expected {
            Err(refuse("the field version doesn't count 1, 2, 3 in its stream; history has no gaps"))
        } else if batch.holds(id) || !view.find_id(batch.scope.as_ref(), id, Horizon::Written)?.is_empty() {
            Err(AppendError::RepeatedId { id })
        } else {
            let known_type = batch.find_type(&event.event_type);
            batch.event(&view, &event, id, known_type, data, metadata.map(|bytes| &bytes[..]))?;
            self.next_position += 1;
            batch.check_size(core.options.max_commit)
        };
        self.batch = Some(batch).filter(|batch| !batch.events.is_empty());
        result
    }

    fn flush(&mut self, durability: Durability) -> Result<(), AppendError> {
        if let Some(mut batch) = self.batch.take() {
            batch.durability = durability;
            let (scope, ids) = (batch.scope.clone(), batch.events.iter().map(|event| event.id).collect::<Vec<_>>());
            if let (Committed::Again, _) = self.core.commit(batch)? {
                // Somebody else has written one of them meanwhile.
                let view = self.core.current()?;
                let is_there = |id: &Uuid| -> Result<bool, AppendError> {
                    Ok(!view.find_id(scope.as_ref(), *id, Horizon::Written)?.is_empty())
                };
                for id in ids {
                    if is_there(&id)? {
                        return Err(AppendError::RepeatedId { id });
                    }
                }
                return Err(AppendError::Empty);
            }
        }
        Ok(())
    }

    /// Makes all that was pushed durable; says how many events that were.
    ///
    /// # Errors
    /// As [`EventStore::append`](super::EventStore::append).
    pub fn finish(mut self) -> Result<u64, AppendError> {
        self.flush(Durability::Sync)?;
        self.core.sync()?;
        Ok(self.next_position - 1)
    }
}

/// A stream's version after what is written and what the batch adds.
fn written_version(batch: &Prepared, view: &View, stream: &str) -> Result<u64, AppendError> {
    let written = match &batch.scope {
        Some(scope) => view.head(scope, stream, Horizon::Written)?.0,
        None => 0,
    };
    Ok(written + batch.known_stream(stream).map_or(0, |known| known.events))
}
