//! Messages of input queues become events: each comes in in one append with the record that it did, so it comes in once. One that
//! can't is kept as a dead letter, with its error.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::DispatchError;
use super::arrivals::{
    Admission, Arrival, LATER, Refusal, Vigil, admit, arrive, is_of_the_event, not_admitted, written,
};
use super::context::Context;
use super::database::MessageEntry;
use super::driver::Message;
use super::emitted::depth;
use super::prepare::cut;
use super::queue_record::{self, Happening, Origin, QueueGroup, QueueRecord};
use crate::event::{Envelope, Event, Scope};
use crate::log::{Address, Append, RecordKind};

/// From how many bytes of messages on an append takes no more.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// The work of ingesting messages of an input queue, to be run where blocking is allowed.
pub(super) fn work(
    context: Arc<Context>,
    of: QueueGroup,
    messages: Vec<MessageEntry>,
) -> impl FnOnce() + Send + 'static {
    let vigil = Vigil::new(context);
    move || {
        vigil.watch(|context| match ingest(context, &of, &messages) {
            Ok(left) => {
                let at = (!left.is_empty()).then(|| context.after(LATER));
                context.mailbox.send(Message::Ingested { of, left, at });
            }
            Err(error) => context.mailbox.send(Message::Failed(error)),
        });
    }
}

/// What a message is to come in as.
struct Arriving {
    entry: MessageEntry,
    size: usize,
    /// The event; an error says why it can't come in.
    event: Result<Event, String>,
}

/// Returns the messages that are to be tried again.
fn ingest(context: &Context, of: &QueueGroup, messages: &[MessageEntry]) -> Result<Vec<Address>, DispatchError> {
    let mut rest = messages.iter().peekable();
    let mut left = Vec::new();
    while left.is_empty() && rest.peek().is_some() {
        let (mut batch, mut size) = (Vec::new(), 0);
        while size < MAX_BATCH_BYTES
            && let Some(entry) = rest.next()
        {
            match read(context, of, entry)? {
                Some(arriving) => {
                    size += arriving.size;
                    batch.push(arriving);
                }
                None => {
                    left.push(entry.address);
                    break;
                }
            }
        }
        // What can't be told now stands behind the batch.
        let later = std::mem::take(&mut left);
        left = append(context, of, &batch)?;
        left.extend(later);
    }
    left.extend(rest.map(|message| message.address));
    Ok(left)
}

/// `None` where it can't be told at the moment whether the message may come in.
fn read(context: &Context, of: &QueueGroup, entry: &MessageEntry) -> Result<Option<Arriving>, DispatchError> {
    let lost = || DispatchError::Record { address: entry.address };
    let records = context.store.records_with_key(RecordKind::Queue, entry.id.as_bytes())?;
    let record = records.iter().find(|record| record.address == entry.address).ok_or_else(lost)?;
    let Some(QueueRecord::Message(message)) = QueueRecord::decode(&record.body) else { return Err(lost()) };
    let schema = context.catalog.queue_options(&of.scope, of.queue.as_str()).and_then(|options| options.schema);
    let checked = schema.map_or(Ok(Ok(())), |schema| context.plans.router.check_message(&schema, &message.data));
    let event = match checked {
        Ok(Ok(())) => event_of(context, entry.id, &message)?,
        Ok(Err(violation)) => {
            Err(format!("the message breaks the schema of its queue {violation}; expected one that follows it"))
        }
        Err(error) => match not_admitted(&error) {
            Admission::Later => return Ok(None),
            _ => Err(format!("the schema of the queue: {error}")),
        },
    };
    Ok(Some(Arriving { entry: entry.clone(), size: message.data.len(), event }))
}

/// The event that a message is. It has the message's id, unless it states one.
fn event_of(
    context: &Context,
    id: Uuid,
    message: &queue_record::Message,
) -> Result<Result<Event, String>, DispatchError> {
    let mut event = match parse(&message.scope, &message.data) {
        Ok(event) => event,
        Err(error) => return Ok(Err(error)),
    };
    let id = *event.id.get_or_insert(id);
    if let Origin::Call { event: cause, .. } = &message.origin
        // A handler that puts its own event there adds nothing.
        && *cause != id
        && let Some(cause) = context.store.event(&message.scope, *cause)?
    {
        let limit = context.options.max_cascade_depth;
        if depth(&context.store, &cause, limit)? >= limit {
            return Ok(Err(format!("the cascade is deeper than {limit} events (max_cascade_depth)")));
        }
        // As of what a handler emits, whatever the message says: it may be made of the envelope of its cause.
        event.causation_id = Some(cause.id());
        event.correlation_id = Some(cause.correlation_id());
        event.variant = cause.variant().map(str::to_owned);
        event.actor = cause.actor().map(str::to_owned);
    }
    Ok(Ok(event))
}

/// An event in the form of a line of NDJSON; tenant and application are those of the queue, and may be left out.
fn parse(scope: &Scope, data: &[u8]) -> Result<Event, String> {
    let envelope = Envelope::from_json(data).map_err(|error| {
        format!("the message is not an event: {error}; expected a JSON object with type, stream and data")
    })?;
    let stated =
        [("tenant", &envelope.tenant, scope.tenant()), ("application", &envelope.application, scope.application())];
    for (field, found, own) in stated {
        if !found.is_empty() && **found != *own.as_str() {
            return Err(format!("{field} is {:?}; expected {own}, the queue's, or none", crate::event::excerpt(found)));
        }
    }
    envelope.to_event().map_err(|error| error.to_string())
}

/// Has a batch come in: what is new and what is refused in one append; each whose id is known by itself, since it may be
/// another event. Returns the messages that are to be tried again.
fn append(context: &Context, of: &QueueGroup, batch: &[Arriving]) -> Result<Vec<Address>, DispatchError> {
    let happened = |append: Append, entry: &MessageEntry, what: Happening| {
        let record = QueueRecord::Happened { of: of.clone(), message: entry.address, what };
        append.record(RecordKind::Queue, entry.id.as_bytes().to_vec(), record.encode())
    };
    let refused = |append: Append, entry: &MessageEntry, error: String| {
        happened(append, entry, Happening::Refused { error: cut(error, context.options.max_error) })
    };
    let (mut all, mut ids, mut alone, mut ready) = (Append::to(&of.scope), HashSet::new(), Vec::new(), 0);
    for Arriving { entry, event, .. } in batch {
        let mut event = match event {
            Ok(event) => event.clone(),
            Err(error) => {
                all = refused(all, entry, error.clone());
                ready += 1;
                continue;
            }
        };
        let id = event.id.unwrap_or(entry.id);
        match admit(context, &of.scope, &mut event)? {
            Admission::Admitted if ids.insert(id) => {
                all = happened(all.event(event), entry, Happening::Ingested { event: id });
            }
            Admission::Admitted | Admission::Known => alone.push((entry, event)),
            // It is kept, so what this process can't tell is told as well.
            Admission::Refused(error) | Admission::Unusable(error) => all = refused(all, entry, error),
            Admission::Later => break,
        }
        ready += 1;
    }
    let (ready, later) = batch.split_at_checked(ready).unwrap_or((batch, &[]));
    let is_of_records = all.events.is_empty();
    let appended = if is_of_records && all.records.is_empty() { None } else { Some(context.store.append(all)) };
    match appended {
        None => {}
        Some(Ok(receipt)) if is_of_records || !receipt.repeated => {}
        Some(Err(error)) if !is_of_the_event(&error) => {
            return match written(Err::<(), _>(error))? {
                true => Ok(Vec::new()),
                false => Ok(batch.iter().map(|arriving| arriving.entry.address).collect()),
            };
        }
        // One of them can't be appended, or has become known meanwhile.
        Some(_) => {
            let events = ready.iter().filter_map(|Arriving { entry, event, .. }| Some((entry, event.clone().ok()?)));
            alone = events.collect();
            let append = ready.iter().fold(Append::of_records(), |append, arriving| match &arriving.event {
                Ok(_) => append,
                Err(error) => refused(append, &arriving.entry, error.clone()),
            });
            if !append.records.is_empty() && !written(context.store.append(append))? {
                return Ok(batch.iter().map(|arriving| arriving.entry.address).collect());
            }
        }
    }
    let mut left = Vec::new();
    for (entry, event) in alone {
        let id = event.id.unwrap_or(entry.id);
        let is_on_record = left.is_empty()
            && Arrival::OnRecord
                == arrive(context, &of.scope, event, Refusal::IsKept, |append, error| match error {
                    None => happened(append, entry, Happening::Ingested { event: id }),
                    Some(error) => refused(append, entry, error),
                })?;
        if !is_on_record {
            left.push(entry.address);
        }
    }
    left.extend(later.iter().map(|arriving| arriving.entry.address));
    Ok(left)
}

/// The stream of the event that a message of an input queue is, as far as that can be told.
pub(super) fn stream_of(data: &[u8]) -> Option<String> {
    let found = serde_json::from_slice::<serde_json::Value>(data).ok()?;
    found.get("stream")?.as_str().map(str::to_owned)
}
