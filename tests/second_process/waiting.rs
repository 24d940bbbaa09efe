//! Subscriptions of a reader wait for what the host appends, and cost nothing when nobody waits.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use atlas::Event;
use atlas::log::{Append, Durability, EventStore, OpenMode, Query, ReadError};

use crate::world::{Host, LookOnly, Numbers, options, read_only, scope};

#[test]
fn a_subscription_lives_across_rotations() {
    const EVENTS: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let host = EventStore::open_options(dir.path(), options()).unwrap();
    let reader = EventStore::open_mode(dir.path(), options(), OpenMode::Read).unwrap();
    let mut subscription = reader.subscribe(Query::new(), 0);
    let appending = std::thread::spawn(move || {
        for number in 1..=EVENTS {
            let event = Event::new("A_B_C_D_1", format!("s-{}", number % 7)).data(&"x".repeat(1_500));
            let durability = if number % 5 == 0 { Durability::Sync } else { Durability::Deferred };
            host.append(Append::to(&scope()).event(event).durability(durability)).unwrap();
        }
        host
    });
    for position in 1..=EVENTS {
        assert_eq!(subscription.next_blocking().unwrap().position(), position);
    }
    let host = appending.join().unwrap();
    assert!(reader.stats().unwrap().segments > 8);
    // What waits is told when the reader closes.
    let waits = std::thread::spawn(move || subscription.next_blocking());
    reader.close().unwrap();
    assert!(matches!(waits.join().unwrap(), Err(ReadError::Closed)));
    host.close().unwrap();
}

#[test]
fn what_waits_is_told_when_the_last_handle_of_a_reader_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let _host = EventStore::open(dir.path()).unwrap();
    let reader = EventStore::open_read_only(dir.path()).unwrap();
    let mut subscription = reader.subscribe(Query::new(), 0);
    let waits = std::thread::spawn(move || subscription.next_blocking());
    drop(reader);
    assert!(matches!(waits.join().unwrap(), Err(ReadError::Closed)));
}

#[test]
fn the_reader_looks_only_while_somebody_waits() {
    let mut numbers = Numbers(3);
    let mut host = Host::new();
    let look_only = LookOnly::new(&host.disk);
    let (reader, scheduler) = read_only(&look_only).unwrap();
    let mut subscription = reader.subscribe(Query::new(), 0);
    assert!(subscription.try_next().unwrap().is_none());
    assert_eq!(scheduler.waiting(), 0, "nobody waits");
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut next = pin!(subscription.next());
        assert!(next.as_mut().poll(&mut context).is_pending());
        let looks = look_only.looks.load(Ordering::SeqCst);
        for _ in 0..5 {
            assert_eq!(scheduler.step(), 1, "one look is due, and then the next");
        }
        assert_eq!(look_only.looks.load(Ordering::SeqCst), looks + 5);
        assert!(next.as_mut().poll(&mut context).is_pending());
        host.append(&mut numbers, Durability::Deferred);
        scheduler.step();
        assert!(next.as_mut().poll(&mut context).is_pending(), "it isn't durable");
        host.sync();
        scheduler.step();
        let Poll::Ready(Ok(event)) = next.as_mut().poll(&mut context) else { panic!("it is durable") };
        assert_eq!(event.position(), 1);
    }
    while subscription.try_next().unwrap().is_some() {}
    assert!(pin!(subscription.next()).poll(&mut context).is_pending());
    // The future is gone: the look that was due is the last.
    scheduler.step();
    assert_eq!(scheduler.waiting(), 0, "nobody waits any more");
}

#[test]
fn who_waits_is_told_that_the_log_was_replaced() {
    let mut numbers = Numbers(4);
    let mut host = Host::new();
    host.append(&mut numbers, Durability::Sync);
    let (reader, scheduler) = read_only(&LookOnly::new(&host.disk)).unwrap();
    let mut subscription = reader.subscribe(Query::new(), host.durable as u64);
    let mut context = Context::from_waker(Waker::noop());
    let mut next = pin!(subscription.next());
    assert!(next.as_mut().poll(&mut context).is_pending());
    crate::lock_file::put_in_place(&crate::lock_file::another(3).disk, &host.disk);
    scheduler.step();
    assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Err(ReadError::Replaced { .. }))));
}
