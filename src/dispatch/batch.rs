//! Deliveries to queues: many at a time, each message and the record that its delivery is complete in one append. There
//! is no call, so there is nothing between the two that could go wrong halfway.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::failure;
use super::context::{Context, Job};
use super::driver::Message;
use super::emitted::derived_id;
use super::inputs::stream_of;
use super::prepare::{Data, Prepared, completed, envelope_json, prepare, with_record};
use super::queue_record::{self, Origin, QueueRecord, stream_hash};
use super::{DispatchError, HandlerError, Outcome};
use crate::config::Target;
use crate::log::{Append, AppendError, RecordKind, RecordedEvent};

/// How many bytes of messages go into one append, unless one is larger.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// When deliveries that found the disk full are tried again.
const NO_SPACE_WAIT: Duration = Duration::from_secs(1);

/// Tells dispatch that the batch has ended, or that it vanished with the runtime.
struct Vigil {
    context: Arc<Context>,
    ended: bool,
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.context.mailbox.send(if self.ended { Message::BatchEnded } else { Message::Lost });
    }
}

/// The work of one batch, to be run where blocking is allowed.
pub(super) fn work(context: Arc<Context>, jobs: Vec<Job>) -> impl FnOnce() + Send + 'static {
    let vigil = Vigil { context, ended: false };
    move || {
        let mut vigil = vigil;
        if let Err(error) = run(&vigil.context, jobs) {
            vigil.context.mailbox.send(Message::Failed(error));
        }
        vigil.ended = true;
    }
}

/// A delivery with its records.
struct Entry {
    job: Job,
    event: RecordedEvent,
    append: Append,
    size: usize,
}

fn run(context: &Context, jobs: Vec<Job>) -> Result<(), DispatchError> {
    let (mut entries, mut size) = (Vec::with_capacity(jobs.len()), 0);
    for job in jobs {
        let entry = entry(context, job)?;
        if size + entry.size > MAX_BATCH_BYTES && !entries.is_empty() {
            append(context, std::mem::take(&mut entries))?;
            size = 0;
        }
        size += entry.size;
        entries.push(entry);
    }
    append(context, entries)
}

fn entry(context: &Context, job: Job) -> Result<Entry, DispatchError> {
    let Prepared { event, data, .. } = match prepare(context, &job)? {
        Ok(prepared) => prepared,
        Err(error) => {
            let event = context.event_at(job.start.position)?;
            let append = failure(context, &job, &event, &error);
            return Ok(Entry { job, event, append, size: 0 });
        }
    };
    let (mut append, mut size) = (Append::of_records(), 0);
    if let Some(handler) = job.handler()
        && let Target::Queue(queue) = &handler.target
    {
        let data = match data {
            Data::Envelope => vec![envelope_json(&event)],
            Data::Outputs(data) => data,
        };
        let options = context.catalog.queue_options(event.scope(), queue.as_str()).unwrap_or_default();
        for (data, call) in data.into_iter().zip(1..) {
            let error = match &options.schema {
                // What an input queue has is looked at when it comes in.
                Some(schema) if !options.ingest => match context.plans.router.check_message(schema, &data) {
                    Ok(checked) => checked.err().map(|violation| {
                        HandlerError::Fatal(format!("message {call} breaks the schema of queue {queue} {violation}"))
                    }),
                    // Another process may be able to use it, or this one later.
                    Err(error) => Some(HandlerError::Retry(format!("the schema of queue {queue}: {error}"))),
                },
                _ => None,
            };
            if let Some(error) = error {
                let append = failure(context, &job, &event, &error);
                return Ok(Entry { job, event, append, size: 0 });
            }
            size += data.len();
            // Of what comes in its own stream counts, as of what is put from outside.
            let stream = options.ordered.then(|| match options.ingest.then(|| stream_of(&data)).flatten() {
                Some(stream) => stream_hash(&stream),
                None => stream_hash(event.stream()),
            });
            let id = derived_id(&event, &handler.name, call, 1);
            let message = QueueRecord::Message(queue_record::Message {
                scope: event.scope().clone(),
                queue: queue.clone(),
                origin: Origin::Call { event: event.id(), handler: handler.name.clone(), call },
                data,
                stream,
                groups: options.groups.clone(),
            });
            append = append.record(RecordKind::Queue, id.as_bytes().to_vec(), message.encode());
        }
    }
    append = with_record(append, &event, &job, &completed(Outcome::Success, job.attempt(), None));
    Ok(Entry { job, event, append, size })
}

fn append(context: &Context, entries: Vec<Entry>) -> Result<(), DispatchError> {
    let Some((first, rest)) = entries.split_first() else { return Ok(()) };
    let mut all = first.append.clone();
    for entry in rest {
        all.records.extend(entry.append.records.iter().cloned());
    }
    match context.store.append(all) {
        Ok(_) => Ok(()),
        Err(AppendError::TooLarge { .. }) if !rest.is_empty() => {
            entries.into_iter().try_for_each(|entry| append(context, vec![entry]))
        }
        Err(error @ AppendError::TooLarge { .. }) => {
            let error = HandlerError::Fatal(format!("the message: {error}"));
            match context.store.append(failure(context, &first.job, &first.event, &error)) {
                Ok(_) => Ok(()),
                Err(error) if error.is_full_disk() => give_back(context, entries),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) if error.is_full_disk() => give_back(context, entries),
        Err(error) => Err(error.into()),
    }
}

fn give_back(context: &Context, entries: Vec<Entry>) -> Result<(), DispatchError> {
    let starts = entries.into_iter().map(|entry| entry.job.start).collect();
    context.mailbox.send(Message::GiveBack { starts, at: context.after(NO_SPACE_WAIT) });
    Ok(())
}
