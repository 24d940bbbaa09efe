//! History that was recorded elsewhere.

use std::time::Duration;

use atlas::dispatch::{Delivery, DispatchError, HandlerError, Outcome, Phase};
use atlas::log::Query;
use atlas::storage::Environment;
use atlas::{Atlas, Error, Event};
use serde_json::json;

use crate::world::{Calls, SENT, World, function, ingest, loans, scorer};

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_imported_has_no_deliveries() {
    let source = World::new(function("f"));
    let atlas = source.open(scorer()).await;
    let receipt = ingest(&atlas, "s", json!({ "amount": 1 })).await;
    atlas.completion(receipt.id).await.unwrap();
    let lines: Vec<String> = atlas
        .store()
        .read(Query::new())
        .unwrap()
        .map(|event| serde_json::to_string(&event.unwrap().envelope()).unwrap())
        .collect();
    atlas.close().await.unwrap();

    let copy = World::new(function("f"));
    let atlas = Atlas::builder().open_with(Environment::new(copy.disk.clone())).await.unwrap();
    let mut import = atlas.import_as_recorded().await.unwrap();
    for line in &lines {
        import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    }
    assert_eq!(import.finish().unwrap(), 3);
    atlas.close().await.unwrap();

    let atlas = copy.open(scorer()).await;
    assert!(atlas.settled().await.unwrap().is_empty());
    let status = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((status.phase, status.outcome, status.imported), (Phase::Complete, Some(Outcome::Success), true));
    assert!(status.deliveries.is_empty());
    let copied: Vec<String> = atlas
        .store()
        .read(Query::new())
        .unwrap()
        .map(|event| serde_json::to_string(&event.unwrap().envelope()).unwrap())
        .collect();
    assert_eq!(copied, lines);
    // What comes after is served.
    let new = ingest(&atlas, "s", json!({})).await;
    assert_eq!(atlas.completion(new.id).await.unwrap().caused, 2);
    assert!(atlas.import_as_recorded().await.is_err(), "only into a store without events");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_history_that_never_ended_is_history_up_to_where_it_came() {
    let source = World::new(json!([]));
    let atlas = source.open(Atlas::builder()).await;
    ingest(&atlas, "s", json!({})).await;
    let line = serde_json::to_string(&atlas.store().event_at(1).unwrap().unwrap().envelope()).unwrap();
    atlas.close().await.unwrap();
    let copy = World::new(function("f"));
    let atlas = Atlas::builder().open_with(Environment::new(copy.disk.clone())).await.unwrap();
    {
        let mut import = atlas.import_as_recorded().await.unwrap();
        import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
        // As a process that ends here would.
        std::mem::forget(import);
    }
    atlas.close().await.unwrap();
    let atlas = copy.open(scorer()).await;
    let new = ingest(&atlas, "s", json!({})).await;
    let done = atlas.completion(new.id).await.unwrap();
    assert_eq!((done.caused, done.imported), (2, false));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ingested_during_an_import_and_one_that_is_dropped_takes_no_later_event_with_it() {
    let world = World::new(function("f"));
    let source = world.open(scorer()).await;
    let copy = World::new(function("f"));
    // Its configuration stands before the history, so that must not be older.
    let atlas = copy.open(scorer()).await;
    ingest(&source, "s", json!({})).await;
    let line = serde_json::to_string(&source.store().event_at(1).unwrap().unwrap().envelope()).unwrap();
    source.close().await.unwrap();
    let mut import = atlas.import_as_recorded().await.unwrap();
    import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    let refused = loans(&atlas).ingest(Event::new(SENT, "s")).await;
    assert!(matches!(refused, Err(Error::Dispatch(DispatchError::ImportUnderWay))), "{refused:?}");
    drop(import);
    let new = ingest(&atlas, "s", json!({})).await;
    assert_eq!(new.position, 2, "what was pushed is there");
    let done = atlas.completion(new.id).await.unwrap();
    assert_eq!((done.caused, done.imported), (2, false));
    atlas.close().await.unwrap();
    let atlas = copy.open(scorer()).await;
    let again = atlas.status(new.id).await.unwrap();
    assert!(!again.imported && again.deliveries.len() == 1, "{again:?}");
    assert!(atlas.status(atlas.store().event_at(1).unwrap().unwrap().id()).await.unwrap().imported);
    atlas.close().await.unwrap();
}

/// An import into a store with events is refused at once, and takes none of them for history, though dispatch is behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_refused_costs_no_delivery() {
    let world = World::new(function("f"));
    let calls = Calls::default();
    let (seen, (blocked, unblock)) = (calls.clone(), std::sync::mpsc::channel::<()>());
    let (unblocked, first) = (std::sync::Mutex::new(unblock), std::sync::Once::new());
    let builder = Atlas::builder()
        .function("f", move |delivery: Delivery| {
            seen.add(&delivery);
            async { Ok::<_, HandlerError>(()) }
        })
        .observe(move |_| first.call_once(|| unblocked.lock().unwrap().recv().unwrap()));
    let atlas = world.open(builder).await;
    for batch in 0..25 {
        let events = (0..100).map(|number| Event::new(SENT, format!("s{number}")).data(&json!({ "batch": batch })));
        loans(&atlas).ingest_all(events.collect()).await.unwrap();
    }
    let refused = atlas.import_as_recorded().await.err().unwrap();
    assert!(refused.to_string().contains("the whole log"), "{refused}");
    blocked.send(()).unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(calls.take().len(), 2_500);
    atlas.close().await.unwrap();
}

/// Imports begin and are given up while events are ingested: each event that was acknowledged has its delivery, or none was.
#[tokio::test(flavor = "multi_thread")]
async fn of_events_and_an_import_at_once_one_is_refused() {
    for _ in 0..20 {
        let world = World::new(function("f"));
        let atlas = world.open(scorer()).await;
        let ingesting = {
            let loans = loans(&atlas);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for _ in 0..20 {
                    acknowledged.extend(loans.ingest(Event::new(SENT, "s")).await.ok());
                }
                acknowledged
            })
        };
        for _ in 0..5 {
            drop(atlas.import_as_recorded().await);
        }
        let acknowledged = ingesting.await.unwrap();
        assert!(atlas.settled().await.unwrap().is_empty());
        for receipt in acknowledged {
            let done = atlas.status(receipt.id).await.unwrap();
            assert_eq!((done.imported, done.caused), (false, 2));
        }
        atlas.close().await.unwrap();
    }
}

/// A close in the middle of an import leaves nobody to ingest what the next open would take for history.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ingested_after_a_close_in_the_middle_of_an_import() {
    let world = World::new(function("f"));
    let atlas = world.open(scorer()).await;
    let import = atlas.import_as_recorded().await.unwrap();
    atlas.dispatcher().close(Duration::ZERO).await.unwrap();
    let refused = loans(&atlas).ingest(Event::new(SENT, "s")).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(atlas.store().last_position(), 0);
    std::mem::forget(import);
    atlas.close().await.unwrap();
    let atlas = world.open(scorer()).await;
    let new = ingest(&atlas, "s", json!({})).await;
    assert_eq!(atlas.completion(new.id).await.unwrap().caused, 2);
    atlas.close().await.unwrap();
}
