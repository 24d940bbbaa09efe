//! The host goes on while a reader is in the middle of looking: between any two of its calls to the disk.

use std::sync::{Arc, Mutex};

use atlas::log::{Durability, Query};

use crate::world::{Host, LookOnly, Numbers, assert_sees, read_only};

/// One step of a host that a reader knows nothing of.
fn go_on(host: &mut Host, numbers: &mut Numbers) {
    match numbers.below(12) {
        0..6 => (0..numbers.below(60)).for_each(|_| host.append(numbers, Durability::Sync)),
        6..8 => host.append(numbers, Durability::Deferred),
        8..11 => host.step(),
        _ => {
            host.close();
            host.open();
        }
    }
}

#[test]
fn what_a_reader_sees_is_durable_though_the_host_goes_on_while_it_looks() {
    let mut longest = 0;
    for seed in 1..=10 {
        eprintln!("seed {seed}");
        let numbers = Arc::new(Mutex::new(Numbers(seed)));
        let host = Arc::new(Mutex::new(Host::new()));
        let look_only = LookOnly::new(&host.lock().unwrap().disk);
        let between = || {
            let (host, numbers) = (host.clone(), numbers.clone());
            let mut left = 12;
            look_only.before_each(move |_| {
                let mut numbers = numbers.lock().unwrap();
                if left > 0 && numbers.below(4) == 0 {
                    left -= 1;
                    go_on(&mut host.lock().unwrap(), &mut numbers);
                }
            });
        };
        let (mut reader, _) = read_only(&look_only).unwrap();
        for round in 0..16 {
            let before = host.lock().unwrap().durable;
            between();
            if round % 3 == 0 {
                reader = read_only(&look_only).unwrap().0;
            }
            let seen: Vec<_> = reader.read(Query::new()).unwrap().map(|event| event.unwrap().id()).collect();
            look_only.before_none();
            let host = host.lock().unwrap();
            assert!((before..=host.durable).contains(&seen.len()), "{before} {} {}", seen.len(), host.durable);
            assert!(seen.iter().eq(host.written[..seen.len()].iter().map(|known| &known.id)));
            assert_sees(&reader, &host, &mut numbers.lock().unwrap());
            longest = longest.max(reader.stats().unwrap().segments);
        }
    }
    assert!(longest > 8, "only {longest} segments");
}

#[test]
fn a_reader_far_behind_uses_the_indexes_that_the_host_has_written() {
    let mut numbers = Numbers(1);
    let mut host = Host::new();
    let (reader, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
    while host.store().stats().unwrap().segments < 20 {
        host.append(&mut numbers, Durability::Sync);
        host.step();
    }
    // The directory covers all but the active segment: nothing else is indexed in memory.
    let (seen, own) = (reader.stats().unwrap(), host.store().stats().unwrap());
    assert_eq!((seen.sealed, seen.segments, seen.streams), (own.sealed, own.segments, own.streams));
    assert_eq!(seen.sealed, 19);
    assert_sees(&reader, &host, &mut numbers);
}

#[test]
fn a_reader_never_writes_though_the_host_has_left_segments_without_an_index() {
    let mut numbers = Numbers(2);
    let mut host = Host::new();
    while host.store().stats().unwrap().segments < 4 {
        host.append(&mut numbers, Durability::Sync);
    }
    host.kill();
    // Its disk refuses all that isn't looking.
    let (reader, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
    assert_sees(&reader, &host, &mut numbers);
    reader.close().unwrap();
}

#[test]
fn runs_of_the_directory_that_are_merged_away_under_a_reader_are_found_merged() {
    let mut numbers = Numbers(13);
    let host = Arc::new(Mutex::new(Host::new()));
    {
        let mut host = host.lock().unwrap();
        while host.store().stats().unwrap().segments < 5 {
            host.append(&mut numbers, Durability::Sync);
            host.step();
        }
        while host.store().stats().unwrap().segments < 6 {
            host.append(&mut numbers, Durability::Sync);
        }
    }
    let look_only = LookOnly::new(&host.lock().unwrap().disk);
    let (merging, mut is_listed) = (host.clone(), false);
    look_only.before_each(move |name| {
        // Once the files are listed, and before the first of them is opened.
        if name == "log" {
            is_listed = true;
        } else if is_listed && name.ends_with(".dir") {
            merging.lock().unwrap().step();
        }
    });
    let (reader, _) = read_only(&look_only).unwrap();
    look_only.before_none();
    let host = host.lock().unwrap();
    assert_eq!(reader.stats().unwrap().sealed, 5);
    assert_sees(&reader, &host, &mut numbers);
}
