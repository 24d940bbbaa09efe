//! What is parked, and what operators do about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use atlas::dispatch::{Delivery, DeliveryFilter, DispatchError, HandlerError, Obstacle, Outcome, Phase};
use atlas::{Atlas, Error};
use serde_json::json;

use crate::world::{Calls, World, function, id_of, ingest};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_holds_its_lane_until_an_operator_acts() {
    let world = World::new(function("f"));
    let calls = Calls::default();
    let healed = Arc::new(AtomicU32::new(0));
    let (log, well) = (calls.clone(), healed.clone());
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            let broken = delivery.event().stream() == "bad" && well.load(Ordering::SeqCst) == 0;
            async move { if broken { Err(HandlerError::Retry("the bureau is closed".into())) } else { Ok(()) } }
        }))
        .await;
    let first = ingest(&atlas, "bad", json!({})).await;
    let second = ingest(&atlas, "bad", json!({})).await;
    let other = ingest(&atlas, "good", json!({})).await;

    let done = atlas.completion(other.id).await.unwrap();
    assert_eq!((done.phase, done.outcome), (Phase::Complete, Some(Outcome::Success)));
    let stuck = atlas.completion(first.id).await.unwrap();
    assert_eq!((stuck.phase, stuck.outcome), (Phase::InProcess, None));
    assert_eq!(stuck.blocked_by.len(), 1);
    assert_eq!((&stuck.blocked_by[0].id, stuck.blocked_by[0].obstacle), (&id_of(&first, "f"), Obstacle::Parked));
    assert_eq!((stuck.deliveries[0].attempts, stuck.deliveries[0].parked), (3, true));
    assert_eq!(stuck.deliveries[0].error.as_deref(), Some("the bureau is closed"));
    let behind = atlas.completion(second.id).await.unwrap();
    assert_eq!(behind.blocked_by[0].obstacle, Obstacle::Behind);
    assert_eq!(behind.phase, Phase::Pending);
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind), left.total()), (1, 1, 2));
    assert!(left.to_string().contains("1 of f in dutch-bank/loans: parked"), "{left}");
    let parked = atlas.deliveries(DeliveryFilter { parked: true, ..DeliveryFilter::default() }).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].delivery.error.as_deref(), Some("the bureau is closed"));

    // Only what is parked can be released.
    let error = atlas.release(&id_of(&second, "f")).await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NotParked { .. })), "{error}");
    let error = atlas.release(&id_of(&second, "g")).await.unwrap_err();
    assert!(error.to_string().contains("has no delivery g; it has f"), "{error}");

    // Released while it is still broken: attempts count anew, and it is parked again.
    calls.take();
    atlas.release(&id_of(&first, "f")).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(calls.take().iter().map(|call| call.3).collect::<Vec<_>>(), [1, 2, 3]);
    healed.store(1, Ordering::SeqCst);
    atlas.release(&id_of(&first, "f")).await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(calls.take(), [("bad".to_owned(), 1, 1, 1), ("bad".to_owned(), 2, 1, 1)]);
    assert_eq!(atlas.status(first.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_delivery_is_a_failure_and_lets_the_lane_go_on() {
    let world = World::new(function("f"));
    let atlas = world
        .open(Atlas::builder().function("f", |delivery: Delivery| async move {
            if delivery.event().version() == 1 { Err(HandlerError::Fatal("never".into())) } else { Ok(()) }
        }))
        .await;
    let first = ingest(&atlas, "s", json!({})).await;
    let second = ingest(&atlas, "s", json!({})).await;
    let stuck = atlas.completion(second.id).await.unwrap();
    assert_eq!(stuck.blocked_by[0].obstacle, Obstacle::Behind);
    assert_eq!(atlas.status(first.id).await.unwrap().deliveries[0].attempts, 1, "fatal is out of attempts at once");
    atlas.drop_delivery(&id_of(&first, "f"), "the customer is gone").await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    let status = atlas.status(first.id).await.unwrap();
    assert_eq!((status.phase, status.outcome), (Phase::Complete, Some(Outcome::Failure)));
    assert_eq!(status.deliveries[0].error.as_deref(), Some("the customer is gone"));
    assert_eq!(atlas.status(second.id).await.unwrap().outcome, Some(Outcome::Success));
    let error = atlas.drop_delivery(&id_of(&first, "f"), "again").await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NotDroppable { .. })), "{error}");
    atlas.close().await.unwrap();
}
