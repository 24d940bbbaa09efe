//! Messages of input queues become events: each comes in in one append with the record that it did, so it comes in once. One that
//! can't is kept as a dead letter, with its error.

use std::sync::Arc;

use uuid::Uuid;

use super::DispatchError;
use super::arrivals::{LATER, NotNow, Vigil, admit, arrive, is_of_the_event, written};
use super::context::Context;
use super::database::MessageEntry;
use super::driver::Message;
use super::emitted::depth;
use super::prepare::cut;
use super::queue_record::{self, Happening, Origin, QueueGroup, QueueRecord};
use crate::event::{Envelope, Event, Scope};
use crate::log::{Address, Append, RecordKind};

/// How many bytes of messages go into one append, unless one is larger.
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

/// Returns the messages that are to be tried again: from the first that can't be written now on, so that order holds.
fn ingest(context: &Context, of: &QueueGroup, messages: &[MessageEntry]) -> Result<Vec<Address>, DispatchError> {
    let mut done = 0;
    while done < messages.len() {
        let (mut batch, mut size) = (Vec::new(), 0);
        for entry in messages.iter().skip(done) {
            let arriving = read(context, of, entry)?;
            size += arriving.size;
            if size > MAX_BATCH_BYTES && !batch.is_empty() {
                break;
            }
            batch.push(arriving);
        }
        let written = append(context, of, &batch)?;
        done += written;
        if written < batch.len() {
            break;
        }
    }
    Ok(messages.iter().skip(done).map(|message| message.address).collect())
}

fn read(context: &Context, of: &QueueGroup, entry: &MessageEntry) -> Result<Arriving, DispatchError> {
    let lost = || DispatchError::Record { address: entry.address };
    let records = context.store.records_with_key(RecordKind::Queue, entry.id.as_bytes())?;
    let record = records.iter().find(|record| record.address == entry.address).ok_or_else(lost)?;
    let Some(QueueRecord::Message(message)) = QueueRecord::decode(&record.body) else { return Err(lost()) };
    let schema = context.catalog.queue_options(&of.scope, of.queue.as_str()).and_then(|options| options.schema);
    let checked = schema.map_or(Ok(Ok(())), |schema| context.check_message(&schema, &message.data))?;
    let event = match checked {
        Ok(()) => event_of(context, entry.id, &message)?,
        Err(violation) => {
            Err(format!("the message breaks the schema of its queue {violation}; expected one that follows it"))
        }
    };
    Ok(Arriving { entry: entry.clone(), size: message.data.len(), event })
}

/// The event that a message is. It has the message's id, unless it states one; what a handler has put is caused by its event.
fn event_of(
    context: &Context,
    id: Uuid,
    message: &queue_record::Message,
) -> Result<Result<Event, String>, DispatchError> {
    let mut event = match parse(&message.scope, &message.data) {
        Ok(event) => event,
        Err(error) => return Ok(Err(error)),
    };
    event.id.get_or_insert(id);
    if let Origin::Call { event: cause, .. } = &message.origin
        && event.causation_id.is_none()
        && let Some(cause) = context.store.event(&message.scope, *cause)?
    {
        let (limit, depth) =
            (context.options.max_cascade_depth, depth(&context.store, &cause, context.options.max_cascade_depth)?);
        if depth >= limit {
            return Ok(Err(format!("the cascade is deeper than {limit} events (max_cascade_depth)")));
        }
        event.causation_id = Some(cause.id());
        event.correlation_id.get_or_insert(cause.correlation_id());
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

/// Has a batch come in: all in one append where that can be, else one by one. Returns how many are on record, of the first.
fn append(context: &Context, of: &QueueGroup, batch: &[Arriving]) -> Result<usize, DispatchError> {
    let happened = |append: Append, entry: &MessageEntry, what: Happening| {
        let record = QueueRecord::Happened { of: of.clone(), message: entry.address, what };
        append.record(RecordKind::Queue, entry.id.as_bytes().to_vec(), record.encode())
    };
    let refused = |append: Append, entry: &MessageEntry, error: &str| {
        tracing::warn!(error, scope = %of.scope, queue = %of.queue, message = %entry.id, "a message can't come in, and is kept");
        happened(append, entry, Happening::Refused { error: cut(error.to_owned(), context.options.max_error) })
    };
    let mut all = Append::to(&of.scope);
    for Arriving { entry, event, .. } in batch {
        match event {
            Err(error) => all = refused(all, entry, error),
            Ok(event) => {
                let mut event = event.clone();
                match admit(context, &of.scope, &mut event)? {
                    Ok(()) => {
                        let id = event.id.unwrap_or(entry.id);
                        all = happened(all.event(event), entry, Happening::Ingested { event: id });
                    }
                    Err(NotNow::Refused(error)) => all = refused(all, entry, &error),
                    Err(NotNow::Later) => return Ok(0),
                }
            }
        }
    }
    let is_of_records = all.events.is_empty();
    match context.store.append(all) {
        Ok(receipt) if is_of_records || !receipt.repeated => return Ok(batch.len()),
        // Some are known, or one is refused: each by itself.
        Ok(_) => {}
        Err(error) if is_of_the_event(&error) => {}
        other => return Ok(if written(other)? { batch.len() } else { 0 }),
    }
    for (done, Arriving { entry, event, .. }) in batch.iter().enumerate() {
        let is_written = match event {
            Err(error) => written(context.store.append(refused(Append::of_records(), entry, error)))?,
            Ok(event) => {
                let id = event.id.unwrap_or(entry.id);
                arrive(context, &of.scope, event.clone(), |append, error| match error {
                    None => happened(append, entry, Happening::Ingested { event: id }),
                    Some(error) => happened(append, entry, Happening::Refused { error }),
                })?
            }
        };
        if !is_written {
            return Ok(done);
        }
    }
    Ok(batch.len())
}
