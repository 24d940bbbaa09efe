//! Ordered queues: the messages of a stream one at a time, in order, also through delays, dead letters and restarts.

use std::time::Duration;

use atlas::dispatch::{DispatchError, MessageState};
use atlas::{Atlas, Error};
use serde_json::json;

use crate::world::{World, loans, put, told};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_stream_are_given_out_one_at_a_time_in_order() {
    let (world, clock) = World::of_mail(&json!({ "ordered": true })).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "a", "b", "a", "b", "c"]).await;
    let mail = loans(&atlas).queue("mail");
    let first = mail.take(9, MINUTE).await.unwrap();
    assert_eq!(told(&first), ["a 1", "b 1", "c 1"]);
    mail.nack(&first[0], 5 * MINUTE, "not now").await.unwrap();
    mail.ack(&first[1]).await.unwrap();
    // Another consumer gets the next of b; nothing of a before its delay is over, nor of c while it is leased.
    let second = mail.take(9, MINUTE).await.unwrap();
    assert_eq!(told(&second), ["b 2"]);
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        let mail = loans(&atlas).queue("mail");
        assert!(mail.take(9, MINUTE).await.unwrap().is_empty());
        let states: Vec<MessageState> = mail.peek(9).await.unwrap().iter().map(|message| message.state).collect();
        use MessageState::{Behind, Delayed, Leased};
        assert_eq!(states, [Delayed, Behind, Behind, Leased, Leased]);
    }
    clock.advance(5 * MINUTE);
    let mail = loans(&atlas).queue("mail");
    // In the order in which their leases and delays ended: two at the same time, by age.
    assert_eq!(told(&mail.take(9, MINUTE).await.unwrap()), ["b 2", "c 1", "a 1"]);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_holds_its_stream_until_it_is_requeued_or_dropped() {
    let (world, _clock) = World::of_mail(&json!({ "ordered": true, "max_receives": 1, "max_depth": 4 })).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "a", "b", "a"]).await;
    let mail = loans(&atlas).queue("mail");
    let taken = mail.take(1, MINUTE).await.unwrap();
    mail.nack(&taken[0], Duration::ZERO, "broken").await.unwrap();
    // Those behind it don't count as depth: they don't hold other streams back.
    put(&atlas, &["a", "c", "c", "c"]).await;
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        let mail = loans(&atlas).queue("mail");
        let dead = mail.dead_letters(9).await.unwrap();
        assert_eq!(told(&dead), ["a 1", "a 2", "a 3", "a 4"]);
        let states: Vec<MessageState> = dead.iter().map(|message| message.state).collect();
        use MessageState::{Behind, Dead};
        assert_eq!(states, [Dead, Behind, Behind, Behind]);
        let info = &atlas.queues().await.unwrap()[0];
        assert_eq!((info.depth, info.dead), (4, 4));
        assert_eq!(told(&mail.dead_letters(2).await.unwrap()), ["a 1", "a 2"]);
    }
    let mail = loans(&atlas).queue("mail");
    let dead = mail.dead_letters(9).await.unwrap();
    let behind = mail.requeue(dead[1].id, None).await.unwrap_err();
    let Error::Dispatch(DispatchError::NotDead { found: MessageState::Behind, .. }) = behind else {
        panic!("{behind}")
    };

    // Requeued: the stream goes on at its place.
    mail.requeue(dead[0].id, None).await.unwrap();
    let info = &atlas.queues().await.unwrap()[0];
    assert_eq!((info.depth, info.dead), (8, 0));
    let taken = mail.take(1, MINUTE).await.unwrap();
    assert_eq!(told(&taken), ["a 1"]);
    mail.nack(&taken[0], Duration::ZERO, "still broken").await.unwrap();
    // Dropped: the next one of the stream follows.
    mail.drop_message(dead[2].id, "one from behind it").await.unwrap();
    assert_eq!(atlas.queues().await.unwrap()[0].dead, 3);
    mail.drop_message(dead[0].id, "given up").await.unwrap();
    let info = &atlas.queues().await.unwrap()[0];
    assert_eq!((info.depth, info.dead), (6, 0));
    let taken = mail.take(1, MINUTE).await.unwrap();
    assert_eq!(told(&taken), ["a 2"]);
    mail.ack(&taken[0]).await.unwrap();
    assert_eq!(told(&mail.take(9, MINUTE).await.unwrap()), ["b 1", "a 4", "c 1"]);
    atlas.close().await.unwrap();
}

/// A long backlog of one stream doesn't hide another stream behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_waits_hides_no_other() {
    let world = World::of_mail(&json!({ "ordered": true }));
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..600 {
        crate::world::ingest(&atlas, "a", json!({})).await;
    }
    put(&atlas, &["b"]).await;
    let mail = loans(&atlas).queue("mail");
    assert_eq!(told(&mail.take(9, MINUTE).await.unwrap()), ["a 1", "b 1"]);
    atlas.close().await.unwrap();
}

/// What a queue is like counts when a message is put: what stands there already stays as it was put.
#[tokio::test(flavor = "multi_thread")]
async fn order_holds_for_messages_that_are_put_from_then_on() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "a"]).await;
    world.mail(&json!({ "ordered": true }));
    loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    put(&atlas, &["a", "a"]).await;
    let atlas = world.reopened(atlas, true).await;
    assert_eq!(told(&loans(&atlas).queue("mail").take(9, MINUTE).await.unwrap()), ["a 1", "a 2", "a 3"]);
    atlas.close().await.unwrap();
}
