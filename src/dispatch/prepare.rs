//! The data of a delivery's calls: what the handler's `data` makes of the event, or the envelope where it has none. An
//! envelope follows from the event, so it is serialised only for who reads it, and needs no hash.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::DispatchError;
use super::context::{Context, Job};
use super::record::{Calls, DeliveryRecord, delivery_key};
use super::{HandlerError, Outcome};
use crate::log::{Append, RecordKind, RecordedEvent};
use crate::routing::{Constants, Handler, Input};

/// A delivery's calls, ready to be made.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) event: RecordedEvent,
    pub(super) data: Data,
    pub(super) calls: Calls,
}

/// What the calls of a delivery get.
#[derive(Debug)]
pub(super) enum Data {
    /// One call, which gets the envelope.
    Envelope,
    /// One call for each.
    Outputs(Vec<Bytes>),
}

impl Data {
    /// How many calls there are, and what must be the same in each attempt.
    fn calls(&self) -> Calls {
        match self {
            Self::Envelope => Calls { count: 1, data_hash: ENVELOPE },
            Self::Outputs(data) => {
                Calls { count: u32::try_from(data.len()).unwrap_or(u32::MAX), data_hash: hash(data) }
            }
        }
    }

    /// Whether the calls are those that the first attempt recorded.
    fn agrees_with(&self, recorded: Calls, event: &RecordedEvent) -> bool {
        match self {
            // Older records have the hash of the envelope.
            Self::Envelope if recorded.data_hash != ENVELOPE => {
                recorded == Self::Outputs(vec![envelope_json(event)]).calls()
            }
            _ => recorded == self.calls(),
        }
    }
}

/// Stands in the place of the hash where the data are the envelope.
const ENVELOPE: [u8; 32] = [0; 32];

/// The envelope as JSON.
pub(super) fn envelope_json(event: &RecordedEvent) -> Bytes {
    // All that an envelope holds are strings, numbers, and JSON as it stands: nothing in it can't be serialised.
    serde_json::to_vec(&event.envelope()).unwrap_or_default().into()
}

/// Works out the calls of a delivery. The inner error is a failure of the delivery, for good: expressions give the same
/// every time.
pub(super) fn prepare(context: &Context, job: &Job) -> Result<Result<Prepared, HandlerError>, DispatchError> {
    let event = context.event_at(job.start.position)?;
    let Some(handler) = job.handler() else { return Err(DispatchError::Stopped) };
    let fatal = |what: &str, error: &dyn std::error::Error| Ok(Err(HandlerError::Fatal(format!("{what}: {error}"))));
    // Nothing is shared with what panics, so nothing is left halfway.
    let data = match catch_unwind(AssertUnwindSafe(|| outputs(handler, &job.plan.constants, &event, job.guard_failed)))
    {
        Ok(Ok(data)) => data,
        Ok(Err((what, error))) => return fatal(what, &*error),
        Err(_) => return Ok(Err(HandlerError::Fatal("working out the data panicked".to_owned()))),
    };
    let calls = data.calls();
    if let Some(recorded) = job.state.calls
        && !data.agrees_with(recorded, &event)
    {
        let what = format!(
            "the data of the calls differ from those of the first attempt ({} calls then, {} now)",
            recorded.count, calls.count
        );
        return Ok(Err(HandlerError::Fatal(what)));
    }
    Ok(Ok(Prepared { event, data, calls }))
}

type Fault = (&'static str, Box<dyn std::error::Error>);

fn outputs(handler: &Handler, constants: &Constants, event: &RecordedEvent, guard_failed: bool) -> Result<Data, Fault> {
    let input = || Input::of(event, constants).map_err(|error| -> Fault { ("the envelope", error.into()) });
    if guard_failed && let Some(when) = &handler.when {
        // Asked again for the error alone, which was not kept.
        when.first_is_true(&input()?).map_err(|error| -> Fault { ("when", error.into()) })?;
    }
    match &handler.data {
        Some(data) => data.outputs(&input()?).map(Data::Outputs).map_err(|error| ("data", error.into())),
        None => Ok(Data::Envelope),
    }
}

/// SHA-256 over the data of all calls, each with its length in front.
fn hash(data: &[Bytes]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for data in data {
        hash.update((data.len() as u64).to_le_bytes());
        hash.update(data);
    }
    hash.finalize().into()
}

/// The record that a delivery is complete.
pub(super) fn completed(outcome: Outcome, attempts: u32, error: Option<String>) -> DeliveryRecord {
    DeliveryRecord::Completed { outcome, attempts, output: None, error, emitted: Vec::new() }
}

/// Adds a record of the job's delivery to an append.
pub(super) fn with_record(append: Append, event: &RecordedEvent, job: &Job, record: &DeliveryRecord) -> Append {
    let Some(handler) = job.handler() else { return append };
    let key = delivery_key(event.scope(), event.id(), handler.name.as_str());
    append.record(RecordKind::Delivery, key, record.encode(event.position()))
}

/// Adds the records that a delivery has failed, and that so have those that it stops.
pub(super) fn with_failure(append: Append, event: &RecordedEvent, job: &Job, failure: &DeliveryRecord) -> Append {
    let append = with_record(append, event, job, failure);
    let Some(handler) = job.handler() else { return append };
    with_stopped(append, event, handler.name.as_str(), job.stops.iter().map(crate::event::Name::as_str))
}

/// Adds the records that handlers are stopped because an earlier one of the event has failed.
pub(super) fn with_stopped<'n>(
    mut append: Append,
    event: &RecordedEvent,
    failed: &str,
    stopped: impl Iterator<Item = &'n str>,
) -> Append {
    for name in stopped {
        let record = completed(Outcome::Failure, 0, Some(format!("stopped: handler {failed} failed")));
        let key = delivery_key(event.scope(), event.id(), name);
        append = append.record(RecordKind::Delivery, key, record.encode(event.position()));
    }
    append
}

/// At most `limit` bytes of an error's text.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::log::EventStore;

    #[test]
    fn an_envelope_agrees_with_what_was_recorded_with_and_without_its_hash() {
        let store = EventStore::in_memory().unwrap();
        let event = Event::new("LOAN_OFFER_SENT_COMPLETE_1", "loan-1").json(&b"{\"rate\": 3}"[..]);
        store.append(Append::to(&"bank/loans".parse().unwrap()).event(event)).unwrap();
        let event = store.event_at(1).unwrap().unwrap();
        let calls = |count, data_hash| Calls { count, data_hash };
        let hashed = hash(&[envelope_json(&event)]);
        assert!(Data::Envelope.agrees_with(Data::Envelope.calls(), &event));
        assert!(Data::Envelope.agrees_with(calls(1, hashed), &event), "as recorded before");
        assert!(!Data::Envelope.agrees_with(calls(1, [7; 32]), &event));
        assert!(!Data::Envelope.agrees_with(calls(2, ENVELOPE), &event));
        let outputs = Data::Outputs(vec![Bytes::from_static(b"1")]);
        assert!(outputs.agrees_with(outputs.calls(), &event));
        assert!(!outputs.agrees_with(calls(1, ENVELOPE), &event));
    }
}
