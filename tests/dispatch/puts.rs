//! Messages that are put into a queue from outside: all or none, once under an id, within the queue's room.

use std::time::Duration;

use atlas::dispatch::{DispatchError, MessageState, NewMessage, QueueMessage};
use atlas::event::Name;
use atlas::{Atlas, Error, Uuid};
use serde_json::{Value, json};

use crate::abandoned::abandoned_after;
use crate::world::{World, ingest, loans};

const MINUTE: Duration = Duration::from_secs(60);

fn message(number: u64) -> NewMessage {
    NewMessage::new(&json!({ "number": number }))
}

fn numbers(messages: &[QueueMessage]) -> Vec<u64> {
    let number =
        |message: &QueueMessage| serde_json::from_str::<Value>(message.data.get()).unwrap()["number"].as_u64().unwrap();
    messages.iter().map(number).collect()
}

fn refused(result: Result<Vec<Uuid>, Error>) -> DispatchError {
    match result.unwrap_err() {
        Error::Dispatch(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_stands_in_the_queue_as_what_handlers_put() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    let ids = atlas.dispatcher().with_actor("desk 7");
    let (scope, mail) = (crate::world::scope(), Name::parse("queue", "mail").unwrap());
    let ids = ids.put(&scope, &mail, (1..=3).map(message)).await.unwrap();
    for forgetful in [false, true] {
        let messages = loans(&atlas).queue("mail").peek(9).await.unwrap();
        assert_eq!((numbers(&messages), messages[0].state), (vec![1, 2, 3], MessageState::Ready), "{forgetful}");
    }
    let atlas = world.reopened(atlas, true).await;
    let queue = loans(&atlas).queue("mail");
    let taken = queue.take(2, MINUTE).await.unwrap();
    assert_eq!(taken.iter().map(|message| message.id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!((taken[0].event, taken[0].handler.as_ref(), taken[0].actor.as_deref()), (None, None, Some("desk 7")));
    queue.ack(&taken[0]).await.unwrap();
    queue.nack(&taken[1], Duration::ZERO, "not now").await.unwrap();
    assert_eq!(numbers(&queue.take(9, MINUTE).await.unwrap()), [2, 3]);
    let unknown = refused(loans(&atlas).queue("male").put([message(1)]).await);
    assert_eq!(unknown.to_string(), "dutch-bank/loans has no queue male; expected one of its queues: mail, slim");
    assert!(queue.put([]).await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_put_once_under_its_id() {
    let world = World::of_mail(&json!({}));
    let mut atlas = world.open(Atlas::builder()).await;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let of = |number, id| message(number).id(id);
    assert_eq!(loans(&atlas).queue("mail").put([of(1, first)]).await.unwrap(), [first]);
    for forgetful in [false, true] {
        let mail = loans(&atlas).queue("mail");
        assert_eq!(mail.put([of(1, first), of(2, second), of(2, second)]).await.unwrap(), [first, second, second]);
        assert_eq!(numbers(&mail.peek(9).await.unwrap()), [1, 2]);
        let other = refused(mail.put([of(3, Uuid::from_u128(3)), of(7, first)]).await);
        assert!(matches!(other, DispatchError::MessageIdReused { number: 2, id, .. } if id == first), "{other}");
        let twice = refused(mail.put([of(3, Uuid::from_u128(3)), of(4, Uuid::from_u128(3))]).await);
        assert!(matches!(twice, DispatchError::MessageIdReused { number: 2, .. }), "{twice}");
        let elsewhere = refused(loans(&atlas).queue("slim").put([of(1, first)]).await);
        assert!(elsewhere.to_string().contains("of queue mail"), "{elsewhere}");
        assert_eq!(mail.peek(9).await.unwrap().len(), 2, "all or none");
        atlas = world.reopened(atlas, forgetful).await;
    }
    // One that is gone was put, for ever.
    let mail = loans(&atlas).queue("mail");
    mail.ack(first).await.unwrap();
    assert_eq!(mail.put([of(1, first)]).await.unwrap(), [first]);
    assert_eq!(numbers(&mail.peek(9).await.unwrap()), [2]);
    // Another scope has ids of its own.
    assert!(atlas.scope("other-bank", "loans").queue("mail").put([of(1, first)]).await.is_err(), "it has no tree");
    // What a handler has put has an id as well.
    ingest(&atlas, "a", json!({})).await;
    atlas.settled().await.unwrap();
    let of_handler = mail.peek(9).await.unwrap().pop().unwrap();
    let taken = refused(mail.put([NewMessage::json(of_handler.data.get().to_owned()).id(of_handler.id)]).await);
    assert!(matches!(taken, DispatchError::MessageIdReused { number: 1, .. }), "{taken}");
    atlas.close().await.unwrap();
}

/// Many at once under one id: one content is there, all who brought it are told so, and nobody else is.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_are_put_at_once_under_one_id_one_is_there() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    for round in 0..20u128 {
        let id = Uuid::from_u128(100 + round);
        let puts: Vec<_> = (0..8u64)
            .map(|number| {
                let mail = loans(&atlas).queue("mail");
                tokio::spawn(async move { (number % 2, mail.put([message(number % 2).id(id)]).await) })
            })
            .collect();
        let mut done = Vec::new();
        for put in puts {
            let (number, result) = put.await.unwrap();
            done.extend(result.is_ok().then_some(number));
        }
        let there = loans(&atlas).queue("mail").peek(99).await.unwrap();
        let there: Vec<_> = there.into_iter().filter(|message| message.id == id).collect();
        assert_eq!(there.len(), 1);
        assert_eq!(done, [numbers(&there)[0]; 4]);
    }
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_put_than_there_is_room_for() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    let slim = loans(&atlas).queue("slim");
    let full = refused(slim.put((1..=3).map(message)).await);
    assert!(matches!(full, DispatchError::QueueFull { count: 3, left: 2, max_depth: 2, .. }), "{full}");
    let puts: Vec<_> = (0..8)
        .map(|number| {
            let slim = slim.clone();
            tokio::spawn(async move { slim.put([message(number).id(Uuid::from_u128(number.into()))]).await.is_ok() })
        })
        .collect();
    let mut count = 0;
    for put in puts {
        count += u32::from(put.await.unwrap());
    }
    let there = slim.peek(9).await.unwrap();
    assert_eq!((count, there.len()), (2, 2));
    // What is there already needs no room.
    let number = numbers(&there)[0];
    slim.put([message(number).id(there[0].id)]).await.unwrap();
    slim.ack(there[0].id).await.unwrap();
    slim.put([message(9)]).await.unwrap();
    assert!(slim.put([message(10)]).await.is_err());
    atlas.close().await.unwrap();
}

/// Whoever stops waiting has put the message, or keeps neither its id nor its room.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_put_keeps_nothing() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    for round in 0..50u64 {
        let slim = loans(&atlas).queue("slim");
        let id = Uuid::from_u128(1_000 + u128::from(round));
        for polls in 0..6 {
            abandoned_after(polls, &atlas, slim.put([message(round).id(id)])).await;
        }
        // It is there by now, or can be put.
        slim.put([message(round).id(id)]).await.unwrap();
        let there = slim.peek(9).await.unwrap();
        assert_eq!(numbers(&there), [round]);
        slim.ack(id).await.unwrap();
    }
    slim_has_room_for_two(&atlas).await;
    atlas.close().await.unwrap();
}

async fn slim_has_room_for_two(atlas: &Atlas) {
    let slim = loans(atlas).queue("slim");
    slim.put((1..=2).map(message)).await.unwrap();
    assert!(slim.put([message(3)]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_groups_hold_for_what_is_put() {
    let world = World::of_mail(&json!({ "ordered": true, "groups": ["a", "b"] }));
    let atlas = world.open(Atlas::builder()).await;
    let mail = loans(&atlas).queue("mail");
    let of = |number, stream: &str| message(number).stream(stream);
    mail.put([of(1, "x"), of(2, "x"), of(3, "y"), message(4), message(5)]).await.unwrap();
    for group in ["a", "b"] {
        assert_eq!(numbers(&mail.clone().group(group).take(9, MINUTE).await.unwrap()), [1, 3, 4, 5], "{group}");
    }
    assert!(mail.take(9, MINUTE).await.is_err(), "no group is named");
    atlas.close().await.unwrap();
}

#[cfg(feature = "schema")]
#[tokio::test(flavor = "multi_thread")]
async fn a_message_follows_the_schema_of_its_queue() {
    use atlas::dispatch::Outcome;

    let schema = json!({ "type": "object", "required": ["version"], "properties": { "version": { "maximum": 2 } } });
    let world = World::of_mail(&json!({ "schema": "schemas/mail.json" }));
    crate::world::write(&world.tree.path().join("schemas/mail.json"), &schema);
    let mut atlas = world.open(Atlas::builder()).await;
    for inline in [false, true] {
        let mail = loans(&atlas).queue("mail");
        let put = |data: Value| mail.put([NewMessage::new(&json!({ "version": 1 })), NewMessage::new(&data)]);
        put(json!({ "version": 2 })).await.unwrap();
        let broken = refused(put(json!({ "version": 3 })).await);
        let expected =
            "message 2: it breaks the schema of the queue at \"/version\", rule \"/properties/version/maximum\": ";
        assert!(broken.to_string().starts_with(expected), "{broken}");
        assert_eq!(mail.peek(9).await.unwrap().len(), if inline { 6 } else { 2 }, "all or none");
        // What a handler sends follows it as well, or its delivery fails for good.
        for version in 1..=3 {
            let stream = if inline { "inline" } else { "file" };
            let receipt = ingest(&atlas, stream, json!({})).await;
            let done = atlas.completion(receipt.id).await.unwrap();
            let delivery = &done.deliveries[0];
            if version < 3 {
                assert_eq!(delivery.outcome, Some(Outcome::Success));
            } else {
                let error = delivery.error.as_deref().unwrap();
                assert!(
                    delivery.parked && error.contains("message 1 breaks the schema of queue mail at \"/version\""),
                    "{error}"
                );
            }
        }
        assert_eq!(mail.peek(9).await.unwrap().len(), if inline { 8 } else { 4 });
        // By an inline schema from now on.
        world.mail(&json!({ "schema": schema }));
        atlas = world.reopened(atlas, true).await;
    }
    atlas.close().await.unwrap();
}
