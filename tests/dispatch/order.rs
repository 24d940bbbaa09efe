//! In which order handlers are called: by stream, by weight, after failures, with a backlog that memory doesn't hold.

use std::sync::{Arc, Mutex};

use atlas::dispatch::{Delivery, HandlerError, Obstacle, Options, Outcome, Phase};
use atlas::{Atlas, Event};
use serde_json::{Value, json};

use crate::world::{Calls, SENT, World, function, id_of, ingest, loans};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_its_order_through_retries() {
    let world = World::new(function("f"));
    let (calls, log) = (Calls::default(), Calls::default());
    let running: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen, inside) = (log.clone(), running.clone());
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            let (log, running) = (log.clone(), running.clone());
            async move {
                let stream = delivery.event().stream().to_owned();
                {
                    let mut running = running.lock().unwrap();
                    assert!(!running.contains(&stream), "two at once for {stream}");
                    running.push(stream.clone());
                }
                tokio::task::yield_now().await;
                log.add(&delivery);
                running.lock().unwrap().retain(|other| *other != stream);
                // Every third event needs three attempts.
                if delivery.event().version().is_multiple_of(3) && delivery.attempt() < 3 {
                    return Err(HandlerError::Retry("not yet".into()));
                }
                Ok(())
            }
        }))
        .await;
    for number in 0..60 {
        ingest(&atlas, &format!("s{}", number % 3), json!({ "number": number })).await;
    }
    assert!(atlas.settled().await.unwrap().is_empty());
    assert!(inside.lock().unwrap().is_empty());
    let all = seen.take();
    for stream in ["s0", "s1", "s2"] {
        let of: Vec<(u64, u32)> = all.iter().filter(|call| call.0 == stream).map(|call| (call.1, call.3)).collect();
        let attempts = |version: u64| if version.is_multiple_of(3) { 1..=3 } else { 1..=1 };
        let expected: Vec<(u64, u32)> =
            (1..=20).flat_map(|version| attempts(version).map(move |attempt| (version, attempt))).collect();
        assert_eq!(of, expected, "{stream}");
    }
    assert!(calls.take().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_weights_start_first_and_guards_skip() {
    let handler = |name: &str, weight: i64| json!({ "name": name, "weight": weight, "target": { "function": "f" } });
    let mut guarded = handler("guarded", 5);
    guarded["when"] = json!(".data.amount > 100");
    let world = World::new(json!([handler("z", 10), handler("b", 20), handler("a", 20), guarded]));
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = order.clone();
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.lock().unwrap().push(delivery.handler().to_string());
            async { Ok::<(), HandlerError>(()) }
        }))
        .await;
    let receipt = ingest(&atlas, "s", json!({ "amount": 50 })).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["z", "a", "b"]);
    assert_eq!(done.skipped.iter().map(ToString::to_string).collect::<Vec<_>>(), ["guarded"]);
    assert_eq!(done.deliveries.len(), 3);
    order.lock().unwrap().clear();
    let receipt = ingest(&atlas, "s", json!({ "amount": 500 })).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["guarded", "z", "a", "b"]);
    assert!(done.skipped.is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_handler_starts_when_the_first_attempt_before_it_has_ended() {
    let world = World::new(json!([
        { "name": "first", "weight": 1, "target": { "function": "fails" }, "retry": { "attempts": 9, "initial": "1h", "multiplier": 1.0, "max": "1h" } },
        { "name": "second", "weight": 2, "target": { "function": "works" } },
    ]));
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (one, two) = (order.clone(), order.clone());
    let (done, mut dones) = tokio::sync::mpsc::unbounded_channel();
    let atlas = world
        .open(
            Atlas::builder()
                .function("fails", move |_: Delivery| {
                    one.lock().unwrap().push("first".into());
                    async { Err::<(), _>(HandlerError::Retry("no".into())) }
                })
                .function("works", move |_: Delivery| {
                    two.lock().unwrap().push("second".into());
                    done.send(()).unwrap();
                    async { Ok::<(), HandlerError>(()) }
                }),
        )
        .await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    dones.recv().await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
    let error = atlas.drop_delivery(&id_of(&receipt, "first"), "enough").await;
    error.unwrap();
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(done.outcome, Some(Outcome::Failure));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_on_failure_holds_and_stops_later_handlers() {
    let world = World::new(json!([
        { "name": "gate", "weight": 1, "target": { "function": "gate" }, "stop_on_failure": true,
          "retry": { "attempts": 1 }, "out_of_attempts": "fail" },
        { "name": "parks", "weight": 2, "target": { "function": "gate" }, "stop_on_failure": true, "retry": { "attempts": 1 } },
        { "name": "post", "weight": 3, "target": { "queue": "mail" } },
    ]));
    let atlas = world
        .open(Atlas::builder().function("gate", |delivery: Delivery| async move {
            let event: Value = delivery.data()?;
            match event["data"]["fails"] == json!(delivery.handler().as_str()) {
                true => Err(HandlerError::Retry("closed".into())),
                false => Ok(()),
            }
        }))
        .await;
    let fails = ingest(&atlas, "a", json!({ "fails": "gate" })).await;
    let done = atlas.completion(fails.id).await.unwrap();
    assert_eq!((done.phase, done.outcome), (Phase::Complete, Some(Outcome::Failure)));
    let told: Vec<_> = done.deliveries.iter().map(|d| (d.outcome.unwrap(), d.error.clone().unwrap())).collect();
    let stopped = (Outcome::Failure, "stopped: handler gate failed".to_owned());
    assert_eq!(told, [(Outcome::Failure, "closed".to_owned()), stopped.clone(), stopped]);

    let parks = ingest(&atlas, "b", json!({ "fails": "parks" })).await;
    let stuck = atlas.completion(parks.id).await.unwrap();
    let obstacles: Vec<Obstacle> = stuck.blocked_by.iter().map(|blocker| blocker.obstacle).collect();
    assert_eq!(obstacles, [Obstacle::Parked, Obstacle::Behind]);
    atlas.drop_delivery(&id_of(&parks, "parks"), "no").await.unwrap();
    let done = atlas.completion(parks.id).await.unwrap();
    assert_eq!(done.outcome, Some(Outcome::Failure));
    assert_eq!(done.deliveries[2].error.as_deref(), Some("stopped: handler parks failed"));
    assert!(atlas.queues().await.unwrap().is_empty());

    let passes = ingest(&atlas, "c", json!({})).await;
    assert_eq!(atlas.completion(passes.id).await.unwrap().outcome, Some(Outcome::Success));
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 1);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_memory_is_served_whole_and_in_order() {
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" }, "retry": { "attempts": 1 } },
        { "name": "post", "weight": 2, "target": { "queue": "mail" } },
    ]));
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let events: Vec<Event> =
        (0..1_000).map(|number| Event::new(SENT, format!("s{}", number % 20)).data(&json!({ "n": number }))).collect();
    let receipts = loans(&atlas).ingest_all(events).await.unwrap();
    atlas.close().await.unwrap();

    let calls = Calls::default();
    let log = calls.clone();
    let options =
        Options { max_open_events: 32, max_open_events_per_scope: 16, checkpoint_every: 64, ..Options::default() };
    let builder = |log: Calls, options: Options| {
        Atlas::builder().dispatch_options(options).function("f", move |delivery: Delivery| {
            log.add(&delivery);
            // The 25th of every stream fails for good, and holds the rest of it.
            let fails = delivery.event().version() == 25 && delivery.attempt() == 1;
            async move { if fails { Err(HandlerError::Fatal("no".into())) } else { Ok(()) } }
        })
    };
    let atlas = world.open(builder(log.clone(), options.clone())).await;
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind)), (20, 20 * 25), "{left}");
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 1_000);
    let made = calls.take();
    for stream in 0..20 {
        let of: Vec<u64> = made.iter().filter(|call| call.0 == format!("s{stream}")).map(|call| call.1).collect();
        assert_eq!(of, (1..=25).collect::<Vec<u64>>());
    }
    atlas.close().await.unwrap();

    // After reopening nothing runs again, and giving one up lets the rest of its stream go on.
    let atlas = world.open(builder(log.clone(), options)).await;
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind)), (20, 20 * 25), "{left}");
    assert!(calls.take().is_empty());
    let of_s3 = receipts.iter().skip(3).step_by(20).nth(24).unwrap();
    atlas.drop_delivery(&id_of(of_s3, "f"), "no").await.unwrap();
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind)), (19, 19 * 25), "{left}");
    let of: Vec<u64> = calls.take().iter().map(|call| call.1).collect();
    assert_eq!(of, (26..=50).collect::<Vec<u64>>());
    atlas.close().await.unwrap();
}
