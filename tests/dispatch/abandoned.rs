//! Whoever stops waiting for an act, at whatever moment, leaves nothing held.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use atlas::{Atlas, Event};
use serde_json::json;

use crate::world::{TOLD, World, loans, put};

const HOUR: Duration = Duration::from_secs(3_600);

/// Polls a future so many times, each time after all that it asked for by then was answered, and drops it.
pub(crate) async fn abandoned_after(polls: usize, atlas: &Atlas, future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        // Answered by the same thread, after what was asked before.
        atlas.queues().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_is_not_held_for_nobody() {
    let (world, clock) = World::new(json!([])).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    let told = || Event::new(TOLD, "s").data(&json!({}));
    let kept = loans(&atlas).after(HOUR, told()).await.unwrap();
    for polls in 1..=4 {
        let timer = loans(&atlas).after(HOUR, told()).await.unwrap();
        abandoned_after(polls, &atlas, loans(&atlas).cancel_timer(timer)).await;
        // Either it can be taken back now, or what was begun has done it: that ends by itself, soon.
        let mut gone = false;
        for _ in 0..10_000 {
            gone = loans(&atlas).cancel_timer(timer).await.is_ok()
                || loans(&atlas).timers(10).await.unwrap().iter().all(|listed| listed.id != timer);
            if gone {
                break;
            }
        }
        assert!(gone, "abandoned after {polls} polls");
    }
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(atlas.store().event_at(1).unwrap().unwrap().id(), kept);
    assert!(atlas.store().event_at(2).unwrap().is_none());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_not_held_for_nobody() {
    let world = World::of_mail(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a"]).await;
    let mail = loans(&atlas).queue("mail");
    for polls in 1..=8 {
        abandoned_after(polls, &atlas, mail.take(1, Duration::ZERO)).await;
        // What it may have begun to record ends by itself, soon.
        let mut again = Vec::new();
        for _ in 0..10_000 {
            again = mail.take(1, Duration::ZERO).await.unwrap();
            if !again.is_empty() {
                break;
            }
        }
        assert_eq!(again.len(), 1, "abandoned after {polls} polls");
    }
    atlas.close().await.unwrap();
}
