//! Writes, syncs and reads that fail.

use std::sync::atomic::Ordering;

use atlas::EventStore;
use atlas::log::{Append, AppendError, Options, Query, ReadMode};
use atlas::storage::Environment;

use crate::faulty_disk::FaultyDisk;
use crate::world::{append, event, ids, open, options, scope};

#[test]
fn a_failed_sync_or_write_poisons_and_reads_go_on() {
    for sync in [true, false] {
        let disk = FaultyDisk::new();
        let store = open(disk.clone()).unwrap();
        append(&store, 1);
        let fault = if sync { &disk.faults.sync_fails } else { &disk.faults.write_fails };
        fault.store(true, Ordering::SeqCst);
        let error = store.append(Append::to(&scope()).event(event(2))).unwrap_err();
        assert!(matches!(error, AppendError::Poisoned { .. }), "{error}");
        fault.store(false, Ordering::SeqCst);
        // A sync that succeeds afterwards proves nothing: nothing is acknowledged any more.
        for number in [2, 3] {
            let error = store.append(Append::to(&scope()).event(event(number))).unwrap_err();
            assert!(matches!(error, AppendError::Poisoned { .. }), "{error}");
        }
        assert!(matches!(store.sync(), Err(AppendError::Poisoned { .. })));
        assert_eq!(ids(&store), [1]);
        assert!(matches!(store.close(), Err(AppendError::Poisoned { .. })));
        let store = open(disk).unwrap();
        append(&store, 4);
        let found = ids(&store);
        // The outcome of what failed is learnt now: it is in the log or it isn't.
        assert!(found == [1, 4] || found == [1, 2, 4], "{found:?}");
    }
}

#[test]
fn a_subscription_goes_on_after_a_read_that_failed_where_it_was() {
    let disk = FaultyDisk::new();
    let store = open(disk.clone()).unwrap();
    (1..=600).for_each(|number| append(&store, number));
    store.close().unwrap();
    let options = Options { max_open_segments: 8, read_mode: ReadMode::Pread, ..options() };
    let store = EventStore::open_with(Environment::new(disk.clone()), options).unwrap();
    let mut subscription = store.subscribe(Query::new(), 0);
    let mut failed = 0;
    for position in 1..=600 {
        // Until one has failed: what was read ahead needs none.
        if position % 50 == 0 {
            disk.faults.read_fails.store(true, Ordering::SeqCst);
        }
        let event = loop {
            match subscription.try_next() {
                Ok(event) => break event.unwrap(),
                Err(_) => {
                    failed += 1;
                    disk.faults.read_fails.store(false, Ordering::SeqCst);
                }
            }
        };
        assert_eq!(event.position(), position);
    }
    assert!(failed > 0);
}
