//! Nobody sees what isn't durable, and nothing reaches a directory that is another's.

use std::sync::atomic::Ordering;

use atlas::log::{Append, AppendError, At, Durability, Options, Query};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Event, EventStore, Uuid};

use crate::faulty_disk::FaultyDisk;
use crate::world::{append, append_deferred, ids, open, scope};

/// Reading ahead must not keep bytes of a frame that is still being written, nor must an id be compared with one.
#[test]
fn readers_beside_writers_never_see_a_frame_that_is_being_written() {
    const EACH: u128 = 500;
    let disk = FaultyDisk::new();
    disk.faults.write_lingers.store(true, Ordering::SeqCst);
    let store = EventStore::open_with(Environment::new(disk), Options::default()).unwrap();
    let numbered = |number: u128| {
        Event::new("LOAN_OFFER_SENT_COMPLETE_1", "s")
            .id(Uuid::from_u128(number + 1))
            .data(&"x".repeat(number as usize % 900))
    };
    let writers: Vec<_> = (0..3u128)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                // All write the same ids, so that each is looked up while another thread writes it.
                for number in 0..EACH {
                    let durability = if number % 3 == 0 { Durability::Sync } else { Durability::Deferred };
                    store.append(Append::to(&scope()).event(numbered(number)).durability(durability)).unwrap();
                }
                store.sync().unwrap();
            })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut subscription = store.subscribe(Query::new(), 0);
                for number in 1..=EACH as u64 {
                    assert_eq!(subscription.next_blocking().unwrap().version(), number);
                    if number % 50 == 0 {
                        store.state(&scope(), "s", At::Now, true).unwrap();
                    }
                }
            })
        })
        .collect();
    for thread in writers.into_iter().chain(readers) {
        thread.join().unwrap();
    }
    assert_eq!(store.last_position() as u128, EACH);
}

#[test]
fn another_process_sees_nothing_undurable_of_a_fresh_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = EventStore::open(dir.path()).unwrap();
    append_deferred(&store, 1);
    assert_eq!(EventStore::open_read_only(dir.path()).unwrap().last_position(), 0);
    store.sync().unwrap();
    assert_eq!(EventStore::open_read_only(dir.path()).unwrap().last_position(), 1);
}

#[test]
fn what_was_imported_in_part_never_reaches_a_directory_that_is_anothers() {
    let disk = MemoryDisk::new();
    let store = open(disk.clone()).unwrap();
    let line = r#"{"id":"00000000-0000-0000-0000-000000000001","type":"A_B_C_D_1","tenant":"t","application":"a","stream":"s",
        "version":1,"position":1,"recorded_at":"2020-01-01T00:00:00Z","data":{}}"#;
    let mut import = store.import_as_recorded().unwrap();
    import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    drop(store);
    let store = open(disk.clone()).unwrap();
    append(&store, 7);
    assert!(matches!(import.finish(), Err(AppendError::Closed)));
    assert_eq!(ids(&store), [7]);
    drop(store);
    assert_eq!(ids(&open(disk).unwrap()), [7]);
}
