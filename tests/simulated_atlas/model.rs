//! What was done to an Atlas, and what must be found of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use atlas::dispatch::{NewMessage, Outcome, Phase};
use atlas::log::Query;
use atlas::{Atlas, Event, Uuid};
use serde_json::{Value, json};

use crate::tree::{INBOX, SCORED, SENT, loans, mark, scope};

/// The events that the function was called for, with success.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<HashSet<Uuid>>>);

impl Calls {
    pub(crate) fn add(&self, id: Uuid) {
        self.0.lock().unwrap().insert(id);
    }

    fn contains(&self, id: Uuid) -> bool {
        self.0.lock().unwrap().contains(&id)
    }
}

/// Event number `number` that is sent.
pub(crate) fn event(number: u64) -> Event {
    Event::new(SENT, stream(number)).id(id(number)).data(&data(number))
}

/// The same, as a message of the input queue.
pub(crate) fn message(number: u64) -> NewMessage {
    NewMessage::new(&json!({ "type": SENT, "stream": stream(number), "id": id(number), "data": data(number) }))
}

fn data(number: u64) -> Value {
    json!({ "n": number, "items": [1, 2], "text": "x".repeat((number * 37 % 500) as usize) })
}

fn stream(number: u64) -> String {
    format!("loan-{}", number % 5)
}

fn id(number: u64) -> Uuid {
    Uuid::from_u64_pair(7, number)
}

/// What was attempted and what was acknowledged.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) attempted: u64,
    acknowledged: BTreeSet<u64>,
    /// What was put into the input queue, and acknowledged there.
    put: BTreeSet<u64>,
    /// The configuration that must be active, or any that was attempted after it.
    pub(crate) active: Option<u64>,
    pub(crate) marks: u64,
}

impl Model {
    pub(crate) fn acknowledge(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.acknowledged.extend(numbers);
    }

    pub(crate) fn acknowledge_put(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.put.extend(numbers);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len() + self.put.len()
    }

    /// What is active must be what was acknowledged last, or attempted since.
    pub(crate) fn configuration(&mut self, atlas: &Atlas) {
        let queues = atlas.catalog().queues(&scope());
        let found = (1..=self.marks).find(|number| queues.keys().any(|queue| queue.as_str() == mark(*number)));
        assert!(found >= self.active, "{found:?} is active, {:?} was acknowledged", self.active);
        assert!(found.is_none() || queues.len() == 4, "{queues:?}");
        // Whatever is found is durable.
        self.active = found;
    }

    /// All that was acknowledged is there, nothing that wasn't attempted is, and what is there is as it was sent.
    pub(crate) fn events(&self, atlas: &Atlas) {
        let (mut position, mut found, mut keys) = (0, BTreeSet::new(), HashSet::new());
        let mut versions = BTreeMap::<String, u64>::new();
        for recorded in atlas.store().read(Query::new()).unwrap() {
            let recorded = recorded.unwrap();
            position += 1;
            assert_eq!(recorded.position(), position);
            let version = versions.entry(recorded.stream().to_owned()).or_default();
            *version += 1;
            assert_eq!(recorded.version(), *version);
            let data: Value = serde_json::from_slice(recorded.data()).unwrap();
            if recorded.event_type() == SENT {
                let number = data["n"].as_u64().unwrap();
                assert!(number < self.attempted && found.insert(number), "{number} was never sent, or is there twice");
                assert_eq!((recorded.id(), recorded.stream()), (id(number), stream(number).as_str()));
            } else {
                assert!(recorded.causation_id().is_some());
                assert!(keys.insert(data["key"].as_str().unwrap().to_owned()), "{data} was emitted twice");
            }
        }
        let lost: Vec<_> = self.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged, and lost: {lost:?}");
    }

    /// Each event's deliveries are complete, and had their effect once.
    pub(crate) async fn effects(&self, atlas: &Atlas, calls: &Calls) {
        let left = atlas.settled().await.unwrap();
        assert!(left.is_empty(), "{left}");
        let inbox = loans(atlas).queue(INBOX);
        let waiting = inbox.peek(1).await.unwrap();
        assert!(waiting.is_empty(), "{waiting:?}");
        let (mut sent, mut scored) = (Vec::new(), BTreeMap::<Uuid, u64>::new());
        let mut all = Vec::new();
        for event in atlas.store().read(Query::new()).unwrap().map(Result::unwrap) {
            match event.causation_id() {
                Some(cause) if event.event_type() == SCORED => {
                    *scored.entry(cause).or_default() += 1;
                    all.push(event.id());
                }
                _ => sent.push(event.id()),
            }
        }
        for id in &sent {
            assert_eq!(scored.get(id), Some(&2), "two calls, one event each: {id}");
            assert!(calls.contains(*id), "{id} was never delivered");
        }
        assert_eq!(scored.len(), sent.len());
        for number in &self.put {
            assert!(scored.contains_key(&id(*number)), "{number} was put, and never came in");
        }
        for id in sent.iter().chain(&all).step_by(5) {
            let status = atlas.status(*id).await.unwrap();
            assert_eq!((status.phase, status.outcome), (Phase::Complete, Some(Outcome::Success)), "{id}");
        }
        for (queue, expected) in [("mail", sent), ("notes", all)] {
            let messages = loans(atlas).queue(queue).peek(1 << 20).await.unwrap();
            let posted: BTreeSet<Uuid> = messages.iter().filter_map(|message| message.event).collect();
            assert_eq!(messages.len(), posted.len(), "a message of {queue} is there twice");
            assert!(posted.into_iter().eq(expected.into_iter().collect::<BTreeSet<_>>()), "{queue}");
        }
    }
}
