//! Activation under load: no event is lost, doubled, or routed by half of one tree and half of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atlas::dispatch::NewMessage;
use atlas::log::Query;
use atlas::{Atlas, Event};
use serde_json::json;

use crate::world::{SCORED, SENT, World, loans, scope, write};

/// Events of each of the tasks.
const EVENTS: usize = 300;
const TASKS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_while_trees_are_activated_are_routed_whole() {
    let queue =
        |queue: &str| json!([{ "name": "tell", "data": "{queue: $const.queue}", "target": { "queue": queue } }]);
    // Both types go to one queue, and the constant names it: a mixture of two revisions would show.
    let world = World::of(&[(SENT, queue("mail")), (SCORED, queue("mail"))]);
    write(&world.tree.path().join("queues.json"), &json!({ "mail": {}, "post": {} }));
    write(&world.tree.path().join("constants.json"), &json!({ "queue": "mail" }));
    let atlas = world.open(Atlas::builder()).await;
    let first = loans(&atlas).config().active().await.unwrap().unwrap();
    world.documents(&[(SENT, queue("post")), (SCORED, queue("post"))]);
    write(&world.tree.path().join("queues.json"), &json!({ "mail": {}, "post": {} }));
    write(&world.tree.path().join("constants.json"), &json!({ "queue": "post" }));
    let second = loans(&atlas).config().import(world.tree.path()).await.unwrap().imported().revision;

    let done = Arc::new(AtomicBool::new(false));
    let (switched, of) = (done.clone(), atlas.clone());
    let activating = tokio::task::spawn_blocking(move || {
        let mut times = 0;
        while !switched.load(Ordering::Acquire) {
            let to = if times % 2 == 0 { second } else { first };
            of.catalog().activate(&[(scope().into(), to)]).unwrap();
            times += 1;
        }
        times
    });
    let ingest = |task: usize| {
        let atlas = atlas.clone();
        tokio::spawn(async move {
            for n in 0..EVENTS {
                let event_type = if n % 2 == 0 { SENT } else { SCORED };
                loans(&atlas).ingest(Event::new(event_type, format!("s{task}"))).await.unwrap();
            }
        })
    };
    for task in (0..TASKS).map(ingest).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    done.store(true, Ordering::Release);
    assert!(activating.await.unwrap() > 1, "more than one activation went on");
    atlas.settled().await.unwrap();

    let mut expected = std::collections::BTreeMap::from([("mail", 0), ("post", 0)]);
    for event in atlas.store().read(Query::new()).unwrap() {
        let revision = event.unwrap().revision().unwrap();
        let queue = if revision == first { "mail" } else { "post" };
        *expected.get_mut(queue).unwrap() += 1;
    }
    assert_eq!(expected.values().sum::<usize>(), EVENTS * TASKS, "each event once");
    for (queue, count) in expected {
        let messages = atlas.queue(&scope(), queue).peek(10_000).await.unwrap();
        assert_eq!(messages.len(), count, "{queue}: one message for each event that its revision routed there");
        for message in messages {
            let data = serde_json::to_value(&message).unwrap()["data"].clone();
            assert_eq!(data, json!({ "queue": queue }), "the constants are those of the same revision");
        }
    }
    atlas.close().await.unwrap();
}

/// A queue that holds messages stays, whoever serves it; once they are gone it may go.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_messages_cant_be_removed() {
    let world = World::new(json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let ids = loans(&atlas).queue("mail").put([NewMessage::new(&7)]).await.unwrap();
    write(&world.tree.path().join("queues.json"), &json!({ "slim": {} }));
    let activate = async |atlas: &Atlas| loans(atlas).config().import(world.tree.path()).await?.activate().await;
    let refused = activate(&atlas).await.err().unwrap().to_string();
    assert!(refused.starts_with("queue mail of dutch-bank/loans holds messages"), "{refused}");
    atlas.close().await.unwrap();
    // As the command line, which serves nothing.
    let atlas = Atlas::builder().dispatch(false).open_with(world.environment()).await.unwrap();
    assert!(activate(&atlas).await.is_err());
    loans(&atlas).queue("mail").ack(ids[0]).await.unwrap();
    activate(&atlas).await.unwrap();
    assert!(!atlas.catalog().queues(&scope()).keys().any(|queue| queue.as_str() == "mail"));
    atlas.close().await.unwrap();
}
