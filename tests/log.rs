//! What the log promises its callers: order, atomicity, idempotency, subscriptions, one holder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use atlas::log::{
    Append, AppendError, At, Depth, Direction, Durability, ExpectedVersion, KeyframePolicy, OpenError, Options, Query,
    ReadMode, verify,
};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Event, EventStore, Scope, Timestamp, Uuid};
use serde_json::json;

fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}

fn small() -> Options {
    Options { segment_size: 64 << 10, ..Options::default() }
}

fn store() -> EventStore {
    EventStore::open_with(Environment::new(MemoryDisk::new()), small()).unwrap()
}

fn event(stream: &str) -> Event {
    Event::new("LOAN_OFFER_SENT_COMPLETE_1", stream)
}

#[test]
fn expected_versions_are_checked_and_a_conflict_says_the_actual_one() {
    let store = store();
    let append = |expected| store.append(Append::to(&scope()).event(event("s")).expect_version("s", expected));
    assert!(matches!(append(ExpectedVersion::Exists), Err(AppendError::Conflict { actual: 0, .. })));
    append(ExpectedVersion::NoStream).unwrap();
    assert!(matches!(append(ExpectedVersion::NoStream), Err(AppendError::Conflict { actual: 1, .. })));
    append(ExpectedVersion::Exists).unwrap();
    append(ExpectedVersion::Any).unwrap();
    assert!(matches!(append(ExpectedVersion::Exact(2)), Err(AppendError::Conflict { actual: 3, .. })));
    assert_eq!(append(ExpectedVersion::Exact(3)).unwrap().events[0].version, 4);
}

#[test]
fn one_append_to_many_streams_is_all_or_nothing() {
    let store = store();
    let both = || Append::to(&scope()).event(event("a")).event(event("b")).event(event("a"));
    let receipt = store.append(both()).unwrap();
    assert_eq!(receipt.events.iter().map(|e| (e.version, e.position)).collect::<Vec<_>>(), [(1, 1), (1, 2), (2, 3)]);
    store.append(both().expect_version("b", ExpectedVersion::Exact(7))).unwrap_err();
    store.append(both().event(event("bad\u{7}"))).unwrap_err();
    assert_eq!((store.version(&scope(), "a").unwrap(), store.version(&scope(), "b").unwrap()), (2, 1));
    assert_eq!(store.last_position(), 3);
}

#[test]
fn an_id_is_used_once_per_scope() {
    let store = store();
    let id = Uuid::from_u128(9);
    let time: Timestamp = "2011-10-01T00:38:44.546+02:00".parse().unwrap();
    let given = || event("s").id(id).time(time).actor("desk 7").json(r#"{"a": 1,  "b": [2]}"#);
    let first = store.append(Append::to(&scope()).event(given())).unwrap();
    // The same JSON in another spelling is the same content; fields not given aren't compared.
    for same in [event("s").id(id), given().json(r#"{"b":[2],"a":1}"#), event("s").id(id).json(r#"{"a":1,"b":[2]}"#)] {
        let again = store.append(Append::to(&scope()).event(same)).unwrap();
        assert_eq!((again.repeated, &again.events), (true, &first.events));
    }
    let later: Timestamp = "2011-10-01T00:38:44.546+01:00".parse().unwrap();
    for (field, other) in [
        ("type", Event::new("LOAN_OFFER_SENT_COMPLETE_2", "s").id(id).json(r#"{"a":1,"b":[2]}"#)),
        ("stream", given_to("t", id)),
        ("time", given().time(later)),
        ("actor", given().actor("desk 8")),
        ("variant", given().variant("v")),
        ("correlation_id", given().correlation_id(Uuid::from_u128(1))),
        ("causation_id", given().causation_id(Uuid::from_u128(1))),
        ("metadata", given().metadata(&json!({}))),
        ("data", given().json("{}")),
        ("content_type", given().bytes("text/plain", "x")),
    ] {
        match store.append(Append::to(&scope()).event(other)) {
            Err(AppendError::IdReused { field: found, .. }) => assert_eq!(found, field),
            result => panic!("{field}: {result:?}"),
        }
    }
    let other_scope: Scope = "shop/loans".parse().unwrap();
    assert!(!store.append(Append::to(&other_scope).event(given())).unwrap().repeated);
    assert_eq!(store.events_with_id(id).unwrap().len(), 2);
    // Checked before the expected version.
    let late = Append::to(&scope()).event(given()).expect_version("s", ExpectedVersion::NoStream);
    assert!(store.append(late).unwrap().repeated);
    let mixed = Append::to(&scope()).event(given()).event(event("s").id(Uuid::from_u128(10)));
    assert!(matches!(store.append(mixed), Err(AppendError::MixedIds { known }) if known == id));
    let twice =
        Append::to(&scope()).event(event("s").id(Uuid::from_u128(11))).event(event("s").id(Uuid::from_u128(11)));
    assert!(matches!(store.append(twice), Err(AppendError::RepeatedId { .. })));
}

#[test]
fn numbers_of_many_digits_are_told_apart_where_an_id_is_repeated() {
    let store = store();
    let append = |number: u128, data: &str| {
        let event = event("s").id(Uuid::from_u128(number)).json(data.to_owned());
        store.append(Append::to(&scope()).event(event))
    };
    let pairs = [
        (r#"{"a":123456789012345678901}"#, r#"{ "a": 123456789012345678902 }"#),
        (r#"{"n":1,"b":[0.1]}"#, r#"{"n":1,"b":[0.1000000000000000055511151231257827]}"#),
        (r#"{"t":"\"1","a":-12345678901234567890}"#, r#"{"a":-12345678901234567891,"t":"\"1"}"#),
    ];
    for (number, (first, other)) in pairs.into_iter().enumerate() {
        let number = number as u128 + 1;
        append(number, first).unwrap();
        assert!(append(number, &first.replace(',', " , ")).unwrap().repeated, "{first}");
        let refused = append(number, other);
        assert!(matches!(refused, Err(AppendError::IdReused { field: "data", .. })), "{other}: {refused:?}");
    }
    // Digits in a text are no number, and the order of keys doesn't count.
    let text = r#"{"a":"1234567890123456789012","b":98765432109876543210,"c":11111111111111111111}"#;
    append(9, text).unwrap();
    let turned = r#"{"c":11111111111111111111,"b":98765432109876543210,"a":"1234567890123456789012"}"#;
    assert!(append(9, turned).unwrap().repeated);
}

/// Ids made when they are recorded are looked for in the segments of that time; the engine makes such.
#[test]
fn an_id_that_was_just_made_is_known_in_sealed_segments_too() {
    let disk = MemoryDisk::new();
    let open = || EventStore::open_with(Environment::new(disk.clone()), small()).unwrap();
    let store = open();
    let append =
        |number: u32| Append::to(&scope()).event(event("s").data(&json!({ "n": number, "x": "x".repeat(400) })));
    let ids: Vec<Uuid> = (0..600).map(|number| store.append(append(number)).unwrap().events[0].id).collect();
    store.close().unwrap();
    // Opened again: all but the last segment are asked through the directory.
    let store = open();
    for (position, id) in (1..).zip(&ids) {
        let found = store.event(&scope(), *id).unwrap().map(|event| event.position());
        assert_eq!(found, Some(position), "{id}");
    }
    let again = store.append(Append::to(&scope()).event(event("s").id(ids[0]))).unwrap();
    assert!(again.repeated);
}

fn given_to(stream: &str, id: Uuid) -> Event {
    event(stream).id(id).json(r#"{"a":1,"b":[2]}"#)
}

#[test]
fn racing_appends_of_one_id_write_it_once() {
    let store = store();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                (0..300u128)
                    .map(|n| store.append(Append::to(&scope()).event(event("s").id(Uuid::from_u128(n + 1)))).unwrap())
                    .filter(|receipt| !receipt.repeated)
                    .count()
            })
        })
        .collect();
    let written: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!((written, store.last_position(), store.version(&scope(), "s").unwrap()), (300, 300, 300));
}

#[test]
fn deferred_appends_are_ordered_but_not_seen_before_they_are_durable() {
    let store = store();
    let deferred = |stream| Append::to(&scope()).event(event(stream)).durability(Durability::Deferred);
    let receipt = store.append(deferred("s")).unwrap();
    assert_eq!((receipt.durable, receipt.events[0].version), (false, 1));
    assert_eq!((store.last_position(), store.version(&scope(), "s").unwrap()), (0, 0));
    assert!(store.event(&scope(), receipt.events[0].id).unwrap().is_none());
    // A conflict with a head that isn't durable makes it so first.
    let conflict = Append::to(&scope()).event(event("s")).expect_version("s", ExpectedVersion::NoStream);
    assert!(matches!(
        store.append(conflict.durability(Durability::Deferred)),
        Err(AppendError::Conflict { actual: 1, .. })
    ));
    assert_eq!(store.last_position(), 1);
    // So does a Sync repeat of a deferred id.
    let id = Uuid::from_u128(5);
    let with_id = || Append::to(&scope()).event(event("s").id(id));
    store.append(with_id().durability(Durability::Deferred)).unwrap();
    assert!(!store.append(with_id().durability(Durability::Deferred)).unwrap().durable);
    assert!(store.append(with_id()).unwrap().durable);
    assert_eq!(store.last_position(), 2);
    store.append(deferred("s")).unwrap();
    store.sync().unwrap();
    assert_eq!(store.last_position(), 3);
}

#[test]
fn subscribers_see_every_event_once_and_in_order_across_rotation() {
    const EACH: u64 = 1_500;
    let store = store();
    let reader = |store: EventStore| {
        std::thread::spawn(move || {
            let mut subscription = store.subscribe(Query::new(), 0);
            (1..=4 * EACH).for_each(|position| {
                assert_eq!(subscription.next_blocking().unwrap().position(), position);
            });
        })
    };
    let of_one_stream = |store: EventStore| {
        std::thread::spawn(move || {
            let query = Query::new().scope(&scope()).stream("s-2");
            let mut subscription = store.subscribe(query, 0);
            (1..=EACH).for_each(|version| assert_eq!(subscription.next_blocking().unwrap().version(), version));
        })
    };
    let readers = [reader(store.clone()), reader(store.clone()), of_one_stream(store.clone())];
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let append =
                        Append::to(&scope()).event(event(&format!("s-{writer}")).data(&json!({ "n": number })));
                    let durability = if number % 5 == 0 { Durability::Deferred } else { Durability::Sync };
                    store.append(append.durability(durability)).unwrap();
                }
                store.sync().unwrap();
            })
        })
        .collect();
    for thread in writers.into_iter().chain(readers) {
        thread.join().unwrap();
    }
    assert!(store.stats().unwrap().segments > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asynchronous_appends_wait_for_room_and_survive_dropped_futures() {
    let options = Options { max_queue: 1 << 20, ..small() };
    let store = EventStore::open_with(Environment::new(MemoryDisk::new()), options).unwrap();
    let big = "x".repeat(300 << 10);
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let (store, big) = (store.clone(), big.clone());
            tokio::spawn(async move {
                store.append_async(Append::to(&scope()).event(event(&format!("s-{number}")).data(&big))).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().durable);
    }
    assert_eq!(store.last_position(), 40);
    // Dropped before or after they are queued: the queue's room is given back either way.
    for number in 0..200u128 {
        let append = Append::to(&scope()).event(event("dropped").id(Uuid::from_u128(number + 1)).data(&big));
        let task = tokio::spawn(store.append_async(append));
        tokio::task::yield_now().await;
        task.abort();
        let _ = task.await;
    }
    for number in 0..200u128 {
        let append = Append::to(&scope()).event(event("dropped").id(Uuid::from_u128(number + 1)).data(&big));
        store.append_async(append).await.unwrap();
    }
    assert_eq!(store.version(&scope(), "dropped").unwrap(), 200);
    let mut subscription = store.subscribe(Query::new(), 0);
    for position in 1..=240 {
        assert_eq!(subscription.next().await.unwrap().position(), position);
    }
}

#[test]
fn a_directory_has_one_holder_and_reading_needs_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = EventStore::open_options(dir.path(), small()).unwrap();
    for number in 0..500 {
        store.append(Append::to(&scope()).event(event("s").data(&json!({ "n": number })))).unwrap();
    }
    store.append(Append::to(&scope()).event(event("s")).durability(Durability::Deferred)).unwrap();
    match EventStore::open(dir.path()) {
        Err(OpenError::Held { process_id }) => assert_eq!(process_id, std::process::id()),
        other => panic!("{other:?}"),
    }
    let files = |dir: &std::path::Path| {
        let mut files: Vec<_> = std::fs::read_dir(dir.join("log"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name(), entry.metadata().unwrap().len(), entry.metadata().unwrap().modified().unwrap())
            })
            .collect();
        files.sort();
        files
    };
    store.sync().unwrap();
    store.append(Append::to(&scope()).event(event("s")).durability(Durability::Deferred)).unwrap();
    let before = files(dir.path());
    let looker = EventStore::open_read_only(dir.path()).unwrap();
    assert_eq!(looker.last_position(), 501);
    assert_eq!(looker.read_stream(&scope(), "s", 1, Direction::Forward).unwrap().map(Result::unwrap).count(), 501);
    assert_eq!(looker.state(&scope(), "s", At::Now, true).unwrap().version, 501);
    assert!(matches!(looker.append(Append::to(&scope()).event(event("s"))), Err(AppendError::ReadOnly)));
    let report = verify(dir.path(), &Depth::default(), |_, _| {}).unwrap();
    assert!(report.ok, "{:?}", report.problems);
    looker.close().unwrap();
    assert_eq!(files(dir.path()), before);
    store.close().unwrap();
    let closed = files(dir.path());
    let store = EventStore::open(dir.path()).unwrap();
    assert_eq!(store.last_position(), 502);
    store.close().unwrap();
    assert_eq!(files(dir.path()), closed, "a close that changed nothing writes nothing");
    assert!(verify(dir.path(), &Depth::default(), |_, _| {}).unwrap().ok);
    assert!(matches!(EventStore::open_read_only(dir.path().join("nowhere")), Err(OpenError::NotFound { .. })));
}

#[test]
fn keyframes_shorten_the_replay_and_never_change_the_state() {
    for (policy, most) in [
        (KeyframePolicy::Adaptive(8), 64),
        (KeyframePolicy::Events(10), 9),
        (KeyframePolicy::Bytes(4096), 60),
        (KeyframePolicy::Never, 1000),
    ] {
        let options = Options { keyframes: policy, ..small() };
        let store = EventStore::open_with(Environment::new(MemoryDisk::new()), options).unwrap();
        for number in 0..1000 {
            let data = json!({ "last": number, format!("k{}", number % 5): { "n": number }, "drop": null });
            store.append(Append::to(&scope()).event(event("s").data(&data))).unwrap();
        }
        let first = store.state(&scope(), "s", At::Now, true).unwrap();
        assert_eq!((first.version, first.keyframe, first.events_read), (1000, None, 1000));
        let again = store.state(&scope(), "s", At::Now, true).unwrap();
        assert_eq!(again.state, first.state);
        assert!(again.events_read <= most, "{policy:?}: {}", again.events_read);
        for version in [0, 1, 9, 10, 11, 500, 999, 1000, 2000] {
            let with = store.state(&scope(), "s", At::Version(version), true).unwrap();
            let without = store.state(&scope(), "s", At::Version(version), false).unwrap();
            assert_eq!((with.version, &with.state), (without.version, &without.state));
            assert!(with.events_read <= most && with.keyframe.unwrap_or(0) <= version);
        }
        store.sync().unwrap();
    }
}

#[test]
fn state_at_a_time_is_the_state_before_the_first_event_past_it() {
    let store = store();
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    // Times run backwards once: the third happened before the second.
    for (number, seconds) in [(1, 10), (2, 30), (3, 20), (4, 40)] {
        let data = json!({ "n": number });
        store.append(Append::to(&scope()).event(event("s").time(at(seconds)).data(&data))).unwrap();
    }
    for use_keyframes in [false, true] {
        let occurred = |seconds: i64| {
            store.state(&scope(), "s", At::Occurred(seconds * 1_000_000), use_keyframes).unwrap().version
        };
        assert_eq!([5, 10, 20, 30, 39, 40].map(occurred), [0, 1, 1, 3, 3, 4]);
    }
    let recorded: Vec<i64> = store.read(Query::new()).unwrap().map(|e| e.unwrap().recorded_at()).collect();
    assert!(recorded.is_sorted());
    let state = |micros| store.state(&scope(), "s", At::Recorded(micros), true).unwrap().version;
    assert_eq!(state(recorded[0] - 1), 0);
    assert_eq!(state(recorded[3]), 4);
}

#[test]
fn an_import_whose_id_came_in_meanwhile_is_not_said_to_be_written() {
    let store = store();
    let mut import = store.import_as_recorded().unwrap();
    let line = json!({
        "id": Uuid::from_u128(1), "type": "A_B_C_D_1", "tenant": "bank", "application": "loans", "stream": "history",
        "version": 1, "position": 1, "recorded_at": "2020-01-01T00:00:00Z", "data": {},
    });
    import.push(&atlas::Envelope::from_json(line.to_string().as_bytes()).unwrap()).unwrap();
    store.append(Append::to(&scope()).event(event("other").id(Uuid::from_u128(1)))).unwrap();
    assert!(matches!(import.finish(), Err(AppendError::RepeatedId { id }) if id == Uuid::from_u128(1)));
}

#[test]
fn history_is_imported_as_it_was_recorded() {
    let original = store();
    let other: Scope = "shop/orders".parse().unwrap();
    for number in 0..300 {
        let scope = if number % 3 == 0 { &other } else { &scope() };
        let stream = format!("s-{}", number % 7);
        original.append(Append::to(scope).event(event(&stream).data(&json!({ "n": number })))).unwrap();
    }
    let export = |store: &EventStore| -> Vec<String> {
        store.read(Query::new()).unwrap().map(|e| serde_json::to_string(&e.unwrap().envelope()).unwrap()).collect()
    };
    let lines = export(&original);
    let copy = store();
    let mut import = copy.import_as_recorded().unwrap();
    for line in &lines {
        import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    }
    // A gap, a repeated id, a version out of order: refused, and what comes after is still accepted.
    let next = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut line: serde_json::Value = serde_json::from_str(&lines[299]).unwrap();
        line["position"] = json!(301);
        line["version"] = json!(line["version"].as_u64().unwrap() + 1);
        line["id"] = json!(Uuid::from_u128(1));
        change(&mut line);
        line.to_string()
    };
    for bad in [
        next(&|line| line["position"] = json!(302)),
        next(&|line| line["version"] = json!(99)),
        next(&|line| line["id"] = serde_json::from_str::<serde_json::Value>(&lines[299]).unwrap()["id"].clone()),
        next(&|line| line["recorded_at"] = json!("2001-01-01T00:00:00Z")),
    ] {
        assert!(import.push(&atlas::Envelope::from_json(bad.as_bytes()).unwrap()).is_err(), "{bad}");
    }
    let good = next(&|_| {});
    import.push(&atlas::Envelope::from_json(good.as_bytes()).unwrap()).unwrap();
    // Not before one that isn't written yet either.
    let later = |position: u64, id: u128, recorded_at: &str| {
        let mut line: serde_json::Value = serde_json::from_str(&good).unwrap();
        line["stream"] = json!(format!("late-{position}"));
        (line["position"], line["version"], line["id"]) = (json!(position), json!(1), json!(Uuid::from_u128(id)));
        line["recorded_at"] = json!(recorded_at);
        line.to_string()
    };
    let late = later(302, 2, "2200-01-01T00:00:20Z");
    import.push(&atlas::Envelope::from_json(late.as_bytes()).unwrap()).unwrap();
    let back = later(303, 3, "2200-01-01T00:00:15Z");
    assert!(import.push(&atlas::Envelope::from_json(back.as_bytes()).unwrap()).is_err());
    assert_eq!(import.finish().unwrap(), 302);
    assert_eq!(export(&copy)[..300], lines);
    assert!(copy.import_as_recorded().is_err());
}

#[test]
fn cascades_are_found_by_correlation_and_cause() {
    let store = store();
    let root = Uuid::from_u128(1);
    store.append(Append::to(&scope()).event(event("s").id(root))).unwrap();
    for number in 2..900u128 {
        let caused = event(&format!("s-{number}")).id(Uuid::from_u128(number)).correlation_id(root);
        let caused = caused.causation_id(Uuid::from_u128(number / 2)).data(&"x".repeat(100));
        store.append(Append::to(&scope()).event(caused)).unwrap();
    }
    assert!(store.stats().unwrap().segments > 1);
    let positions: Vec<u64> = store.correlated(&scope(), root).unwrap().iter().map(|e| e.position()).collect();
    assert_eq!(positions, (1..900).collect::<Vec<_>>());
    let caused: Vec<u64> =
        store.caused_by(&scope(), Uuid::from_u128(10)).unwrap().iter().map(|e| e.position()).collect();
    assert_eq!(caused, [20, 21]);
    let other: Scope = "shop/loans".parse().unwrap();
    assert!(store.correlated(&other, root).unwrap().is_empty());
}

#[test]
fn the_largest_data_pass_and_larger_ones_are_refused() {
    let store = store();
    let largest = format!("\"{}\"", "x".repeat((16 << 20) - 2));
    store.append(Append::to(&scope()).event(event("s").json(largest.clone()))).unwrap();
    let error = store.append(Append::to(&scope()).event(event("s").json(largest.clone() + " "))).unwrap_err();
    assert!(error.to_string().contains("max_data"), "{error}");
    let many = Append::to(&scope()).events((0..4).map(|_| event("s").json(largest.clone())));
    assert!(matches!(store.append(many), Err(AppendError::TooLarge { .. })));
    let read = store.event_at(1).unwrap().unwrap();
    assert_eq!(read.data(), largest.as_bytes());
    assert!(matches!(store.append(Append::to(&scope())), Err(AppendError::Empty)));
}

#[test]
fn sealed_segments_read_alike_mapped_and_with_pread() {
    let dir = tempfile::tempdir().unwrap();
    let store = EventStore::open_options(dir.path(), small()).unwrap();
    for number in 0..1200 {
        store
            .append(Append::to(&scope()).event(event(&format!("s-{}", number % 9)).data(&json!({ "n": number }))))
            .unwrap();
    }
    store.close().unwrap();
    let read = |read_mode| {
        let store = EventStore::open_options(dir.path(), Options { read_mode, ..small() }).unwrap();
        let all: Vec<String> = store
            .read(Query::new())
            .unwrap()
            .chain(store.read_stream(&scope(), "s-4", u64::MAX, Direction::Backward).unwrap())
            .map(|event| serde_json::to_string(&event.unwrap().envelope()).unwrap())
            .collect();
        store.close().unwrap();
        all
    };
    let mapped = read(ReadMode::Map);
    assert!(mapped.len() > 1300);
    assert_eq!(mapped, read(ReadMode::Pread));
}

#[test]
fn a_closed_store_refuses_typed_and_wakes_who_waits() {
    let store = store();
    let waiting = {
        let mut subscription = store.subscribe(Query::new(), 0);
        std::thread::spawn(move || subscription.next_blocking())
    };
    let store = Arc::new(store);
    store.close().unwrap();
    store.close().unwrap();
    assert!(waiting.join().unwrap().is_err());
    assert!(matches!(store.append(Append::to(&scope()).event(event("s"))), Err(AppendError::Closed)));
    assert!(store.version(&scope(), "s").is_err());
}

#[test]
fn a_read_is_of_the_moment_that_it_began_at() {
    let store = store();
    let append = |text: &str| {
        let event = event("s").data(&json!({ "text": text }));
        store.append(Append::to(&scope()).event(event).event(self::event("other"))).unwrap();
    };
    for kept_open in [20, 500] {
        append("first");
        let last = store.last_position();
        let version = store.version(&scope(), "s").unwrap();
        let of_stream = || Query::new().scope(&scope()).stream("s");
        let mut reads = vec![
            (last, store.read(Query::new()).unwrap()),
            (last, store.read(Query::new().backward()).unwrap()),
            (last, store.read(Query::new().scope(&scope())).unwrap()),
            (version, store.read(of_stream()).unwrap()),
            (version, store.read(of_stream().backward()).unwrap()),
            (version, store.read_stream(&scope(), "s", 1, Direction::Forward).unwrap()),
            (version, store.read_stream(&scope(), "s", u64::MAX, Direction::Backward).unwrap()),
        ];
        // Some have begun to give events, others haven't.
        let begun: Vec<u64> = (0..).zip(&mut reads).map(|(n, (_, read))| read.take(n % 2).count() as u64).collect();
        let text = "x".repeat(kept_open * 2);
        (0..kept_open).for_each(|_| append(&text));
        for ((number, (wanted, read)), begun) in reads.into_iter().enumerate().zip(begun) {
            assert_eq!(begun + read.map(Result::unwrap).count() as u64, wanted, "read {number}, {kept_open} later");
        }
        let newest = store.read(Query::new().backward()).unwrap().next().unwrap().unwrap();
        assert_eq!(newest.position(), store.last_position());
    }
    assert!(store.stats().unwrap().segments > 3);
}
