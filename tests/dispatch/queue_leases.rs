//! Leases have receipts, can be extended and given back; what is taken too often is a dead letter.

use std::time::Duration;

use atlas::dispatch::{DispatchError, MAX_LEASE, MAX_NACK_DELAY, MessageRef, MessageState, Options, QueueInfo, Step};
use atlas::{Atlas, Error};
use serde_json::json;

use crate::world::{World, loans, put, told};

const MINUTE: Duration = Duration::from_secs(60);

async fn info(atlas: &Atlas) -> QueueInfo {
    atlas.queues().await.unwrap().remove(0)
}

macro_rules! refused {
    ($result:expr, $pattern:pat) => {
        match $result.await.unwrap_err() {
            Error::Dispatch($pattern) => {}
            other => panic!("{other}"),
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_a_lease_can_no_longer_act_on_the_message() {
    let (world, clock) = World::of_mail(&json!({})).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a"]).await;
    let slow = loans(&atlas).queue("mail").take(1, MINUTE).await.unwrap().remove(0);
    assert_eq!((slow.receipt, slow.receives, slow.state), (Some(1), 1, MessageState::Leased));
    clock.advance(MINUTE);
    let quick = loans(&atlas).queue("mail").take(1, MINUTE).await.unwrap().remove(0);
    assert_eq!((quick.id, quick.receipt, quick.receives), (slow.id, Some(2), 2));
    // Also where all that is derived from the log is made anew.
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        let mail = loans(&atlas).queue("mail");
        refused!(mail.ack(&slow), DispatchError::LeaseLost { receipt: 1, newest: Some(2), .. });
        refused!(mail.nack(&slow, MINUTE, "slow"), DispatchError::LeaseLost { .. });
        refused!(mail.extend(&slow, MINUTE), DispatchError::LeaseLost { .. });
        let never = MessageRef { receipt: Some(3), ..MessageRef::new(slow.id) };
        refused!(mail.ack(never), DispatchError::LeaseLost { newest: None, .. });
        assert_eq!((info(&atlas).await.depth, info(&atlas).await.leased), (1, 1));
    }
    // Late, but nobody else took it: the work is done.
    clock.advance(MINUTE);
    loans(&atlas).queue("mail").ack(&quick).await.unwrap();
    assert!(atlas.queues().await.unwrap().is_empty());
    refused!(loans(&atlas).queue("mail").ack(&quick), DispatchError::NoSuchMessage { .. });
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_extended_while_it_runs() {
    let (world, clock) = World::of_mail(&json!({})).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a"]).await;
    let message = loans(&atlas).queue("mail").take(1, MINUTE).await.unwrap().remove(0);
    clock.advance(MINUTE / 2);
    loans(&atlas).queue("mail").extend(&message, MINUTE).await.unwrap();
    clock.advance(MINUTE - Duration::from_micros(1));
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        assert!(loans(&atlas).queue("mail").take(1, MINUTE).await.unwrap().is_empty());
    }
    clock.advance(Duration::from_micros(1));
    let mail = loans(&atlas).queue("mail");
    refused!(mail.extend(&message, MINUTE), DispatchError::NotLeased { found: MessageState::Ready, .. });
    refused!(mail.extend(&message, MAX_LEASE + MINUTE), DispatchError::TooLong { name: "MAX_LEASE", .. });
    refused!(mail.take(1, MAX_LEASE + MINUTE), DispatchError::TooLong { .. });
    assert_eq!(mail.take(1, MAX_LEASE).await.unwrap().len(), 1);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_can_be_taken_at_once_or_after_its_delay() {
    let (world, clock) = World::of_mail(&json!({})).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "b", "c"]).await;
    let mail = loans(&atlas).queue("mail");
    refused!(mail.nack(mail.peek(1).await.unwrap()[0].id, MINUTE, "no"), DispatchError::NotLeased { .. });
    let taken = mail.take(2, MAX_LEASE).await.unwrap();
    mail.nack(&taken[0], Duration::ZERO, "at once").await.unwrap();
    mail.nack(&taken[1], MINUTE, "later").await.unwrap();
    refused!(mail.nack(&taken[1], MINUTE, "again"), DispatchError::NotLeased { found: MessageState::Delayed, .. });
    refused!(mail.nack(&taken[1], MAX_NACK_DELAY + MINUTE, "no"), DispatchError::TooLong { .. });
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        let states: Vec<MessageState> =
            loans(&atlas).queue("mail").peek(9).await.unwrap().iter().map(|message| message.state).collect();
        assert_eq!(states, [MessageState::Ready, MessageState::Delayed, MessageState::Ready]);
        let info = info(&atlas).await;
        assert_eq!((info.depth, info.leased, info.dead), (3, 0, 0));
    }
    let mail = loans(&atlas).queue("mail");
    assert_eq!(told(&mail.take(9, MAX_LEASE).await.unwrap()), ["a 1", "c 1"]);
    clock.advance(MINUTE);
    let again = mail.take(9, MAX_LEASE).await.unwrap();
    assert_eq!((told(&again), again[0].receives), (vec!["b 1".to_owned()], 2));
    // All of it stands in the trail of the event.
    let trail = atlas.trail(again[0].event.unwrap()).await.unwrap();
    let nacked = trail.steps.iter().find_map(|step| match &step.step {
        Step::Nacked { reason, not_before, dead: false, .. } => Some((reason.clone(), not_before.is_some())),
        _ => None,
    });
    assert_eq!(nacked, Some(("later".to_owned(), true)));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_too_often_is_a_dead_letter_until_it_is_requeued_or_dropped() {
    let (world, clock) = World::of_mail(&json!({ "max_receives": 2 })).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "b", "c"]).await;
    let mail = loans(&atlas).queue("mail");
    // The first is given back twice; the second's leases run out.
    for reason in ["first", "second"] {
        let taken = mail.take(2, MINUTE).await.unwrap();
        assert_eq!(told(&taken).len(), 2);
        let first = taken.iter().find(|message| told(std::slice::from_ref(*message)) == ["a 1"]).unwrap();
        mail.nack(first, Duration::ZERO, reason).await.unwrap();
        clock.advance(MINUTE);
    }
    assert_eq!(info(&atlas).await.dead, 1, "by the nack");
    assert_eq!(told(&mail.take(9, MINUTE).await.unwrap()), ["c 1"], "dead letters don't hold up others");
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        let mail = loans(&atlas).queue("mail");
        assert!(mail.take(9, MINUTE).await.unwrap().is_empty());
        let dead = mail.dead_letters(9).await.unwrap();
        assert_eq!(told(&dead), ["a 1", "b 1"]);
        let said: Vec<_> =
            dead.iter().map(|message| (message.state, message.receives, message.reason.clone())).collect();
        let expected = [Some("second".to_owned()), None].map(|reason| (MessageState::Dead, 2, reason));
        assert_eq!(said, expected);
        let info = info(&atlas).await;
        assert_eq!((info.depth, info.leased, info.dead), (1, 1, 2));
        assert_eq!(info.oldest, Some(mail.peek(3).await.unwrap()[2].recorded_at), "of those that aren't dead");
    }
    let mail = loans(&atlas).queue("mail");
    let dead = mail.dead_letters(9).await.unwrap();
    refused!(mail.requeue(mail.peek(3).await.unwrap()[2].id, None), DispatchError::NotDead { .. });
    mail.requeue(dead[0].id, Some("mended")).await.unwrap();
    let again = mail.take(9, MINUTE).await.unwrap();
    assert_eq!((told(&again), again[0].receives, again[0].receipt), (vec!["a 1".to_owned()], 1, Some(3)));
    mail.drop_message(dead[1].id, "no use").await.unwrap();
    assert!(mail.dead_letters(9).await.unwrap().is_empty());
    assert_eq!((info(&atlas).await.depth, info(&atlas).await.dead), (2, 0));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_make_room_and_all_come_back_at_once() {
    let (world, clock) = World::of_mail(&json!({ "max_receives": 1, "max_depth": 2 })).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "b", "c", "d"]).await;
    let mail = loans(&atlas).queue("mail");
    assert_eq!(info(&atlas).await.depth, 2);
    mail.take(9, MINUTE).await.unwrap();
    clock.advance(MINUTE);
    // Both are found dead; what has room then may have come in before that take ends.
    let mut found = told(&mail.take(9, MINUTE).await.unwrap());
    assert!(atlas.settled().await.unwrap().is_empty(), "the other two have room");
    assert_eq!((info(&atlas).await.depth, info(&atlas).await.dead), (2, 2));
    assert_eq!(mail.requeue_all(Some("all is well")).await.unwrap(), 2);
    found.extend(told(&mail.take(9, MINUTE).await.unwrap()));
    found.sort();
    assert_eq!(found, ["a 1", "b 1", "c 1", "d 1"]);
    atlas.close().await.unwrap();
}

/// However many are leased, what is free is found at once, and one take gives no more than it may.
#[tokio::test(flavor = "multi_thread")]
async fn many_leased_messages_hide_nothing() {
    let (world, clock) = World::of_mail(&json!({})).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..1_100 {
        crate::world::ingest(&atlas, "s", json!({})).await;
    }
    atlas.settled().await.unwrap();
    let mail = loans(&atlas).queue("mail");
    assert_eq!(mail.take(5_000, MINUTE).await.unwrap().len(), atlas::dispatch::MAX_TAKE);
    clock.advance(Duration::from_secs(1));
    assert_eq!(told(&mail.take(1, MINUTE).await.unwrap()), ["s 1001"]);
    let info = info(&atlas).await;
    assert_eq!((info.depth, info.leased), (1_100, 1_001));
    clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(told(&mail.take(1, MINUTE).await.unwrap()), ["s 1"], "those whose lease is over come first");
    atlas.close().await.unwrap();
}

/// Leases that are over as soon as they are given: whoever still has the newest receipt is the only one.
#[tokio::test(flavor = "multi_thread")]
async fn however_leases_run_out_each_message_is_acknowledged_once() {
    const MESSAGES: usize = 60;
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..MESSAGES {
        crate::world::ingest(&atlas, "s", json!({})).await;
    }
    atlas.settled().await.unwrap();
    let mut consumers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (atlas, mail) = (atlas.clone(), loans(&atlas).queue("mail"));
        consumers.spawn(async move {
            let mut done = 0;
            while !atlas.queues().await.unwrap().is_empty() {
                for message in mail.take(5, Duration::ZERO).await.unwrap() {
                    // Twice at the same time: the second finds what the first has done.
                    let (first, second) = tokio::join!(mail.ack(&message), mail.ack(&message));
                    for acked in [first, second] {
                        match acked {
                            Ok(()) => done += 1,
                            Err(Error::Dispatch(
                                DispatchError::LeaseLost { .. } | DispatchError::NoSuchMessage { .. },
                            )) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
            done
        });
    }
    let all = consumers.join_all().await;
    assert_eq!(all.iter().sum::<usize>(), MESSAGES, "{all:?}");
    atlas.close().await.unwrap();
}

/// An act that nobody waits for any more is done, or isn't; what it held can be acted on again.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_is_given_up_holds_nothing() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "b", "c"]).await;
    let mail = loans(&atlas).queue("mail");
    for polls in 0..40 {
        let mut given_up = Box::pin(mail.take(1, Duration::ZERO));
        for _ in 0..polls {
            if has_ended(&mut given_up).await {
                break;
            }
        }
        drop(given_up);
    }
    while mail.take(3, Duration::ZERO).await.unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    for message in mail.peek(3).await.unwrap() {
        mail.ack(message.id).await.unwrap();
    }
    assert!(atlas.queues().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

/// Polls a future once. Returns whether it has ended.
async fn has_ended<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::task::yield_now().await;
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready()))
        .await
}

/// What is made anew begins where something is still there, be it a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_outlives_much_that_comes_after_it() {
    let world = World::of_mail(&json!({ "max_receives": 1 }));
    let options = Options { checkpoint_every: 4, ..Options::default() };
    let atlas = world.open(Atlas::builder().dispatch_options(options)).await;
    put(&atlas, &["old"]).await;
    let mail = loans(&atlas).queue("mail");
    mail.nack(&mail.take(1, MINUTE).await.unwrap()[0], Duration::ZERO, "odd").await.unwrap();
    for _ in 0..20 {
        put(&atlas, &["new"]).await;
        mail.ack(&mail.take(1, MINUTE).await.unwrap()[0]).await.unwrap();
    }
    let atlas = world.reopened(atlas, true).await;
    assert_eq!(told(&loans(&atlas).queue("mail").dead_letters(9).await.unwrap()), ["old 1"]);
    assert_eq!((info(&atlas).await.depth, info(&atlas).await.dead), (0, 1));
    atlas.close().await.unwrap();
}
