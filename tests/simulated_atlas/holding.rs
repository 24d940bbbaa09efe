//! Who holds the directory: nobody writes to it who has let it go, and whoever is told that it is free may rely on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use atlas::log::{Append, Options};
use atlas::storage::simulated::SimulatedDisk;
use atlas::{Event, EventStore};

use crate::end::{bytes, verifies};
use crate::lives::process;
use crate::model::{Calls, event};
use crate::tree::{SENT, builder, environment, loans, scope, write_tree};

#[test]
fn an_atlas_whose_store_was_closed_writes_to_no_database_any_more() {
    let (disk, tree, calls) = (SimulatedDisk::new(1), tempfile::tempdir().unwrap(), Calls::default());
    process(async {
        let first = builder(&calls).open_with(environment(&disk)).await.unwrap();
        write_tree(tree.path(), 1);
        loans(&first).config().import(tree.path()).await.unwrap().activate().await.unwrap();
        loans(&first).ingest(event(0)).await.unwrap();
        first.settled().await.unwrap();
        // The log alone: the first Atlas still has its databases open.
        first.store().close().unwrap();

        let second = builder(&calls).open_with(environment(&disk)).await.unwrap();
        write_tree(tree.path(), 2);
        loans(&second).config().import(tree.path()).await.unwrap().activate().await.unwrap();
        for number in 1..40 {
            loans(&second).ingest(event(number)).await.unwrap();
        }
        assert!(second.settled().await.unwrap().is_empty());
        second.close().await.unwrap();
        drop(second);
        let databases = || ["catalog.redb", "dispatch.redb"].map(|name| bytes(&disk, name));
        let before = databases();
        write_tree(tree.path(), 3);
        assert!(loans(&first).config().import(tree.path()).await.is_err());
        first.close().await.unwrap();
        drop(first);
        assert!(databases() == before, "closing a database writes to it");
    });
    verifies(&disk);
}

#[test]
fn whoever_closes_second_is_told_once_all_is_closed() {
    let disk = SimulatedDisk::new(1);
    let store = EventStore::open_with(environment(&disk), Options::default()).unwrap();
    store.append(Append::to(&scope()).event(Event::new(SENT, "loan-1"))).unwrap();
    let (reached, is_closing) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let (reached, may_go_on) = (std::sync::Mutex::new(reached), std::sync::Mutex::new(may_go_on));
    disk.on_sync(Some(Arc::new(move |name: &str| {
        if name == "LOCK" {
            reached.lock().unwrap().send(()).unwrap();
            may_go_on.lock().unwrap().recv().unwrap();
        }
    })));
    let goes_on = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let first = threads.spawn(|| store.close());
        is_closing.recv().unwrap();
        let second = threads.spawn(|| {
            let closed = store.close();
            assert!(goes_on.load(Ordering::SeqCst), "told before all was closed");
            EventStore::open_with(environment(&disk), Options::default()).unwrap();
            closed
        });
        // Enough for a second that doesn't wait to be told.
        for _ in 0..1_000 {
            if second.is_finished() {
                break;
            }
            std::thread::yield_now();
        }
        goes_on.store(true, Ordering::SeqCst);
        go_on.send(()).unwrap();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    store.close().unwrap();
}
