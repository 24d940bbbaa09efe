//! Timers: an event comes in when it is due and not before, once, whatever happened meanwhile; one that was taken back never.

use std::time::Duration;

use atlas::dispatch::{Delivery, DispatchError, Emit, HandlerError, Options, Phase, Step};
use atlas::storage::Disk;
use atlas::{Atlas, Error, Event, Timestamp};
use serde_json::json;

use crate::world::{SCORED, SENT, TOLD, World, events, function, ingest, loans};

const HOUR: Duration = Duration::from_secs(3_600);

fn told(stream: &str) -> Event {
    Event::new(TOLD, stream).data(&json!({ "by": "timer" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_when_it_is_due_and_once() {
    let (world, clock) = World::new(json!([])).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let later = loans(&atlas).after(2 * HOUR, told("s2")).await.unwrap();
    let sooner = loans(&atlas).at(Timestamp::from_micros(now.micros() + 3_600_000_000), told("s1")).await.unwrap();
    let over = loans(&atlas).at(now, told("s0")).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(events(&atlas), [(TOLD.to_owned(), "s0".to_owned(), 1)], "what is over comes in at once");
    let listed = loans(&atlas).timers(10).await.unwrap();
    assert_eq!(listed.iter().map(|timer| timer.id).collect::<Vec<_>>(), [sooner, later], "by time");
    assert_eq!((listed[0].event_type.as_str(), listed[0].stream.as_str()), (TOLD, "s1"));
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(events(&atlas).len(), 2);
    let fired = atlas.store().event_at(2).unwrap().unwrap();
    assert_eq!((fired.id(), fired.data()), (sooner, &br#"{"by":"timer"}"#[..]), "the event has the timer's id");
    assert_eq!(fired.time().micros(), now.micros() + 3_600_000_000, "its time is when it was due");
    assert!(fired.revision().is_some());
    assert_eq!(atlas.status(over).await.unwrap().phase, Phase::Complete);
    atlas.close().await.unwrap();

    // What was due while the store was closed fires at the next open.
    clock.advance(5 * HOUR);
    for _ in 0..2 {
        let atlas = world.open(Atlas::builder()).await;
        atlas.settled().await.unwrap();
        assert_eq!(events(&atlas).len(), 3);
        assert_eq!(atlas.store().event_at(3).unwrap().unwrap().id(), later);
        assert!(loans(&atlas).timers(10).await.unwrap().is_empty());
        atlas.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_is_taken_back_never_fires() {
    let (world, clock) = World::new(json!([])).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    let kept = loans(&atlas).after(HOUR, told("kept")).await.unwrap();
    let taken = loans(&atlas).after(HOUR, told("taken")).await.unwrap();
    loans(&atlas).cancel_timer(taken).await.unwrap();
    for id in [taken, uuid::Uuid::from_u128(7)] {
        let error = loans(&atlas).cancel_timer(id).await.unwrap_err();
        assert!(matches!(error, Error::Dispatch(DispatchError::NoSuchTimer { .. })), "{error}");
    }
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(events(&atlas), [(TOLD.to_owned(), "kept".to_owned(), 1)]);
    assert!(loans(&atlas).cancel_timer(kept).await.is_err(), "it has fired");
    // Who sets one again that was taken back is told.
    let due = Timestamp::from_micros(1_800_000_000_000_000);
    let id = uuid::Uuid::from_u128(8);
    let again = || async { loans(&atlas).at(due, told("again").id(id)).await };
    again().await.unwrap();
    loans(&atlas).cancel_timer(id).await.unwrap();
    assert!(again().await.unwrap_err().to_string().contains("was cancelled"));
    // An event of null is one as well.
    let null = loans(&atlas).after(HOUR, Event::new(TOLD, "null").data(&())).await.unwrap();
    assert_eq!(loans(&atlas).timers(10).await.unwrap()[0].id, null);
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(atlas.store().event(&crate::world::scope(), null).unwrap().unwrap().data(), b"null");
    // What one scope has set is nothing to another.
    let other = loans(&atlas).after(HOUR, told("other")).await.unwrap();
    assert!(atlas.scope("other-bank", "loans").cancel_timer(other).await.is_err());
    assert!(atlas.scope("other-bank", "loans").timers(10).await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_is_set_once_under_its_id_and_only_for_what_can_come_in() {
    let (world, clock) = World::new(json!([])).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    let due = Timestamp::from_micros(1_700_000_060_000_000);
    let id = uuid::Uuid::from_u128(7);
    assert_eq!(loans(&atlas).at(due, told("s").id(id)).await.unwrap(), id);
    let end = atlas.store().stats().unwrap().tail_bytes;
    assert_eq!(loans(&atlas).at(due, told("s").id(id)).await.unwrap(), id, "the same is the same timer");
    assert_eq!(atlas.store().stats().unwrap().tail_bytes, end, "and nothing is written");
    let error = loans(&atlas).at(due, told("other").id(id)).await.unwrap_err().to_string();
    assert!(error.contains("another timer has the id"), "{error}");
    let error = loans(&atlas).at(due, Event::new("LOAN_OFFER_LOST_COMPLETE_1", "s")).await.unwrap_err().to_string();
    assert!(error.contains("has no document"), "{error}");
    let far = loans(&atlas).after(Duration::from_secs(200 * 366 * 86_400), told("s")).await.unwrap_err().to_string();
    assert!(far.contains("MAX_TIMER_AHEAD"), "{far}");

    // The type goes out of use before the timer is due: it fails, on record, and the next one fires.
    let retired = loans(&atlas).at(due, Event::new(SCORED, "s")).await.unwrap();
    let scored = SCORED.parse().unwrap();
    atlas.catalog().types_retire("dutch-bank/loans".parse::<atlas::Scope>().unwrap().application(), &scored).unwrap();
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(events(&atlas).len(), 1);
    assert!(loans(&atlas).timers(10).await.unwrap().is_empty());
    assert!(atlas.status(retired).await.is_err());
    // The id of an event that is there by another way: what is on record stays.
    let known = loans(&atlas).ingest(told("again").time(due)).await.unwrap();
    loans(&atlas).after(HOUR, told("again").time(due).id(known.id)).await.unwrap();
    loans(&atlas).after(HOUR, Event::new(TOLD, "again").id(known.id)).await.unwrap_err();
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!((events(&atlas).len(), loans(&atlas).timers(10).await.unwrap().len()), (2, 0));
    atlas.close().await.unwrap();
}

/// Of two different ones that are set at once under one id, one is, and who set the other is told.
#[tokio::test(flavor = "multi_thread")]
async fn of_timers_that_are_set_at_once_under_one_id_one_is_set() {
    let world = World::new(json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let due = Timestamp::from_micros(4_000_000_000_000_000);
    for round in 0..20 {
        let id = uuid::Uuid::from_u128(100 + round);
        let set: Vec<_> = ["a", "b", "a", "b"]
            .map(|stream| {
                let loans = loans(&atlas);
                tokio::spawn(async move { loans.at(due, told(stream).id(id)).await.is_ok().then_some(stream) })
            })
            .into();
        let mut streams = Vec::new();
        for set in set {
            streams.extend(set.await.unwrap());
        }
        let listed = loans(&atlas).timers(99).await.unwrap();
        let timer = listed.iter().find(|timer| timer.id == id).unwrap();
        assert_eq!(streams, [timer.stream.as_str(); 2]);
    }
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_sets_timers_together_with_its_success() {
    let (world, clock) = World::new(function("f")).with_clock();
    let f = |delivery: Delivery| async move {
        let remind = Event::new(TOLD, "").data(&json!({ "attempt": delivery.attempt() }));
        let emit = Emit::none().event(Event::new(SCORED, "")).after(HOUR, remind);
        if delivery.attempt() == 1 { Err(HandlerError::RetryAfter(Duration::ZERO, "busy".into())) } else { Ok(emit) }
    };
    let atlas = world.open(Atlas::builder().function("f", f)).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.phase, done.caused), (Phase::Complete, 1), "a timer counts once it has fired");
    let timers = loans(&atlas).timers(10).await.unwrap();
    assert_eq!(timers.len(), 1, "of the attempt that succeeded");
    let of_timer = async |id| -> Vec<Step> {
        let steps = atlas.trail(id).await.unwrap().steps.into_iter().map(|step| step.step);
        let is_of_timer = |step: &Step| matches!(step, Step::TimerSet { .. } | Step::TimerFired { .. });
        steps.filter(is_of_timer).collect()
    };
    let (timer, due) = (timers[0].id, timers[0].due);
    assert_eq!(of_timer(receipt.id).await, [Step::TimerSet { timer, due }]);
    assert_eq!((timers[0].causation_id, timers[0].stream.as_str()), (Some(receipt.id), "s"));
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    let cascade = atlas.cascade(receipt.id).await.unwrap();
    assert_eq!(cascade.events.len(), 3);
    let reminder = atlas.store().event(&"dutch-bank/loans".parse().unwrap(), timers[0].id).unwrap().unwrap();
    assert_eq!((reminder.correlation_id(), reminder.data()), (receipt.id, &br#"{"attempt":2}"#[..]));
    assert_eq!(atlas.status(receipt.id).await.unwrap().caused, 2);
    assert_eq!(of_timer(receipt.id).await, [Step::TimerSet { timer, due }, Step::TimerFired { timer }]);
    assert_eq!(of_timer(timer).await, [Step::TimerSet { timer, due }, Step::TimerFired { timer }]);
    atlas.close().await.unwrap();
}

/// Also of timers that were set long ago: the log is followed again from where the first of them stands.
#[tokio::test(flavor = "multi_thread")]
async fn timers_are_there_again_when_the_derived_file_is_gone() {
    let (world, clock) = World::new(json!([])).with_clock();
    let builder = || Atlas::builder().dispatch_options(Options { checkpoint_every: 16, ..Options::default() });
    let atlas = world.open(builder()).await;
    let mut set = Vec::new();
    for number in 0..300_u32 {
        set.push(
            loans(&atlas)
                .after(HOUR + Duration::from_secs(u64::from(number % 7)), told(&format!("s{number}")))
                .await
                .unwrap(),
        );
    }
    for number in 0..100 {
        loans(&atlas).ingest(Event::new(SENT, format!("t{number}"))).await.unwrap();
    }
    loans(&atlas).cancel_timer(set[0]).await.unwrap();
    atlas.settled().await.unwrap();
    atlas.close().await.unwrap();
    world.disk.remove("dispatch.redb").unwrap();
    let atlas = world.open(builder()).await;
    assert_eq!(loans(&atlas).timers(1_000).await.unwrap().len(), 299);
    clock.advance(2 * HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(events(&atlas).len(), 100 + 299);
    assert!(loans(&atlas).timers(1_000).await.unwrap().is_empty());
    atlas.close().await.unwrap();
}
