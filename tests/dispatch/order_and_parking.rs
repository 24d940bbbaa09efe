//! For each handler and stream the attempts come in the order of the stream, whatever is retried, parked, released or dropped
//! in between, also across restarts and with a backlog that memory doesn't hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use atlas::dispatch::{Delivery, DeliveryFilter, HandlerError, Obstacle, Options, Outcome};
use atlas::log::Query;
use atlas::{Atlas, Builder, Event};
use serde_json::json;

use crate::world::{SENT, World, loans};

const STREAMS: u64 = 12;
const PER_ROUND: u64 = 240;
const ROUNDS: u64 = 6;

/// Handler and stream.
type Lane = (String, String);

/// The versions of the events of each lane that attempts were made at, in order, and what runs.
#[derive(Default)]
struct Seen {
    attempts: BTreeMap<Lane, Vec<u64>>,
    running: BTreeMap<Lane, u64>,
}

/// How many attempts fail before one succeeds: some fewer than there are, some more, so that they are parked; a few for
/// ever, until they are dropped.
fn failures(handler: &str, stream: &str, version: u64) -> u64 {
    let salt = handler.bytes().chain(stream.bytes()).map(u64::from).sum::<u64>();
    match (salt * 31 + version * 17) % 23 {
        0 => u64::MAX,
        1 | 2 => 7,
        3..=5 => 3,
        6..=10 => 1,
        _ => 0,
    }
}

fn builder(seen: &Arc<Mutex<Seen>>) -> Builder {
    let options = Options { max_open_events: 40, checkpoint_every: 64, ..Options::default() };
    let seen = seen.clone();
    let function = move |delivery: Delivery| {
        let seen = seen.clone();
        let (event, handler) = (delivery.event().clone(), delivery.handler().to_string());
        async move {
            let (lane, version) = ((handler.clone(), event.stream().to_owned()), event.version());
            let tried = {
                let mut seen = seen.lock().unwrap();
                let other = seen.running.insert(lane.clone(), version);
                assert_eq!(other, None, "two at once in {lane:?}");
                let attempts = seen.attempts.entry(lane.clone()).or_default();
                attempts.push(version);
                attempts.iter().filter(|found| **found == version).count() as u64
            };
            tokio::task::yield_now().await;
            seen.lock().unwrap().running.remove(&lane);
            match tried <= failures(&handler, event.stream(), version) {
                true => Err(HandlerError::Retry("not yet".into())),
                false => Ok(()),
            }
        }
    };
    Atlas::builder().dispatch_options(options).function("f", function)
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_a_lane_come_in_the_order_of_its_stream() {
    let handler = |name: &str, weight: u64| {
        json!({ "name": name, "weight": weight, "target": { "function": "f" },
                "retry": { "attempts": 3, "initial": "1ms", "multiplier": 1.0 } })
    };
    let world = World::new(json!([handler("score", 1), handler("tell", 2)]));
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let mut atlas = world.open(builder(&seen)).await;
    let (mut released, mut dropped) = (0, 0);
    for round in 0.. {
        if round < ROUNDS {
            for number in 0..PER_ROUND {
                let stream = format!("s{}", number % STREAMS);
                loans(&atlas).ingest(Event::new(SENT, stream).data(&json!({}))).await.unwrap();
            }
        }
        let left = atlas.settled().await.unwrap();
        if left.is_empty() {
            break;
        }
        assert_eq!(left.count(Obstacle::Parked) + left.count(Obstacle::Behind), left.total(), "{left}");
        let parked = DeliveryFilter { parked: true, ..DeliveryFilter::default() };
        for found in atlas.deliveries(parked).await.unwrap() {
            let version =
                atlas.store().event(&crate::world::scope(), found.delivery.id.event).unwrap().unwrap().version();
            if failures(found.delivery.id.handler.as_str(), &found.stream, version) == u64::MAX {
                atlas.drop_delivery(&found.delivery.id, "it fails for ever").await.unwrap();
                dropped += 1;
            } else {
                atlas.release(&found.delivery.id).await.unwrap();
                released += 1;
            }
        }
        if round % 3 == 1 {
            atlas.close().await.unwrap();
            if round % 2 == 0 {
                world.disk_without_derived();
            }
            atlas = world.open(builder(&seen)).await;
        }
    }
    assert!(released > 20 && dropped > 20, "{released} released, {dropped} dropped");

    let per_stream = ROUNDS * PER_ROUND / STREAMS;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.attempts.len() as u64, 2 * STREAMS);
    for ((handler, stream), versions) in &seen.attempts {
        let attempts = |version: u64| match failures(handler, stream, version) {
            u64::MAX => 3,
            failures => failures + 1,
        };
        let expected: Vec<u64> =
            (1..=per_stream).flat_map(|version| (0..attempts(version)).map(move |_| version)).collect();
        assert_eq!(*versions, expected, "{handler} of {stream}");
    }
    // And each delivery says how it ended.
    for event in atlas.store().read(Query::new()).unwrap().map(Result::unwrap) {
        for delivery in atlas.status(event.id()).await.unwrap().deliveries {
            let fails = failures(delivery.id.handler.as_str(), event.stream(), event.version()) == u64::MAX;
            assert_eq!(delivery.outcome, Some(if fails { Outcome::Failure } else { Outcome::Success }));
        }
    }
    atlas.close().await.unwrap();
}
