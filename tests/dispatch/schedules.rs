//! Schedules: events that come in by the calendar, each occurrence once, whatever happened meanwhile.

use std::time::Duration;

use atlas::storage::Disk;
use atlas::{Atlas, Event, Timestamp};
use serde_json::{Value, json};

use crate::world::{ManualClock, SENT, TOLD, World, events, function, ingest, loans, scorer, write};

const HOUR: Duration = Duration::from_secs(3_600);

/// A world whose clock stands at 2023-11-14T22:13:20Z, with schedules in its tree.
fn world(schedules: &Value) -> (World, std::sync::Arc<ManualClock>) {
    let (world, clock) = World::new(json!([])).with_clock();
    write(&world.tree.path().join("schedules.json"), schedules);
    (world, clock)
}

fn hourly(missed: &str) -> Value {
    json!({ "hourly": { "cron": "0 * * * *", "type": TOLD, "stream": "clock", "data": { "a": 1 }, "missed": missed } })
}

/// The times of all events, without the date.
fn times(atlas: &Atlas) -> Vec<String> {
    let events = atlas.store().read(atlas::log::Query::new()).unwrap();
    events.map(|event| event.unwrap().time().to_string()[11..16].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_occurrence_comes_in_once_at_its_time() {
    let (world, clock) = world(&hourly("once"));
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    let listed = atlas.dispatcher().schedules(None).await.unwrap();
    assert_eq!((listed.len(), listed[0].next), (1, "2023-11-14T23:00:00Z".parse::<Timestamp>().ok()));
    assert!(times(&atlas).is_empty(), "nothing is due yet");
    for expected in [&["23:00"][..], &["23:00", "00:00"], &["23:00", "00:00", "01:00"]] {
        clock.advance(HOUR);
        atlas.settled().await.unwrap();
        assert_eq!(times(&atlas), expected);
    }
    let event = atlas.store().event_at(1).unwrap().unwrap();
    let data: Value = serde_json::from_slice(event.data()).unwrap();
    assert_eq!((event.event_type(), event.stream(), data), (TOLD, "clock", json!({ "a": 1 })));
    assert!(event.revision().is_some());
    assert_eq!(event.metadata(), Some(&br#"{"schedule":"hourly"}"#[..]));
    atlas.close().await.unwrap();
    // Opened again at the same time, also without the derived file: nothing comes in again.
    for _ in 0..2 {
        let atlas = world.open(Atlas::builder()).await;
        atlas.settled().await.unwrap();
        assert_eq!(times(&atlas).len(), 3);
        atlas.close().await.unwrap();
        world.disk.remove("dispatch.redb").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_in_once_or_not_at_all_as_the_tree_says() {
    for (missed, expected) in [("once", &["23:00", "00:00", "06:00"][..]), ("skip", &["23:00", "06:00"])] {
        let (world, clock) = world(&hourly(missed));
        let atlas = world.open(Atlas::builder()).await;
        atlas.settled().await.unwrap();
        clock.advance(HOUR);
        atlas.settled().await.unwrap();
        atlas.close().await.unwrap();
        // From 23:13 to 05:13.
        clock.advance(6 * HOUR);
        let atlas = world.open(Atlas::builder()).await;
        atlas.settled().await.unwrap();
        clock.advance(HOUR);
        atlas.settled().await.unwrap();
        assert_eq!(times(&atlas), expected, "{missed}");
        atlas.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_changes_what_holds() {
    let (world, clock) = world(&hourly("once"));
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    let activate = async |schedules: Value| {
        write(&world.tree.path().join("schedules.json"), &schedules);
        loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    };
    activate(
        json!({ "daily": { "cron": "30 7 * * *", "time_zone": "Europe/Amsterdam", "type": SENT, "stream": "d" } }),
    )
    .await;
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert!(times(&atlas).is_empty(), "what is no longer in the tree doesn't occur");
    clock.advance(9 * HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas), ["06:30"], "half past seven in Amsterdam");
    activate(json!({})).await;
    clock.advance(48 * HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas).len(), 1);
    assert!(atlas.dispatcher().schedules(None).await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

/// A default tree's schedules hold for the scopes that they name, as long as it serves them.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_tree_says_for_whom() {
    let (world, clock) = world(&json!({}));
    let atlas = world.open(Atlas::builder()).await;
    let of =
        |scopes: Value| json!({ "hourly": { "cron": "0 * * * *", "type": TOLD, "stream": "c", "scopes": scopes } });
    let base = "_/loans".parse().unwrap();
    let file = world.tree.path().join("schedules.json");
    for (scopes, expected) in [(json!([]), "names no scopes"), (json!(["a/cards"]), "of another application")] {
        write(&file, &of(scopes));
        let error = atlas.catalog().import(world.tree.path(), &base).unwrap_err().to_string();
        assert!(error.starts_with("schedules.json:2:3: ") && error.contains(expected), "{error}");
    }
    write(&file, &of(json!(["small-bank/loans", "dutch-bank/loans"])));
    let error = loans(&atlas).config().import(world.tree.path()).await.unwrap_err().to_string();
    assert!(error.contains("names scopes, and the tree is of one"), "{error}");
    let revision = atlas.catalog().import(world.tree.path(), &base).unwrap().revision;
    atlas.catalog().activate(&[(base, revision)]).unwrap();
    atlas.settled().await.unwrap();
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    let events: Vec<_> = atlas.store().read(atlas::log::Query::new()).unwrap().map(Result::unwrap).collect();
    // Of the two, dutch-bank has a tree of its own.
    assert_eq!(events.iter().map(|event| event.scope().to_string()).collect::<Vec<_>>(), ["small-bank/loans"]);
    atlas.close().await.unwrap();
}

/// What a schedule was before is done with: a changed one, or one that comes back, doesn't occur for the time in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_changes_or_comes_back_starts_then() {
    let (world, clock) = world(&hourly("once"));
    let atlas = world.open(Atlas::builder()).await;
    let activate = async |atlas: &Atlas, schedules: &Value| {
        write(&world.tree.path().join("schedules.json"), schedules);
        loans(atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
    };
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas), ["23:00"]);
    // It leaves, and comes back five hours later.
    activate(&atlas, &json!({})).await;
    atlas.settled().await.unwrap();
    clock.advance(5 * HOUR);
    atlas.settled().await.unwrap();
    activate(&atlas, &hourly("once")).await;
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas), ["23:00"], "nothing is missed while it isn't there");
    // It changes: every half hour from 04:13 on.
    let mut half = hourly("once");
    half["hourly"]["cron"] = json!("30 * * * *");
    activate(&atlas, &half).await;
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas), ["23:00"]);
    atlas.close().await.unwrap();
    // An open works out the same, also after an activation that doesn't change it while nobody served.
    clock.advance(HOUR);
    let atlas = Atlas::builder().dispatch(false).open_with(world.environment()).await.unwrap();
    half["other"] = json!({ "cron": "0 0 1 1 *", "type": SENT, "stream": "other" });
    activate(&atlas, &half).await;
    atlas.close().await.unwrap();
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas), ["23:00", "04:30"]);
    atlas.close().await.unwrap();
    clock.advance(2 * HOUR);
    let atlas = world.open(Atlas::builder()).await;
    atlas.settled().await.unwrap();
    assert_eq!(times(&atlas), ["23:00", "04:30", "05:30"]);
    atlas.close().await.unwrap();
}

/// A clock that was wrong for a while doesn't silence a schedule, nor bring an occurrence twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_does_not_silence_a_schedule() {
    for reopened in [false, true] {
        let (world, clock) = world(&hourly("once"));
        let mut atlas = world.open(Atlas::builder()).await;
        atlas.settled().await.unwrap();
        clock.advance(10_000 * HOUR);
        atlas.settled().await.unwrap();
        assert_eq!(times(&atlas), ["23:00"], "the first that was due stands for all");
        clock.set_back(10_000 * HOUR);
        if reopened {
            atlas.close().await.unwrap();
            atlas = world.open(Atlas::builder()).await;
        }
        atlas.settled().await.unwrap();
        for expected in [&["23:00"][..], &["23:00", "00:00"]] {
            clock.advance(HOUR);
            atlas.settled().await.unwrap();
            assert_eq!(times(&atlas), expected, "reopened: {reopened}");
        }
        atlas.close().await.unwrap();
    }
}

/// What is due while history is imported comes in afterwards, and is served.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_while_history_is_imported_comes_behind_it() {
    let source = World::new(json!([]));
    let atlas = source.open(Atlas::builder()).await;
    ingest(&atlas, "s", json!({})).await;
    let line = serde_json::to_string(&atlas.store().event_at(1).unwrap().unwrap().envelope()).unwrap();
    atlas.close().await.unwrap();

    let (world, clock) = World::new(function("f")).with_clock();
    let hourly = json!({ "hourly": { "cron": "0 * * * *", "type": SENT, "stream": "clock", "data": {} } });
    write(&world.tree.path().join("schedules.json"), &hourly);
    let atlas = world.open(scorer()).await;
    let timer = loans(&atlas).after(HOUR, Event::new(SENT, "timer").data(&json!({}))).await.unwrap();
    atlas.settled().await.unwrap();
    let mut import = atlas.import_as_recorded().await.unwrap();
    clock.advance(HOUR);
    for _ in 0..100 {
        atlas.queues().await.unwrap();
    }
    import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    assert_eq!(import.finish().unwrap(), 1);
    atlas.settled().await.unwrap();
    let streams: Vec<String> = events(&atlas).into_iter().map(|(_, stream, _)| stream).collect();
    assert_eq!(streams[0], "s");
    assert!(streams.contains(&"clock".to_owned()) && streams.contains(&"timer".to_owned()), "{streams:?}");
    let status = atlas.completion(timer).await.unwrap();
    assert_eq!((status.imported, status.deliveries.len()), (false, 1));
    // One that can't begin leaves nothing behind.
    assert!(atlas.import_as_recorded().await.is_err());
    clock.advance(HOUR);
    atlas.settled().await.unwrap();
    let of_clock = events(&atlas).into_iter().filter(|(event_type, stream, _)| event_type == SENT && stream == "clock");
    assert_eq!(of_clock.count(), 2);
    atlas.close().await.unwrap();
}
