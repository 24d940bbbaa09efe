//! Attempts: several calls, panics, timeouts, retries by the clock, expressions that fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::dispatch::{Delivery, DeliveryFilter, Emit, HandlerError, Obstacle, Outcome, Phase};
use atlas::storage::Clock;
use atlas::{Atlas, Event};
use serde_json::json;

use crate::world::{Calls, SCORED, World, function, ingest};

#[tokio::test(flavor = "multi_thread")]
async fn several_outputs_are_several_calls_and_a_retry_goes_on_at_the_first_unfinished_one() {
    let mut handlers = function("f");
    handlers[0]["data"] = json!(".data.items[]");
    let world = World::new(handlers);
    let calls = Calls::default();
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, seen) = (calls.clone(), keys.clone());
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            seen.lock().unwrap().push(delivery.idempotency_key());
            async move {
                assert_eq!(delivery.calls(), 3);
                let item: u32 = delivery.data()?;
                if delivery.call() == 2 && delivery.attempt() == 1 {
                    return Err(HandlerError::Retry("the second call fails once".into()));
                }
                Ok(Emit::none().event(Event::new(SCORED, "scores").data(&json!({ "item": item }))).output(item))
            }
        }))
        .await;
    let receipt = ingest(&atlas, "s", json!({ "items": [10, 20, 30] })).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.outcome, done.caused), (Some(Outcome::Success), 3));
    assert_eq!(done.deliveries[0].output, Some(json!([10, 20, 30])));
    assert_eq!(done.deliveries[0].attempts, 2);
    let made: Vec<(u32, u32)> = calls.take().iter().map(|call| (call.2, call.3)).collect();
    assert_eq!(made, [(1, 1), (2, 1), (2, 2), (3, 2)]);
    let keys = keys.lock().unwrap().clone();
    assert_eq!(keys[1], keys[2]);
    assert_eq!(keys[0], format!("dutch-bank/loans:{}:f:1", receipt.id));
    // No output at all: Success without a call.
    let receipt = ingest(&atlas, "s", json!({ "items": [] })).await;
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    assert!(calls.take().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_timeout_are_failed_attempts_and_nothing_more() {
    let (world, clock) = World::new(json!([
        { "name": "panics", "target": { "function": "panics" }, "retry": { "attempts": 1 }, "out_of_attempts": "fail" },
        { "name": "hangs", "target": { "function": "hangs" }, "timeout": "5s", "retry": { "attempts": 1 } },
    ]))
    .with_clock();
    let time = clock.clone();
    let atlas = world
        .open(
            Atlas::builder()
                .function("panics", |delivery: Delivery| async move {
                    assert!(delivery.attempt() > 1, "no such account");
                    Ok::<(), HandlerError>(())
                })
                .function("hangs", move |_: Delivery| {
                    time.advance(Duration::from_secs(5));
                    std::future::pending::<Result<(), HandlerError>>()
                }),
        )
        .await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    let [hangs, panics] = &done.deliveries[..] else { panic!("two deliveries") };
    assert_eq!(panics.outcome, Some(Outcome::Failure));
    assert_eq!(panics.error.as_deref(), Some("panicked: no such account"));
    assert!(hangs.parked);
    assert_eq!(hangs.error.as_deref(), Some("timed out after 5s"));
    assert_eq!(done.blocked_by[0].obstacle, Obstacle::Parked);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_wait_by_the_clock_also_across_reopening() {
    let (world, clock) = World::new(json!([
        { "name": "f", "target": { "function": "f" },
          "retry": { "attempts": 5, "initial": "1h", "multiplier": 1.0, "max": "1h", "jitter": 0 } },
    ]))
    .with_clock();
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let failing = |called: tokio::sync::mpsc::UnboundedSender<u32>| {
        Atlas::builder().function("f", move |delivery: Delivery| {
            called.send(delivery.attempt()).unwrap();
            let attempt = delivery.attempt();
            async move { if attempt < 3 { Err(HandlerError::Retry("busy".into())) } else { Ok(()) } }
        })
    };
    let atlas = world.open(failing(called.clone())).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    assert_eq!(calls.recv().await, Some(1));
    while atlas.status(receipt.id).await.unwrap().deliveries[0].error.is_none() {
        tokio::task::yield_now().await;
    }
    let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(open[0].next_attempt.unwrap().micros(), clock.now_micros() + 3_600_000_000);
    assert_eq!((open[0].obstacle, open[0].delivery.phase), (None, Phase::Pending));
    atlas.close().await.unwrap();
    assert!(calls.try_recv().is_err(), "no attempt before its time");

    let atlas = world.open(failing(called.clone())).await;
    let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    assert!(open[0].next_attempt.is_some());
    assert!(calls.try_recv().is_err());
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(calls.recv().await, Some(2));
    while atlas.deliveries(DeliveryFilter::default()).await.unwrap()[0].next_attempt.is_none() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(calls.recv().await, Some(3));
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_guard_or_transform_is_a_fatal_failure_that_says_why() {
    let world = World::new(json!([
        { "name": "guard", "when": ".data.amount + {} | . > 1", "target": { "queue": "mail" } },
        { "name": "transform", "data": ".data.amount | keys", "target": { "function": "f" }, "out_of_attempts": "fail" },
    ]));
    let atlas = world.open(Atlas::builder().function("f", |_: Delivery| async { Ok::<(), HandlerError>(()) })).await;
    let receipt = ingest(&atlas, "s", json!({ "amount": 7 })).await;
    let stuck = atlas.completion(receipt.id).await.unwrap();
    let [guard, transform] = &stuck.deliveries[..] else { panic!("{stuck:?}") };
    assert!(guard.parked && guard.error.as_deref().unwrap().starts_with("when: "), "{guard:?}");
    assert_eq!(transform.outcome, Some(Outcome::Failure));
    assert!(transform.error.as_deref().unwrap().starts_with("data: "), "{transform:?}");
    assert!(atlas.queues().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}
