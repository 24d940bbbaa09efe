//! Waiting for events that become blocked without a record of their own.

use std::sync::Arc;

use atlas::dispatch::{Delivery, HandlerError, Obstacle, Options};
use atlas::storage::Environment;
use atlas::{Atlas, Event};
use serde_json::json;

use crate::world::{SCORED, SENT, World, loans};

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
