//! Emitted events, and waiting for all that an event caused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use atlas::dispatch::{Delivery, DeliveryFilter, DispatchError, Emit, HandlerError, Obstacle, Options, Outcome, Phase};
use atlas::log::Query;
use atlas::{Atlas, Error, Event, Uuid};
use serde_json::json;

use crate::world::{SCORED, SENT, TOLD, World, events, function, ingest, loans, scope, scorer};

#[tokio::test(flavor = "multi_thread")]
async fn emitted_events_are_there_once_also_after_reopening() {
    let world = World::new(function("f"));
    let atlas = world.open(scorer()).await;
    let receipt = loans(&atlas).ingest(Event::new(SENT, "s").actor("desk 7")).await.unwrap();
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.phase, done.outcome, done.caused), (Phase::Complete, Some(Outcome::Success), 2));
    assert_eq!(done.deliveries[0].output, Some(json!({ "score": 7 })));
    let after = [(SENT, "s", 1), (SCORED, "s", 2), (TOLD, "letters", 1)];
    let after = after.map(|(of, stream, version)| (of.to_owned(), stream.to_owned(), version));
    assert_eq!(events(&atlas), after);
    let cause = atlas.store().event_at(1).unwrap().unwrap();
    for position in [2, 3] {
        let event = atlas.store().event_at(position).unwrap().unwrap();
        assert_eq!(event.causation_id(), Some(receipt.id));
        assert_eq!(event.correlation_id(), receipt.id);
        assert_eq!(event.actor(), Some("desk 7"));
        assert_eq!(event.time().micros(), cause.recorded_at());
        assert_eq!(event.id().get_version_num(), 7);
        assert_eq!(event.id().as_u128() >> 80, receipt.id.as_u128() >> 80);
        assert_eq!(event.revision(), receipt.revision);
    }
    let tree = atlas.cascade(receipt.id).await.unwrap();
    let depths: Vec<(u32, u64)> = tree.events.iter().map(|event| (event.depth, event.position)).collect();
    assert_eq!(depths, [(0, 1), (1, 2), (1, 3)]);
    atlas.close().await.unwrap();

    let atlas = world.open(scorer()).await;
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(events(&atlas), after);
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_goes_through_all_that_an_event_caused() {
    let world = World::of(&[
        (SENT, function("f")),
        (SCORED, function("f")),
        (TOLD, json!([{ "name": "last", "target": { "function": "last" }, "retry": { "attempts": 1 } }])),
    ]);
    let broken = Arc::new(AtomicU32::new(1));
    let is_broken = broken.clone();
    let atlas = world
        .open(
            Atlas::builder()
                .function("f", |delivery: Delivery| async move {
                    let next = if delivery.event().event_type() == SENT { SCORED } else { TOLD };
                    Ok::<_, HandlerError>(Event::new(next, ""))
                })
                .function("last", move |_: Delivery| {
                    let broken = is_broken.load(Ordering::SeqCst) == 1;
                    async move { if broken { Err(HandlerError::Fatal("no".into())) } else { Ok(()) } }
                }),
        )
        .await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let stuck = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((stuck.phase, stuck.caused), (Phase::InProcess, 2));
    let blocker = &stuck.blocked_by[0];
    assert_eq!((blocker.obstacle, blocker.id.handler.as_str()), (Obstacle::Parked, "last"));
    assert_eq!(atlas.store().event(&scope(), blocker.id.event).unwrap().unwrap().event_type(), TOLD);

    let cascade = loans(&atlas).cascade(receipt.id).await.unwrap();
    assert_eq!((cascade.phase, cascade.outcome, cascade.events.len()), (Phase::InProcess, None, 3));

    broken.store(0, Ordering::SeqCst);
    atlas.release(&blocker.id).await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.outcome, done.blocked_by.len()), (Some(Outcome::Success), 0));
    let error = atlas.completion(Uuid::from_u128(5)).await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NoSuchEvent { .. })), "{error}");
    atlas.close().await.unwrap();
}

/// Whoever knows the correlation id alone, as an endpoint that was called, can add to the cascade later; in its own scope.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_the_correlation_id_alone_is_of_the_cascade() {
    let world = World::of(&[
        (SENT, function("f")),
        (TOLD, json!([{ "name": "last", "target": { "function": "last" }, "out_of_attempts": "fail" }])),
    ]);
    let builder = Atlas::builder()
        .function("f", |_: Delivery| async { Ok::<_, HandlerError>(Event::new(SCORED, "")) })
        .function("last", |_: Delivery| async { Err::<(), _>(HandlerError::Fatal("no".into())) });
    let atlas = world.open(builder).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    atlas.settled().await.unwrap();
    let cascade = || async { loans(&atlas).cascade(receipt.id).await.unwrap() };
    assert_eq!(cascade().await.outcome, Some(Outcome::Success));
    loans(&atlas).ingest(Event::new(TOLD, "elsewhere").correlation_id(receipt.id)).await.unwrap();
    atlas.settled().await.unwrap();
    let cascade = cascade().await;
    let told: Vec<_> = cascade.events.iter().map(|event| (event.depth, event.event_type.as_str())).collect();
    assert_eq!(told, [(0, SENT), (1, SCORED), (0, TOLD)]);
    assert_eq!((cascade.phase, cascade.outcome), (Phase::Complete, Some(Outcome::Failure)));
    // What the first event caused itself is as it was.
    assert_eq!(atlas.status(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_events_ends_at_the_depth_limit() {
    let world = World::new(function("f"));
    let options = Options { max_cascade_depth: 5, ..Options::default() };
    let again = |_: Delivery| async { Ok::<_, HandlerError>(Event::new(SENT, "")) };
    let atlas = world.open(Atlas::builder().dispatch_options(options).function("f", again)).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let stuck = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(stuck.caused, 5);
    let parked = atlas.deliveries(DeliveryFilter { parked: true, ..DeliveryFilter::default() }).await.unwrap();
    let why = parked[0].delivery.error.clone().unwrap();
    assert!(why.contains("max_cascade_depth is 5"), "{why}");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_emitted_is_a_fatal_failure_and_emits_nothing() {
    let world = World::new(function("f"));
    let atlas = world
        .open(Atlas::builder().function("f", |delivery: Delivery| async move {
            let good = Event::new(SCORED, "");
            let bad = match delivery.event().stream() {
                "unknown" => Event::new("LOAN_OFFER_UNKNOWN_COMPLETE_1", ""),
                "malformed" => Event::new("LOAN", ""),
                "stated" => Event::new(SCORED, "").id(Uuid::from_u128(1)),
                _ => Event::new(SCORED, "a\nb"),
            };
            Ok::<_, HandlerError>(Emit::none().event(good).event(bad))
        }))
        .await;
    for stream in ["unknown", "malformed", "stated", "stream"] {
        let receipt = ingest(&atlas, stream, json!({})).await;
        let stuck = atlas.completion(receipt.id).await.unwrap();
        assert_eq!((stuck.deliveries[0].attempts, stuck.deliveries[0].parked, stuck.caused), (1, true, 0), "{stream}");
        let why = stuck.deliveries[0].error.clone().unwrap();
        assert!(why.contains("emitted event 2") || why.contains("event 1 of the append"), "{stream}: {why}");
    }
    assert_eq!(events(&atlas).len(), 4);
    atlas.close().await.unwrap();
}

/// Ids follow from the cause's id and the call alone: so a call that is made again, anywhere, emits the same events.
#[tokio::test(flavor = "multi_thread")]
async fn emitted_ids_follow_from_the_cause_and_the_call() {
    let id: Uuid = "018f0000-1234-7abc-8def-0123456789ab".parse().unwrap();
    let mut emitted = Vec::new();
    for _ in 0..2 {
        let world = World::new(function("f"));
        let atlas = world.open(scorer()).await;
        let receipt = loans(&atlas).ingest(Event::new(SENT, "s").id(id)).await.unwrap();
        atlas.completion(receipt.id).await.unwrap();
        let caused = atlas.store().caused_by(&scope(), id).unwrap();
        emitted.push(caused.iter().map(|event| event.id()).collect::<Vec<_>>());
        atlas.close().await.unwrap();
    }
    assert_eq!(emitted[0].len(), 2);
    assert_ne!(emitted[0][0], emitted[0][1]);
    assert_eq!(emitted[0], emitted[1]);
}

/// Nobody ever sees an emitted event without the record that the call which emitted it succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_emitted_becomes_visible_together_with_its_completion() {
    let world = World::new(function("f"));
    let atlas = world.open(scorer()).await;
    let watcher = std::thread::spawn({
        let (host, runtime) = (atlas.clone(), tokio::runtime::Handle::current());
        move || {
            let mut emitted = host.store().subscribe(Query::new().type_prefix(SCORED), 0);
            for _ in 0..50 {
                let cause = emitted.next_blocking().unwrap().causation_id().unwrap();
                let status = runtime.block_on(host.status(cause)).unwrap();
                assert_eq!(status.deliveries[0].outcome, Some(Outcome::Success));
            }
        }
    });
    for number in 0..50 {
        ingest(&atlas, &format!("s{number}"), json!({})).await;
    }
    tokio::task::spawn_blocking(move || watcher.join().unwrap()).await.unwrap();
    atlas.close().await.unwrap();
}
