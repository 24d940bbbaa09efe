//! A reader of a directory that nobody holds, and whose `LOCK` is behind the log, as a power loss leaves it.

use atlas::log::{Durability, EventStore, OpenMode};
use atlas::storage::{Disk, Environment, MemoryDisk};

use crate::lock_file::another;
use crate::world::{Host, Numbers, assert_sees, options};

fn reader(disk: &MemoryDisk) -> EventStore {
    EventStore::open_with_mode(Environment::new(disk.clone()), options(), OpenMode::Read).unwrap()
}

fn lock(disk: &MemoryDisk) -> [u8; 36] {
    let mut bytes = [0; 36];
    disk.open("LOCK", false).unwrap().read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn say(disk: &MemoryDisk, lock: [u8; 36]) {
    disk.open("LOCK", true).unwrap().write_all_at(0, &lock).unwrap();
}

/// A host that was killed, its `LOCK` as it stood before the last `events` appends.
fn behind(seed: u64, events: u64) -> (Host, Numbers) {
    let (mut host, mut numbers) = (another(seed), Numbers(seed + 100));
    let stale = lock(&host.disk);
    (0..events).for_each(|_| host.append(&mut numbers, Durability::Sync));
    host.kill();
    say(&host.disk, stale);
    (host, numbers)
}

#[test]
fn all_that_was_acknowledged_is_seen_where_lock_is_behind() {
    for events in [1, 7, 120] {
        let (mut host, mut numbers) = behind(21, events);
        let before = lock(&host.disk);
        let seen = reader(&host.disk);
        assert_sees(&seen, &host, &mut numbers);
        assert_eq!(lock(&host.disk), before, "a reader writes nothing");
        // While a host opens the store LOCK says less still than the reader knows.
        assert_sees(&seen, &host, &mut numbers);
        host.open();
        assert_sees(&seen, &host, &mut numbers);
        (0..60).for_each(|_| host.append(&mut numbers, Durability::Sync));
        assert_sees(&seen, &host, &mut numbers);
    }
}

/// What isn't durable is never seen beside a host, however whole it stands in the file.
#[test]
fn beside_a_host_lock_alone_is_believed() {
    let (mut host, mut numbers) = (another(22), Numbers(23));
    let durable = host.durable;
    host.append(&mut numbers, Durability::Deferred);
    assert_eq!(host.durable, durable);
    assert_sees(&reader(&host.disk), &host, &mut numbers);
}

#[test]
fn damage_behind_what_lock_says_is_reported_as_an_opening_would() {
    let (host, _) = behind(24, 30);
    let last = host.disk.list("log").unwrap().into_iter().filter(|name| name.ends_with(".seg")).max().unwrap();
    let name = format!("log/{last}");
    let stated = u32::from_le_bytes(lock(&host.disk)[16..20].try_into().unwrap());
    let segment = u32::from_le_bytes(lock(&host.disk)[20..24].try_into().unwrap());
    let at = if format!("{segment:08}.seg") == last { stated } else { 64 };
    host.disk.open(&name, true).unwrap().write_all_at(u64::from(at) + 60, &[0xee; 8]).unwrap();
    let read = EventStore::open_with_mode(Environment::new(host.disk.clone()), options(), OpenMode::Read);
    let opened = EventStore::open_with(Environment::new(host.disk.clone()), options());
    let (read, opened) = (read.unwrap_err().to_string(), opened.unwrap_err().to_string());
    assert_eq!(read, opened);
}
