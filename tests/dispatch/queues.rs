//! Queues: leases, acknowledgements, limits.

use std::time::Duration;

use atlas::dispatch::{Delivery, DispatchError, HandlerError, Obstacle, Options, Outcome};
use atlas::{Atlas, Error, Uuid};
use serde_json::{Value, json};

use crate::world::{Calls, World, ingest, loans, write};

fn to_queue(queue: &str) -> Value {
    json!([{ "name": "post", "data": "{loan: .stream, version: .version}", "target": { "queue": queue } }])
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_leased_acknowledged_and_kept_across_reopening() {
    let (world, clock) = World::new(to_queue("mail")).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..3 {
        let receipt = ingest(&atlas, "s", json!({})).await;
        assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    }
    let mail = loans(&atlas).queue("mail");
    let seen = mail.peek(10).await.unwrap();
    let data: Vec<Value> = seen.iter().map(|message| serde_json::from_str(message.data.get()).unwrap()).collect();
    assert_eq!(data, [1, 2, 3].map(|version| json!({ "loan": "s", "version": version })));
    assert!(seen.iter().all(|message| message.leased_until.is_none()));

    let taken = mail.take(2, Duration::from_secs(60)).await.unwrap();
    assert_eq!(taken.iter().map(|m| m.id).collect::<Vec<_>>(), [seen[0].id, seen[1].id]);
    let rest = mail.take(10, Duration::from_secs(60)).await.unwrap();
    assert_eq!(rest.iter().map(|m| m.id).collect::<Vec<_>>(), [seen[2].id], "what is leased isn't given out again");
    assert!(loans(&atlas).queue("slim").ack(taken[0].id).await.is_err(), "it stands in another queue");
    mail.ack(taken[0].id).await.unwrap();
    let error = mail.ack(taken[0].id).await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NoSuchMessage { .. })), "{error}");
    let info = &atlas.queues().await.unwrap()[0];
    assert_eq!((info.depth, info.leased, info.name.as_str()), (2, 2, "mail"));
    atlas.close().await.unwrap();

    // The leases still stand; nobody serves deliveries, and queues work all the same.
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let mail = loans(&atlas).queue("mail");
    assert!(mail.take(10, Duration::from_secs(60)).await.unwrap().is_empty());
    clock.advance(Duration::from_secs(60));
    assert_eq!(atlas.queues().await.unwrap()[0].leased, 0);
    let again = mail.take(10, Duration::from_secs(60)).await.unwrap();
    assert_eq!(again.iter().map(|m| m.id).collect::<Vec<_>>(), [seen[1].id, seen[2].id]);
    for message in again {
        mail.ack(message.id).await.unwrap();
    }
    assert!(atlas.queues().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_by_one_of_many() {
    let world = World::new(to_queue("mail"));
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..100 {
        ingest(&atlas, "s", json!({})).await;
    }
    atlas.settled().await.unwrap();
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mail = loans(&atlas).queue("mail");
        takers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let messages = mail.take(7, Duration::from_secs(3_600)).await.unwrap();
                if messages.is_empty() {
                    return taken;
                }
                taken.extend(messages.into_iter().map(|message| message.id));
            }
        });
    }
    let mut all: Vec<Uuid> = takers.join_all().await.into_iter().flatten().collect();
    all.sort();
    let taken = all.len();
    all.dedup();
    assert_eq!((taken, all.len()), (100, 100));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_holds_deliveries_back_until_there_is_room() {
    let mut handlers = to_queue("slim");
    handlers.as_array_mut().unwrap().push(json!({ "name": "z", "weight": 200, "target": { "function": "f" } }));
    let world = World::new(handlers);
    let calls = Calls::default();
    let log = calls.clone();
    // A window smaller than what waits, so that some of it waits on disk.
    let options = Options { max_open_events: 6, max_open_events_per_scope: 4, ..Options::default() };
    let atlas = world
        .open(Atlas::builder().dispatch_options(options).function("f", move |delivery: Delivery| {
            log.add(&delivery);
            async { Ok::<(), HandlerError>(()) }
        }))
        .await;
    let mut receipts = Vec::new();
    for number in 0..20 {
        receipts.push(ingest(&atlas, &format!("s{number}"), json!({})).await);
    }
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::QueueFull), left.total()), (18, 18), "{left}");
    assert_eq!(calls.take().len(), 20, "a full queue doesn't hold the next handler");
    let stuck = atlas.completion(receipts[19].id).await.unwrap();
    assert_eq!(stuck.blocked_by[0].obstacle, Obstacle::QueueFull);

    let slim = loans(&atlas).queue("slim");
    let mut received = Vec::new();
    while received.len() < 20 {
        for message in slim.take(1, Duration::from_secs(60)).await.unwrap() {
            slim.ack(message.id).await.unwrap();
            received.push(message.event.unwrap());
        }
        assert!(atlas.queues().await.unwrap().iter().all(|info| info.depth <= 2));
    }
    received.sort();
    let mut expected: Vec<Uuid> = receipts.iter().map(|receipt| receipt.id).collect();
    expected.sort();
    assert_eq!(received, expected);
    assert!(atlas.settled().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_raises_a_limit_sets_deliveries_going() {
    let world = World::new(to_queue("slim"));
    let atlas = world.open(Atlas::builder()).await;
    for number in 0..4 {
        ingest(&atlas, &format!("s{number}"), json!({})).await;
    }
    assert_eq!(atlas.settled().await.unwrap().count(Obstacle::QueueFull), 2);
    write(&world.tree.path().join("queues.json"), &json!({ "mail": {}, "slim": { "max_depth": 3 } }));
    loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    while atlas.settled().await.unwrap().count(Obstacle::QueueFull) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 3, "up to the new limit and no further");
    atlas.close().await.unwrap();
}
