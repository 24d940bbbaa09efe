//! A function with state: `evolve` takes each event of the handler once, in the order of the stream, before `react` sees the state;
//! retries, restarts and lost keyframes change nothing of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use atlas::dispatch::{Delivery, Emit, HandlerError, StatefulFunction};
use atlas::log::RecordedEvent;
use atlas::{Atlas, Event};
use serde_json::{Value, json};

use crate::world::{SCORED, SENT, World, ingest, loans};

/// What react saw: stream, version, attempt, state.
type Seen = Arc<Mutex<Vec<(String, u64, u32, Vec<u64>)>>>;

/// Keeps the amounts of a stream's events. Fails at the first attempt of each amount that ends in 7.
#[derive(Clone, Default)]
struct Amounts<const VERSION: u32> {
    seen: Seen,
    evolved: Arc<AtomicUsize>,
}

impl<const VERSION: u32> StatefulFunction for Amounts<VERSION> {
    type State = Vec<u64>;
    const VERSION: u32 = VERSION;

    fn evolve(&self, state: &mut Vec<u64>, event: &RecordedEvent) {
        self.evolved.fetch_add(1, Ordering::SeqCst);
        let data: Value = serde_json::from_slice(event.data()).unwrap();
        state.push(data["amount"].as_u64().unwrap() + 1_000_000 * u64::from(VERSION - 1));
    }

    async fn react(&self, delivery: Delivery, state: Vec<u64>) -> Result<Emit, HandlerError> {
        let (event, attempt) = (delivery.event(), delivery.attempt());
        let entry = (event.stream().to_owned(), event.version(), attempt, state.clone());
        self.seen.lock().unwrap().push(entry);
        match state.last() {
            Some(amount) if amount % 10 == 7 && attempt == 1 => Err(HandlerError::Retry("once more".into())),
            _ => Ok(Emit::none().output(state.len())),
        }
    }
}

fn world() -> World {
    let handler = json!([{ "name": "watch", "when": ".data.amount > 10", "target": { "function": "watch" },
        "retry": { "attempts": 3, "initial": "1ms" } }]);
    World::of(&[(SENT, handler.clone()), (SCORED, handler)])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_that_of_the_events_that_the_handler_takes() {
    let world = world();
    let amounts = Amounts::<1>::default();
    let atlas = world.open(Atlas::builder().stateful("watch", amounts.clone())).await;
    for (stream, amount) in [("a", 20), ("b", 30), ("a", 5), ("a", 17), ("a", 40)] {
        ingest(&atlas, stream, json!({ "amount": amount })).await;
    }
    let scored = Event::new(SCORED, "a").data(&json!({ "amount": 50 }));
    let last = loans(&atlas).ingest(scored).await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    let of = |stream: &str| -> Vec<_> {
        let seen = amounts.seen.lock().unwrap();
        seen.iter()
            .filter(|(of, ..)| of == stream)
            .map(|(_, v, attempt, state)| (*v, *attempt, state.clone()))
            .collect()
    };
    assert_eq!(of("b"), [(1, 1, vec![30])]);
    let expected = [
        (1, 1, vec![20]),
        (3, 1, vec![20, 17]),
        (3, 2, vec![20, 17]),
        (4, 1, vec![20, 17, 40]),
        (5, 1, vec![20, 17, 40, 50]),
    ];
    assert_eq!(of("a"), expected, "of both types, without what the guard leaves out, and once for each attempt");
    assert_eq!(atlas.status(last.id).await.unwrap().deliveries[0].output, Some(json!(4)));
    atlas.close().await.unwrap();

    // After a restart, and with another version of the function, which folds anew.
    let again = Amounts::<1>::default();
    let atlas = world.open(Atlas::builder().stateful("watch", again.clone())).await;
    ingest(&atlas, "a", json!({ "amount": 60 })).await;
    atlas.settled().await.unwrap();
    assert_eq!(again.seen.lock().unwrap()[0].3, [20, 17, 40, 50, 60]);
    assert_eq!(again.seen.lock().unwrap().len(), 1, "nothing reacts a second time");
    atlas.close().await.unwrap();
    let other = Amounts::<2>::default();
    let atlas = world.open(Atlas::builder().stateful("watch", other.clone())).await;
    ingest(&atlas, "a", json!({ "amount": 70 })).await;
    atlas.settled().await.unwrap();
    assert_eq!(other.seen.lock().unwrap()[0].3[..2], [1_000_020, 1_000_017], "nothing of the older state is kept");
    atlas.close().await.unwrap();
}

/// Keyframes keep it quick: a long stream isn't folded from its beginning for each event.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_is_not_folded_from_its_beginning_each_time() {
    const EVENTS: usize = 600;
    let world = world();
    let amounts = Amounts::<1>::default();
    let atlas = world.open(Atlas::builder().stateful("watch", amounts.clone())).await;
    for number in 0..EVENTS {
        ingest(&atlas, "a", json!({ "amount": 11 + 10 * number })).await;
    }
    assert!(atlas.settled().await.unwrap().is_empty());
    let last = amounts.seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.3.len(), EVENTS);
    let from_the_beginning = EVENTS * EVENTS / 2;
    let evolved = amounts.evolved.load(Ordering::SeqCst);
    assert!(evolved < from_the_beginning / 2, "{evolved} of {from_the_beginning}");
    atlas.close().await.unwrap();
}
