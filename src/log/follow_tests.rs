//! Following gives every entry once, in order, while segments are sealed, indexed and merged beneath it.

use std::sync::Arc;

use super::follow::Follow;
use super::{Address, Append, Durability, EventStore, LogEntry, Options, RecordKind};
use crate::event::{Event, Scope};
use crate::storage::{Environment, Job, Lane, MemoryDisk, Scheduler};

/// Runs commits at once, and what is behind only when told: so that every order of both can be had.
#[derive(Debug, Default)]
struct Stepped(parking_lot::Mutex<Vec<Behind>>);

struct Behind(Job);

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Scheduler for Stepped {
    fn submit(&self, lane: Lane, job: Job) {
        match lane {
            Lane::Commit => job(),
            Lane::Behind => self.0.lock().push(Behind(job)),
        }
    }

    fn submit_after(&self, _delay: std::time::Duration, job: Job) {
        self.0.lock().push(Behind(job));
    }

    fn stop(&self) {
        self.step();
    }
}

impl Stepped {
    fn step(&self) {
        let jobs = std::mem::take(&mut *self.0.lock());
        jobs.into_iter().for_each(|Behind(job)| job());
    }
}

fn take(follow: &mut Follow, seen: &mut Vec<String>) {
    while let Some(entry) = follow.next().unwrap() {
        seen.push(match entry {
            LogEntry::Event(event) => format!("event {}", event.position()),
            LogEntry::Record(record) => format!("record {}", String::from_utf8_lossy(&record.body)),
        });
    }
}

fn append(store: &EventStore, number: u64, wanted: &mut Vec<String>) {
    let scope: Scope = "t/a".parse().unwrap();
    let event = Event::new("A_B_C_D_1", format!("s-{}", number % 3)).data(&"x".repeat(700));
    let durability = if number.is_multiple_of(4) { Durability::Deferred } else { Durability::Sync };
    let mut append = Append::to(&scope).event(event).durability(durability);
    wanted.push(format!("event {number}"));
    if number.is_multiple_of(2) {
        append = append.record(RecordKind::Queue, format!("k{}", number % 5), format!("{number}"));
        wanted.push(format!("record {number}"));
    }
    store.append(append).unwrap();
}

#[test]
fn each_entry_comes_once_whatever_is_sealed_meanwhile() {
    for (follow_every, seal_every, close_every) in
        [(1, 1, 0), (3, 50, 0), (40, 90, 0), (200, 7, 0), (5, 400, 130), (90, 1, 60)]
    {
        let disk = MemoryDisk::new();
        let open = || {
            let scheduler = Arc::new(Stepped::default());
            let environment = Environment { scheduler: scheduler.clone(), ..Environment::new(disk.clone()) };
            let options = Options { segment_size: 64 << 10, ..Options::default() };
            (EventStore::open_with(environment, options).unwrap(), scheduler)
        };
        let (mut store, mut scheduler) = open();
        let mut follow = store.follow(Address::START).unwrap();
        let (mut seen, mut wanted) = (Vec::new(), Vec::new());
        for number in 1..=900 {
            append(&store, number, &mut wanted);
            if number % follow_every == 0 {
                take(&mut follow, &mut seen);
            }
            if number % seal_every == 0 {
                scheduler.step();
            }
            if close_every > 0 && number % close_every == 0 {
                let position = follow.position();
                store.close().unwrap();
                drop(follow);
                drop(store);
                (store, scheduler) = open();
                follow = store.follow(position).unwrap();
            }
        }
        store.sync().unwrap();
        take(&mut follow, &mut seen);
        assert_eq!(seen, wanted, "{follow_every} {seal_every} {close_every}");
        assert!(store.stats().unwrap().segments > 8);
        // The same by kind, by key, and from any address on.
        let bodies = |from| -> Vec<String> {
            let records = store.records(RecordKind::Queue, from).unwrap();
            records.map(|record| format!("record {}", String::from_utf8_lossy(&record.unwrap().body))).collect()
        };
        let records: Vec<String> = wanted.iter().filter(|entry| entry.starts_with("record")).cloned().collect();
        assert_eq!(bodies(Address::START), records);
        for record in store.records(RecordKind::Queue, Address::START).unwrap().step_by(37) {
            let record = record.unwrap();
            let rest = bodies(record.address);
            assert_eq!(rest, records[records.len() - rest.len()..]);
            assert_eq!(rest[0], format!("record {}", String::from_utf8_lossy(&record.body)));
            let keyed = store.records_with_key(RecordKind::Queue, &record.key).unwrap();
            assert_eq!(keyed.len(), records.len() / 5);
            assert!(keyed.windows(2).all(|pair| pair[0].address < pair[1].address));
            let mut late = store.follow(record.address).unwrap();
            let mut tail = Vec::new();
            take(&mut late, &mut tail);
            assert_eq!(tail, wanted[wanted.len() - tail.len()..]);
            assert_eq!(tail[0], rest[0]);
        }
    }
}
