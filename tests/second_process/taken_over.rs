//! A host whose `LOCK` was removed, and one that began after a rebuild: the first never writes into the log of the second.

use atlas::log::{Append, At, Durability, EventStore, Query};
use atlas::storage::{Disk, Environment, MemoryDisk};
use atlas::{Event, Uuid};

use crate::world::{options, scope};

fn open(disk: &MemoryDisk) -> EventStore {
    EventStore::open_with(Environment::new(disk.clone()), options()).unwrap()
}

fn one(number: u128) -> Append {
    let event = Event::new("A_B_C_D_1", "s").id(Uuid::from_u128(number));
    Append::to(&scope()).event(event.data(&serde_json::json!({ "n": "x".repeat(300) })))
}

fn ids(store: &EventStore) -> Vec<u128> {
    store.read(Query::new()).unwrap().map(|event| event.unwrap().id().as_u128()).collect()
}

/// What a host does after another has taken its directory over.
fn after_a_takeover(what: impl Fn(&EventStore)) {
    let disk = MemoryDisk::new();
    let first = open(&disk);
    (1..=60).for_each(|number| assert!(first.append(one(number)).unwrap().durable));
    disk.remove("LOCK").unwrap();
    atlas::rebuild_with(Environment::new(disk.clone()), |_, _| {}).unwrap();
    let second = open(&disk);
    (61..=80).for_each(|number| assert!(second.append(one(number)).unwrap().durable));
    what(&first);
    drop((second, first));
    assert_eq!(ids(&open(&disk)), (1..=80).collect::<Vec<_>>());
}

#[test]
fn a_deferred_append_leaves_the_other_log_alone() {
    for appends in [1, 300] {
        after_a_takeover(|first| {
            (0..appends).for_each(|number| {
                assert!(first.append(one(1000 + number).durability(Durability::Deferred)).is_err());
            });
        });
    }
}

/// A state leaves a keyframe.
#[test]
fn a_mere_read_leaves_the_other_log_alone() {
    after_a_takeover(|first| drop(first.state(&scope(), "s", At::Now, true)));
}
