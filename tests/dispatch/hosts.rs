//! Atlas in a host: receipts, refusals, several stores, runtimes of all kinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use atlas::dispatch::{Delivery, DispatchError, HandlerError};
use atlas::storage::{Clock, Environment, MemoryDisk};
use atlas::{Atlas, Error, Event, Receipt, Uuid};
use serde_json::json;

use crate::world::{SENT, World, events, function, ingest, loans, scope, scorer};

#[tokio::test(flavor = "multi_thread")]
async fn a_known_id_gives_the_first_receipt_also_when_its_type_is_retired() {
    let world = World::new(json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let event = || Event::new(SENT, "s").id(Uuid::from_u128(7)).data(&json!({ "a": 1 }));
    let first = loans(&atlas).ingest(event()).await.unwrap();
    assert!(first.durable && !first.repeated);
    let again = loans(&atlas).ingest(event()).await.unwrap();
    assert_eq!(again, Receipt { repeated: true, ..first });
    let application = scope().application().clone();
    assert!(atlas.catalog().types_retire(&application, &SENT.parse().unwrap()).unwrap());
    assert!(matches!(loans(&atlas).ingest(Event::new(SENT, "s")).await, Err(Error::Route(_))));
    assert_eq!(loans(&atlas).ingest(event()).await.unwrap(), again);
    assert_eq!(loans(&atlas).ingest_all(vec![event()]).await.unwrap(), [again]);
    let other = loans(&atlas).ingest(event().data(&json!({ "a": 2 }))).await;
    assert!(matches!(other, Err(Error::Append(atlas::log::AppendError::IdReused { .. }))), "{other:?}");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_writes_nothing() {
    let world = World::new(json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let unknown = Event::new("LOAN_OFFER_SNET_COMPLETE_1", "s");
    let error = loans(&atlas).ingest(unknown.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Route(_)), "{error}");
    let batch = vec![Event::new(SENT, "s"), unknown];
    assert!(loans(&atlas).ingest_all(batch).await.is_err());
    let error = atlas.scope("no tenant", "loans").ingest(Event::new(SENT, "s")).await.unwrap_err();
    assert!(matches!(error, Error::Vocabulary(_)), "{error}");
    let error = atlas.scope("other-bank", "loans").ingest(Event::new(SENT, "s")).await.unwrap_err();
    assert!(matches!(error, Error::Route(_)), "{error}");
    assert!(events(&atlas).is_empty());
    atlas.close().await.unwrap();
    assert!(matches!(loans(&atlas).ingest(Event::new(SENT, "s")).await, Err(Error::Append(_))));
    assert!(atlas.settled().await.is_err());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (World::new(function("f")), World::new(function("f")));
    let stores = [one.open(scorer()).await, two.open(scorer()).await];
    let first = ingest(&stores[0], "s", json!({})).await;
    stores[0].completion(first.id).await.unwrap();
    assert_eq!((events(&stores[0]).len(), events(&stores[1]).len()), (3, 0));
    stores[0].close().await.unwrap();
    let second = ingest(&stores[1], "s", json!({})).await;
    assert_eq!(stores[1].completion(second.id).await.unwrap().caused, 2);
    stores[1].close().await.unwrap();
}

#[test]
fn a_runtime_that_goes_takes_dispatch_with_it_and_not_the_store() {
    let world = World::new(function("f"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let atlas = runtime.block_on(async {
        let hanging = Atlas::builder().function("f", move |_: Delivery| {
            started.send(()).unwrap();
            std::future::pending::<Result<(), HandlerError>>()
        });
        let atlas = world.open(hanging).await;
        ingest(&atlas, "s", json!({})).await;
        starts.recv().await.unwrap();
        atlas
    });
    runtime.shutdown_background();
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The runtime has no timer and no I/O: Atlas needs neither.
    other.block_on(async {
        let receipt = ingest(&atlas, "s", json!({})).await;
        assert!(receipt.durable);
        assert!(atlas.settled().await.is_err());
    });
    atlas.store().close().unwrap();
}

#[test]
fn a_runtime_without_timer_will_do() {
    let world = World::new(function("f"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let flaky = Atlas::builder().function("f", |delivery: Delivery| async move {
            if delivery.attempt() < 3 { Err(HandlerError::Retry("not yet".into())) } else { Ok(()) }
        });
        let atlas = world.open(flaky).await;
        let receipt = ingest(&atlas, "s", json!({})).await;
        assert_eq!(atlas.completion(receipt.id).await.unwrap().deliveries[0].attempts, 3);
        atlas.close().await.unwrap();
    });
}

#[test]
fn an_open_outside_a_runtime_is_an_error() {
    let opening = Box::pin(Atlas::builder().open_with(Environment::new(MemoryDisk::new())));
    let waker = std::task::Waker::noop();
    let mut opening = opening;
    let polled = opening.as_mut().poll(&mut std::task::Context::from_waker(waker));
    assert!(matches!(polled, std::task::Poll::Ready(Err(Error::NoRuntime))));
}

/// Panics in the thread of dispatch, once it is told to.
#[derive(Debug, Default)]
struct PanickingClock(AtomicBool);

impl Clock for PanickingClock {
    fn now_micros(&self) -> i64 {
        let in_dispatch = std::thread::current().name() == Some("atlas-dispatch");
        assert!(!in_dispatch || !self.0.load(Ordering::SeqCst), "as told");
        1_700_000_000_000_000
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_thread_of_dispatch_that_panics_is_told() {
    let world = World::new(json!([{ "name": "a", "target": { "function": "f" } }]));
    let clock = Arc::new(PanickingClock::default());
    let mut environment = Environment::new(world.disk.clone());
    environment.clock = clock.clone();
    let hanging = Atlas::builder().function("f", |_: Delivery| std::future::pending::<Result<(), HandlerError>>());
    let atlas = hanging.open_with(environment).await.unwrap();
    loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    let receipt = ingest(&atlas, "s", json!({})).await;
    let of = atlas.clone();
    let waits = tokio::spawn(async move { of.completion(receipt.id).await });
    clock.0.store(true, Ordering::SeqCst);
    let panicked = |error: Error| matches!(error, Error::Dispatch(DispatchError::Panicked));
    assert!(panicked(atlas.settled().await.unwrap_err()));
    assert!(panicked(waits.await.unwrap().unwrap_err()));
    assert!(panicked(atlas.close().await.unwrap_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_closes_at_once_both_end() {
    let world = World::new(function("f"));
    let atlas = world.open(scorer()).await;
    ingest(&atlas, "s", json!({})).await;
    let (one, two) = tokio::join!(atlas.close(), atlas.close());
    one.unwrap();
    two.unwrap();
}
