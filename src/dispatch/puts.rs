//! Messages that somebody puts into a queue from outside.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::DispatchError;
use super::claims::ClaimOf;
use super::dispatcher::{Dispatcher, blocking};
use super::driver::QueueQuestion;
use super::hold::Hold;
use super::inputs::stream_of;
use super::queue_record::{Message, Origin, QueueGroup, QueueRecord, stream_hash};
use crate::config::QueueOptions;
use crate::event::{Name, Scope, same_json};
use crate::log::{Append, EventStore, RecordKind};

/// A message to be [put](Dispatcher::put) into a queue.
///
/// ```
/// # use atlas::dispatch::NewMessage;
/// let message = NewMessage::new(&serde_json::json!({ "loan": "loan-1", "amount": 20000 })).stream("loan-1");
/// ```
#[derive(Clone, Debug)]
pub struct NewMessage {
    data: Result<Bytes, String>,
    id: Option<Uuid>,
    stream: Option<String>,
}

impl NewMessage {
    /// A message of what serialises as JSON. Of an input queue it is an event, as a line of NDJSON has it; `tenant` and
    /// `application` may be left out.
    pub fn new(data: &(impl Serialize + ?Sized)) -> Self {
        let data = serde_json::to_vec(data).map(Bytes::from).map_err(|error| error.to_string());
        Self { data, id: None, stream: None }
    }

    /// A message of JSON as it stands.
    pub fn json(data: impl Into<Bytes>) -> Self {
        Self { data: Ok(data.into()), id: None, stream: None }
    }

    /// States its id. A message that was put under it before isn't put again. Default: of an input queue the `id` of the
    /// event, where it states one; otherwise a new one.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = Some(id);
        self
    }

    /// States the stream that it is of: an ordered queue gives out messages of one stream in order. Default: of an input
    /// queue the `stream` of the event; otherwise none, and the message is given out whatever others wait for.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }
}

/// A message that may be put.
struct Checked {
    number: usize,
    /// `None`: one that nothing else has.
    id: Option<Uuid>,
    stream: Option<String>,
    data: Bytes,
}

impl Dispatcher {
    /// Puts messages into a queue: all of them, durable when this returns, or none. Gives their ids. A message whose id is
    /// known with the same data is there, or was, and isn't put again; so this can be repeated when its outcome isn't known.
    ///
    /// A message follows the [schema](crate::config::QueueOptions::schema) of its queue, or is refused; but that of an input
    /// queue is looked at when it is ingested, and one that breaks it is kept as a dead letter.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchQueue`]; [`DispatchError::Put`] where a message is no JSON or breaks the schema;
    /// [`DispatchError::MessageIdReused`]; [`DispatchError::QueueFull`]; [`DispatchError::Append`]; others where dispatch has
    /// stopped.
    pub async fn put(
        &self,
        scope: &Scope,
        queue: &Name,
        messages: impl IntoIterator<Item = NewMessage>,
    ) -> Result<Vec<Uuid>, DispatchError> {
        let Some(options) = self.context().catalog.queue_options(scope, queue.as_str()) else {
            let queues = self.context().catalog.queues(scope).into_keys().collect();
            return Err(DispatchError::NoSuchQueue { scope: scope.clone(), queue: queue.clone(), queues });
        };
        let (context, of, messages) = (self.context().clone(), options.clone(), messages.into_iter().collect());
        let mut checked = blocking(self.runtime(), move || {
            let schema = of.schema.as_ref().filter(|_| !of.ingest);
            let follows = |data: &[u8]| schema.map_or(Ok(Ok(())), |schema| context.check_message(schema, data));
            check(messages, &of, follows)
        })
        .await?;
        // Whoever else puts under one of these ids waits, and then finds it known.
        let ids: BTreeSet<_> =
            checked.iter().filter_map(|message| Some((ClaimOf::Message, scope.clone(), message.id?))).collect();
        let claim = match ids.is_empty() {
            true => None,
            false => Some(self.context().claims.claim(ids).await),
        };
        let (store, of, in_queue) = (self.context().store.clone(), scope.clone(), queue.clone());
        let (ids, new) = blocking(self.runtime(), move || {
            let now = store.environment().clock.now_micros();
            let mut new = BTreeMap::new();
            let mut ids = Vec::with_capacity(checked.len());
            for message in &mut checked {
                let is_stated = message.id.is_some();
                let id = *message.id.get_or_insert_with(|| store.environment().entropy.uuid_v7(now));
                ids.push(id);
                if is_stated && is_known(&store, (&of, &in_queue), (id, message), &new)? {
                    continue;
                }
                new.insert(id, (message.data.clone(), message.stream.take()));
            }
            // In the order in which they were given.
            let order = ids.iter().filter_map(|id| Some((*id, new.remove(id)?)));
            Ok((ids.clone(), order.collect::<Vec<_>>()))
        })
        .await?;
        if new.is_empty() {
            return Ok(ids);
        }
        let group = QueueGroup { scope: scope.clone(), queue: queue.clone(), group: None };
        let count = new.len() as u64;
        let room = match options.max_depth {
            Some(_) => self.ask_queue(&group, |reply| QueueQuestion::Reserve { count, reply }).await?,
            None => Hold::of_nothing(self.context()),
        };
        let mut append = Append::of_records();
        for (id, (data, stream)) in new {
            let message = Message {
                scope: scope.clone(),
                queue: queue.clone(),
                origin: Origin::Outside { actor: self.acting() },
                data,
                stream: stream.filter(|_| options.ordered).map(|stream| stream_hash(&stream)),
                groups: options.groups.clone(),
            };
            append = append.record(RecordKind::Queue, id.as_bytes().to_vec(), QueueRecord::Message(message).encode());
        }
        self.append_claimed(claim, room, append).await?;
        Ok(ids)
    }
}

fn check(
    messages: Vec<NewMessage>,
    options: &QueueOptions,
    follows: impl Fn(&[u8]) -> Result<Result<(), crate::config::Violation>, DispatchError>,
) -> Result<Vec<Checked>, DispatchError> {
    let mut checked = Vec::with_capacity(messages.len());
    for (NewMessage { data, mut id, mut stream }, number) in messages.into_iter().zip(1..) {
        let refused = |what: String| DispatchError::Put { number, what };
        let data = data.map_err(|error| refused(format!("it can't be serialised: {error}; expected JSON")))?;
        let json = serde_json::from_slice::<&RawValue>(&data);
        json.map_err(|error| refused(format!("it is not JSON: {error}; expected a JSON value")))?;
        if let Err(violation) = follows(&data)? {
            return Err(refused(format!(
                "it breaks the schema of the queue {violation}; expected one that follows it"
            )));
        }
        if options.ingest
            && let Ok(found) = serde_json::from_slice::<serde_json::Value>(&data)
        {
            // What is wrong in it is told when it is to come in.
            id = id.or_else(|| Uuid::parse_str(found.get("id")?.as_str()?).ok());
            stream = stream.or_else(|| stream_of(&data));
        }
        checked.push(Checked { number, id, stream, data });
    }
    Ok(checked)
}

/// Messages to be put, by id.
type New = BTreeMap<Uuid, (Bytes, Option<String>)>;

/// Whether a message was put before, or stands among those that are to be put already. An error says that another one has
/// its id.
fn is_known(
    store: &EventStore,
    (scope, queue): (&Scope, &Name),
    (id, message): (Uuid, &Checked),
    new: &New,
) -> Result<bool, DispatchError> {
    let reused = |queue: &Name| DispatchError::MessageIdReused { number: message.number, id, queue: queue.clone() };
    if let Some((data, _)) = new.get(&id) {
        return if same_json(data, &message.data) { Ok(true) } else { Err(reused(queue)) };
    }
    for found in store.records_with_key(RecordKind::Queue, id.as_bytes())? {
        let record = QueueRecord::decode(&found.body).ok_or(DispatchError::Record { address: found.address })?;
        let QueueRecord::Message(known) = record else { continue };
        if known.scope != *scope {
            continue;
        }
        if known.queue == *queue
            && matches!(known.origin, Origin::Outside { .. })
            && same_json(&known.data, &message.data)
        {
            return Ok(true);
        }
        return Err(reused(&known.queue));
    }
    Ok(false)
}
