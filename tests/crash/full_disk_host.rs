//! What is done on the small disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use atlas::log::{AppendError, At, Depth, Folds};
use atlas::{Atlas, Error, Event, EventStore};
use serde_json::json;

use crate::check::{self, Acknowledged};
use crate::load::{self, Key, acknowledgement};

/// Fills what is left of the disk, to the last byte.
fn fill(ballast: &Path) {
    let mut file = File::options().create(true).append(true).open(ballast).unwrap();
    for size in [1 << 16, 1 << 12, 1 << 8, 1] {
        let piece = vec![1; size];
        while file.write_all(&piece).is_ok() {}
    }
}

/// Appends `count` times, or until the disk is full; how many were refused.
fn append(store: &EventStore, round: u64, from: u64, count: u64, acknowledged: &mut Acknowledged) -> u64 {
    let mut refused = 0;
    for number in from..from + count {
        let key = Key { round, thread: 0, number };
        match store.append(key.append()) {
            Ok(receipt) => {
                let places = receipt.events.iter().map(|event| (event.position, event.version));
                acknowledged.read(&acknowledgement(key, places));
            }
            Err(AppendError::NoSpace { .. }) => refused += 1,
            Err(other) => panic!("{key:?}: {other}"),
        }
    }
    refused
}

/// Fills the disk mid-append, with the brim in another place each round: in a segment, between segments, where an index
/// or the directory is written.
pub(crate) fn fill_and_free(dir: &Path) {
    let (data, ballast) = (dir.join("data"), dir.join("ballast"));
    let mut acknowledged = Acknowledged::default();
    let mut refused = 0;
    for round in 0..12 {
        let store = EventStore::open_options(&data, load::options()).unwrap();
        let mut number = append_some(&store, round, &mut acknowledged);
        fill(&ballast);
        let before = refused;
        while refused - before < 50 {
            refused += append(&store, round, number, 10, &mut acknowledged);
            number += 10;
        }
        // Reads go on, and so does a fold, which would leave keyframes.
        check::events(&store, &acknowledged);
        store.state(&load::scope(), "loan-1", At::Now, true).unwrap();
        let store = match round % 4 {
            // Closed, or left as a crash leaves it, and opened again on the full disk.
            1 | 2 => {
                if round % 4 == 1 {
                    let closed = store.close();
                    println!("round {round}: closing on a full disk: {closed:?}");
                }
                drop(store);
                match EventStore::open_options(&data, load::options()) {
                    Ok(store) => Some(store),
                    Err(error) => {
                        println!("round {round}: opening on a full disk: {error}");
                        None
                    }
                }
            }
            _ => Some(store),
        };
        fs::remove_file(&ballast).unwrap();
        let store = store.unwrap_or_else(|| EventStore::open_options(&data, load::options()).unwrap());
        assert_eq!(append(&store, round, number, 40, &mut acknowledged), 0, "there is room again");
        store.sync().unwrap();
        check::events(&store, &acknowledged);
        if round % 3 == 0 {
            store.close().unwrap();
        }
        drop(store);
        check::verifies(&data, &Depth::Deep(Folds::default()));
    }
    let (_store, events) = check::recover(&data, &acknowledged);
    println!("12 times full, {refused} appends refused, {events} events");
}

/// A different number each round, so that the brim is met elsewhere.
fn append_some(store: &EventStore, round: u64, acknowledged: &mut Acknowledged) -> u64 {
    let count = 40 + 13 * round;
    assert_eq!(append(store, round, 0, count, acknowledged), 0);
    count
}

const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";

fn write_tree(tree: &Path) {
    let document = tree.join("1/loan/offer/sent/complete.json");
    fs::create_dir_all(document.parent().unwrap()).unwrap();
    fs::write(tree.join("types.json"), json!([SENT]).to_string()).unwrap();
    fs::write(tree.join("queues.json"), json!({ "mail": {} }).to_string()).unwrap();
    let post = json!({ "name": "post", "data": "{n: .data.n}", "target": { "queue": "mail" } });
    fs::write(document, json!({ "handlers": [post] }).to_string()).unwrap();
}

async fn open(data: &Path) -> Atlas {
    let dispatch = atlas::dispatch::Options { checkpoint_every: 64, ..atlas::dispatch::Options::default() };
    Atlas::builder().log_options(load::options()).dispatch_options(dispatch).open(data).await.unwrap()
}

/// Fills the disk while events are ingested and messages are delivered, so that the databases meet the brim as well. Each
/// event that was acknowledged has one message in the end: dispatch goes on once there is room, at the latest when the
/// store is opened again.
pub(crate) fn fill_under_dispatch(dir: &Path) {
    let tree = tempfile::tempdir().unwrap();
    write_tree(tree.path());
    let (data, ballast) = (dir.join("data"), dir.join("ballast"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut ingested = 0;
        for round in 0..4 {
            let atlas = open(&data).await;
            let loans = atlas.scope("bank", "loans");
            if round == 0 {
                loans.config().import(tree.path()).await.unwrap().activate().await.unwrap();
            }
            let ingest = async |n: u64| match loans.ingest(Event::new(SENT, "loan-1").data(&json!({ "n": n }))).await {
                Ok(_) => true,
                Err(Error::Append(AppendError::NoSpace { .. })) => false,
                Err(other) => panic!("{other}"),
            };
            for n in 0..100 + 30 * round {
                ingested += u64::from(ingest(n).await);
            }
            fill(&ballast);
            let mut refused = 0;
            while refused < 50 {
                let done = ingest(0).await;
                ingested += u64::from(done);
                refused += u64::from(!done);
            }
            // Another revision, which has to go through the log and through catalog.redb.
            let text = json!({ "mail": {}, format!("queue-{round}"): {} }).to_string();
            fs::write(tree.path().join("queues.json"), text).unwrap();
            let refused = loans.config().import(tree.path()).await;
            println!(
                "round {round}: importing a tree on a full disk: {:?}",
                refused.map(drop).map_err(|e| e.to_string())
            );
            fs::remove_file(&ballast).unwrap();
            for n in 0..20 {
                assert!(ingest(n).await, "there is room again");
                ingested += 1;
            }
            let settled = atlas.settled().await.map(|remaining| remaining.total());
            println!("round {round}: settled: {:?}", settled.map_err(|error| error.to_string()));
            let closed = atlas.close().await;
            println!("round {round}: closed: {:?}", closed.map_err(|error| error.to_string()));
            drop(atlas);

            let atlas = open(&data).await;
            assert_eq!(atlas.settled().await.unwrap().total(), 0);
            assert_eq!(atlas.queues().await.unwrap()[0].depth, ingested, "one message for each event");
            let loans = atlas.scope("bank", "loans");
            loans.config().import(tree.path()).await.unwrap().activate().await.unwrap();
            atlas.close().await.unwrap();
            drop(atlas);
            let report = atlas::verify(&data, &Depth::Deep(Folds::default()), |_, _| {}).unwrap();
            assert!(report.ok, "{report:?}");
        }
        println!("4 times full, {ingested} events ingested, each with one message");
    });
}
