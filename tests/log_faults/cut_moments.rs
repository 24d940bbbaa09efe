//! What a crash at one particular moment leaves: nobody is shown what isn't durable, and nothing is said to be lost that isn't.

use atlas::log::{Append, Durability, EventStore, OpenMode};
use atlas::storage::simulated::{Faults, SimulatedDisk};
use atlas::storage::{Disk, Environment};

use crate::world::{append_deferred, event, ids, open, options, scope};

fn append(store: &EventStore, number: u128) -> bool {
    store.append(Append::to(&scope()).event(event(number)).durability(Durability::Sync)).is_ok()
}

/// A reader of a directory that nobody holds, where a sync had failed: the cache may show what was never written.
#[test]
fn who_only_reads_sees_no_more_than_survives() {
    for seed in 1..=40 {
        let disk = SimulatedDisk::new(seed);
        let store = open(disk.clone()).unwrap();
        assert!(append(&store, 1));
        disk.set_faults(Faults { sync: 65536, ..Faults::default() });
        assert!(!append(&store, 2));
        disk.set_faults(Faults::default());
        drop(store);
        let disk = disk.kill();
        let reader = EventStore::open_with_mode(Environment::new(disk.clone()), options(), OpenMode::Read).unwrap();
        let seen = ids(&reader);
        drop(reader);
        let found = ids(&open(disk.power_cut()).unwrap());
        assert!(seen.iter().all(|id| found.contains(id)), "seed {seed}: {seen:?} were seen, {found:?} survive");
    }
}

#[test]
fn a_rebuild_that_is_cut_short_leaves_no_false_word_of_loss() {
    for seed in 1..=20 {
        let disk = SimulatedDisk::new(seed);
        let store = open(disk.clone()).unwrap();
        assert!(append(&store, 1));
        (2..=6).for_each(|number| append_deferred(&store, number));
        // Killed: not even the last handle's drop syncs anything.
        let disk = disk.kill();
        drop(store);
        disk.remove("LOCK").unwrap();
        disk.sync_dir("").unwrap();
        for cut in 1..30 {
            let side = disk.fork(seed * 1000 + cut);
            side.cut_power_in(cut);
            if atlas::rebuild_with(Environment::new(side.clone()), |_, _| {}).is_ok() {
                break;
            }
            match open(side.power_cut()) {
                Ok(_) | Err(atlas::log::OpenError::LockMissing) => {}
                Err(error) => panic!("seed {seed}, cut {cut}: {error}"),
            }
        }
    }
}
