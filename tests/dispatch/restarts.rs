//! What a restart finds: attempts that died, functions that came, a database that is gone.

use std::time::Duration;

use atlas::dispatch::{Delivery, DeliveryFilter, HandlerError, Obstacle, Options, Phase};
use atlas::{Atlas, Event, Receipt, Uuid};
use serde_json::json;

use crate::world::{Calls, SENT, World, function, ingest, loans};

/// The process ends while handlers run: nothing is closed, and their runtime goes.
fn crash_while_running(world: &World, attempts_before: u32) -> Receipt {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let receipt = runtime.block_on(async {
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let hanging = Atlas::builder().function("f", move |delivery: Delivery| {
            started.send(delivery.attempt()).unwrap();
            std::future::pending::<Result<(), HandlerError>>()
        });
        let atlas = world.open(hanging).await;
        let receipt = loans(&atlas).ingest(Event::new(SENT, "s").id(Uuid::from_u128(0x7abc << 64))).await.unwrap();
        assert_eq!(starts.recv().await, Some(attempts_before + 1));
        assert_eq!(atlas.status(receipt.id).await.unwrap().phase, Phase::InProcess);
        // Durable, so that the attempt is on record as after the death of a process alone.
        atlas.store().sync().unwrap();
        atlas.store().close().unwrap();
        receipt
    });
    runtime.shutdown_background();
    receipt
}

#[test]
fn what_was_in_process_is_tried_again_and_its_attempt_counted() {
    let world = World::new(function("f"));
    for attempts_before in 0..3 {
        crash_while_running(&world, attempts_before);
    }
    // Three attempts took the process with them: the fourth isn't made.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas =
            world.open(Atlas::builder().function("f", |_: Delivery| async { Ok::<(), HandlerError>(()) })).await;
        let left = atlas.settled().await.unwrap();
        assert_eq!(left.count(Obstacle::Parked), 1, "{left}");
        let parked = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
        assert_eq!(parked[0].delivery.attempts, 3);
        let why = parked[0].delivery.error.clone().unwrap();
        assert!(why.contains("attempt 3 was started and never ended"), "{why}");
        atlas.release(&parked[0].delivery.id).await.unwrap();
        assert!(atlas.settled().await.unwrap().is_empty());
        atlas.close().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unbound_is_served_by_a_process_that_has_the_function() {
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" } },
        { "name": "mail", "weight": 2, "target": { "queue": "mail" } },
    ]));
    // Nothing is registered, as on the command line.
    let atlas = world.open(Atlas::builder()).await;
    let mut receipts = Vec::new();
    for number in 0..40 {
        receipts.push(ingest(&atlas, &format!("s{}", number % 4), json!({})).await);
    }
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Unbound), left.total()), (40, 40), "{left}");
    let status = atlas.completion(receipts[7].id).await.unwrap();
    assert_eq!(status.phase, Phase::InProcess, "the queue has its message");
    assert_eq!(status.blocked_by[0].obstacle, Obstacle::Unbound);
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 40);
    atlas.close().await.unwrap();

    let calls = Calls::default();
    let log = calls.clone();
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            async { Ok::<(), HandlerError>(()) }
        }))
        .await;
    assert!(atlas.settled().await.unwrap().is_empty());
    let calls = calls.take();
    assert_eq!(calls.len(), 40);
    for stream in ["s0", "s1", "s2", "s3"] {
        let versions: Vec<u64> = calls.iter().filter(|call| call.0 == stream).map(|call| call.1).collect();
        assert_eq!(versions, (1..=10).collect::<Vec<u64>>());
    }
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 40, "no message twice");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_waits_for_a_process_that_calls_http() {
    let world = World::new(json!([{ "name": "h", "target": { "http": "http://127.0.0.1:9/offers" } }]));
    let atlas = world.open(Atlas::builder().http(false)).await;
    let staged = loans(&atlas).config().import(world.tree.path()).await.unwrap();
    let unbound = serde_json::to_value(&staged.imported().unbound).unwrap();
    assert_eq!(unbound[0]["http"]["url"], "http://127.0.0.1:9/offers");
    assert_eq!(unbound[0]["types"], json!([SENT]));
    let receipt = ingest(&atlas, "s", json!({})).await;
    let status = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((status.phase, status.blocked_by[0].obstacle), (Phase::Pending, Obstacle::Unbound));
    atlas.close().await.unwrap();
    // Where the crate can call it, nothing is unbound.
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let staged = loans(&atlas).config().import(world.tree.path()).await.unwrap();
    assert_eq!(staged.imported().unbound.is_empty(), cfg!(feature = "http-client"));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_database_comes_back_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" }, "retry": { "attempts": 2, "initial": "1ms" } },
        { "name": "post", "weight": 2, "target": { "queue": "mail" } },
    ]));
    let open = || async {
        let builder = Atlas::builder().function("f", |delivery: Delivery| async move {
            if delivery.event().stream() == "s1" { Err(HandlerError::Retry("no".into())) } else { Ok(()) }
        });
        let options = Options { checkpoint_every: 16, ..Options::default() };
        let atlas = builder.dispatch_options(options).open(dir.path()).await.unwrap();
        loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
        atlas
    };
    let atlas = open().await;
    for number in 0..60 {
        ingest(&atlas, &format!("s{}", number % 3), json!({})).await;
    }
    let left = atlas.settled().await.unwrap();
    for message in loans(&atlas).queue("mail").take(30, Duration::from_secs(3_600)).await.unwrap() {
        loans(&atlas).queue("mail").ack(message.id).await.unwrap();
    }
    loans(&atlas).queue("mail").take(5, Duration::from_secs(3_600)).await.unwrap();
    let queues = atlas.queues().await.unwrap();
    let open_deliveries = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!((left.total(), queues[0].depth, queues[0].leased), (20, 30, 5));
    atlas.close().await.unwrap();

    for _ in 0..2 {
        std::fs::remove_file(dir.path().join("dispatch.redb")).unwrap();
        let atlas = open().await;
        assert_eq!(atlas.settled().await.unwrap(), left);
        assert_eq!(atlas.queues().await.unwrap(), queues);
        assert_eq!(atlas.deliveries(DeliveryFilter::default()).await.unwrap(), open_deliveries);
        atlas.close().await.unwrap();
    }
}

/// More of the log has to be followed again than is followed at a time: nothing may start before all of it is in.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_complete_never_runs_again_however_much_is_followed_again() {
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" } },
        { "name": "post", "weight": 2, "target": { "queue": "mail" } },
    ]));
    let calls = Calls::default();
    let builder = |log: Calls| {
        Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            async { Ok::<(), HandlerError>(()) }
        })
    };
    let atlas = world.open(builder(calls.clone())).await;
    let events = (0..2_000).map(|number| Event::new(SENT, format!("s{number}"))).collect();
    loans(&atlas).ingest_all(events).await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(calls.take().len(), 2_000);
    // Without dispatch knowing: nothing of this is in its file.
    atlas.store().close().unwrap();

    let atlas = world.open(builder(calls.clone())).await;
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(calls.take(), []);
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 2_000);
    atlas.close().await.unwrap();
}

/// A close notes that the segments behind the last change of configuration hold none, so that an open needn't look into them.
/// What changes after that, in whatever segment, and whether the store was closed or only dropped, is there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_there_however_much_log_has_come_since() {
    let world = World::new(json!([]));
    let builder = || {
        let log = atlas::log::Options { segment_size: 64 << 10, ..Default::default() };
        Atlas::builder().dispatch(false).log_options(log)
    };
    let tree = |n: usize| format!("t{n}/loans").parse::<atlas::TreeScope>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    for round in 0..6 {
        let atlas = builder().open(&dir).await.unwrap();
        for earlier in 0..round {
            assert_eq!(atlas.catalog().active(&tree(earlier)).unwrap(), Some(earlier as u32 + 1), "round {round}");
        }
        let revision = atlas.catalog().import(world.tree.path(), &tree(round)).unwrap().revision;
        atlas.catalog().activate(&[(tree(round), revision)]).unwrap();
        for number in 0..150 {
            let event = Event::new(SENT, format!("s{number}")).data(&json!({ "text": "x".repeat(1_000) }));
            atlas.scope(&format!("t{round}"), "loans").ingest(event).await.unwrap();
        }
        assert!(atlas.store().stats().unwrap().segments as usize > 2 * round, "each round fills segments");
        if round % 3 == 2 {
            drop(atlas);
        } else {
            atlas.close().await.unwrap();
        }
        std::fs::copy(dir.join("catalog.redb"), folder.path().join(format!("catalog-{round}"))).unwrap();
    }
    // Also where the derived file is one of before.
    for older in 0..6 {
        std::fs::copy(folder.path().join(format!("catalog-{older}")), dir.join("catalog.redb")).unwrap();
        let atlas = builder().open(&dir).await.unwrap();
        for round in 0..6 {
            assert_eq!(atlas.catalog().active(&tree(round)).unwrap(), Some(round as u32 + 1), "file of {older}");
        }
        atlas.close().await.unwrap();
    }
}
