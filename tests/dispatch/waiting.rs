//! Waiting for events that become blocked without a record of their own.

use std::sync::Arc;
use std::time::Duration;

use atlas::dispatch::{Delivery, HandlerError, Obstacle, Options, Outcome, Phase};
use atlas::storage::Environment;
use atlas::{Atlas, Event};
use serde_json::json;

use crate::world::{SCORED, SENT, TOLD, World, function, ingest, loans};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_in_from_overflow_and_cannot_start_is_told_as_blocked() {
    let world = World::of(&[
        (
            SENT,
            json!([
                { "name": "a", "weight": 1, "stop_on_failure": true, "target": { "function": "gone" } },
                { "name": "b", "weight": 2, "target": { "queue": "mail" } }
            ]),
        ),
        (SCORED, json!([{ "name": "slow", "target": { "function": "slow" } }])),
    ]);
    world.open(Atlas::builder()).await.close().await.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opens = gate.clone();
    let options = Options { max_open_events: 1, max_open_events_per_scope: 1, ..Options::default() };
    let slow = Atlas::builder().dispatch_options(options).function("slow", move |_: Delivery| {
        let opens = opens.clone();
        async move {
            opens.acquire().await.unwrap().forget();
            Ok::<(), HandlerError>(())
        }
    });
    let atlas = slow.open_with(Environment::new(world.disk.clone())).await.unwrap();
    loans(&atlas).ingest(Event::new(SCORED, "x")).await.unwrap();
    let second = loans(&atlas).ingest(Event::new(SENT, "y")).await.unwrap();
    let mut waits = Box::pin(atlas.completion(second.id));
    // The thread of dispatch has the watch before the answer to this question, which comes after it.
    let listed = async {
        loop {
            tokio::select! {
                _ = &mut waits => panic!("the event stands in overflow"),
                open = atlas.deliveries(atlas::dispatch::DeliveryFilter::default()) => if open.unwrap().len() == 3 { break },
            }
        }
    };
    listed.await;
    for _ in 0..20 {
        tokio::select! {
            biased;
            _ = &mut waits => panic!("the event stands in overflow"),
            _ = atlas.queues() => {}
        }
    }
    gate.add_permits(1);
    let status =
        tokio::time::timeout(std::time::Duration::from_secs(20), waits).await.expect("completion hangs").unwrap();
    let obstacles: Vec<Obstacle> = status.blocked_by.iter().map(|blocker| blocker.obstacle).collect();
    assert_eq!(obstacles, [Obstacle::Unbound, Obstacle::Behind]);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_an_event_are_told_until_it_is_complete() {
    let world = World::new(function("f"));
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let (open, gate) = tokio::sync::watch::channel(false);
    let builder = Atlas::builder().function("f", move |_: Delivery| {
        let (started, mut gate) = (started.clone(), gate.clone());
        async move {
            started.send(()).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            Ok::<_, HandlerError>(Event::new(SCORED, ""))
        }
    });
    let atlas = world.open(builder).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let mut changes = atlas.changes(receipt.id).await.unwrap();
    // That it starts is told as well, though nothing is durable by that.
    let mut first = changes.next().await.unwrap().unwrap();
    while first.phase == Phase::Pending {
        first = changes.next().await.unwrap().unwrap();
    }
    starts.recv().await.unwrap();
    assert_eq!((first.phase, first.caused), (Phase::InProcess, 0));
    // Whoever doesn't want to wait longer gets how it stands.
    let so_far = atlas.completion_within(receipt.id, Duration::from_millis(1)).await.unwrap();
    assert_eq!((so_far.phase, so_far.outcome), (Phase::InProcess, None));
    open.send(true).unwrap();
    let mut last = first;
    while let Some(next) = changes.next().await.unwrap() {
        assert_ne!(next, last);
        last = next;
    }
    assert_eq!((last.phase, last.caused), (Phase::Complete, 1));
    let done = atlas.completion_within(receipt.id, Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(done, last);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_is_waited_for_whole() {
    let parks = json!([{ "name": "p", "target": { "function": "no" }, "retry": { "attempts": 1 } }]);
    let world = World::of(&[(SENT, function("f")), (TOLD, parks)]);
    let builder = Atlas::builder()
        .function("f", |_: Delivery| async { Ok::<_, HandlerError>(Event::new(SCORED, "")) })
        .function("no", |_: Delivery| async { Err::<(), _>(HandlerError::Retry("no".into())) });
    let atlas = world.open(builder).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    loans(&atlas).ingest(Event::new(TOLD, "beside").correlation_id(receipt.id)).await.unwrap();
    let stuck = atlas.dispatcher().cascade_completion(None, receipt.id).await.unwrap();
    assert_eq!((stuck.events.len(), stuck.phase), (3, Phase::InProcess));
    assert_eq!((stuck.blocked_by.len(), stuck.blocked_by[0].obstacle), (1, Obstacle::Parked));
    atlas.drop_delivery(&stuck.blocked_by[0].id, "given up").await.unwrap();
    let done = atlas.dispatcher().cascade_completion(None, receipt.id).await.unwrap();
    assert_eq!((done.outcome, done.blocked_by.len()), (Some(Outcome::Failure), 0));
    atlas.close().await.unwrap();
}
