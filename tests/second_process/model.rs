//! After every step of a host its readers see exactly what is durable, whatever the host does in which order.

use atlas::EventStore;
use atlas::log::{Durability, Events, Query, Subscription};

use crate::world::{Host, LookOnly, Numbers, assert_sees, read_only};

const SEEDS: u64 = 8;
const STEPS: u64 = 500;

/// A reader with a subscription and an iterator that it keeps.
struct Reader {
    store: EventStore,
    subscription: Subscription,
    subscribed_to: usize,
    kept: Events,
    kept_to: usize,
    kept_end: usize,
}

impl Reader {
    fn new(host: &Host) -> Self {
        let (store, _) = read_only(&LookOnly::new(&host.disk)).unwrap();
        let (subscription, kept) = (store.subscribe(Query::new(), 0), store.read(Query::new()).unwrap());
        Self { store, subscription, subscribed_to: 0, kept, kept_to: 0, kept_end: host.durable }
    }

    fn check(&mut self, host: &Host, numbers: &mut Numbers) {
        while let Some(event) = self.subscription.try_next().unwrap() {
            assert_eq!(event.id(), host.written[self.subscribed_to].id);
            self.subscribed_to += 1;
        }
        assert_eq!(self.subscribed_to, host.durable);
        if numbers.below(20) == 0 {
            assert_sees(&self.store, host, numbers);
        }
        for _ in 0..numbers.below(8) {
            match self.kept.next() {
                Some(event) => {
                    assert_eq!(event.unwrap().id(), host.written[self.kept_to].id);
                    self.kept_to += 1;
                }
                None => {
                    // All that was there when it began, and maybe more; never less.
                    assert!(self.kept_to >= self.kept_end && self.kept_to <= host.durable);
                    self.kept = self.store.read(Query::new()).unwrap();
                    (self.kept_to, self.kept_end) = (0, host.durable);
                }
            }
        }
    }
}

fn run(seed: u64) -> u64 {
    let mut numbers = Numbers(seed);
    let mut host = Host::new();
    let mut readers = vec![Reader::new(&host)];
    for _ in 0..STEPS {
        match numbers.below(40) {
            _ if !host.is_open() && numbers.below(2) == 0 => host.open(),
            _ if !host.is_open() => {}
            0..20 => host.append(&mut numbers, Durability::Sync),
            20..29 => host.append(&mut numbers, Durability::Deferred),
            29..31 => host.sync(),
            31..35 => host.step(),
            35..37 => host.fold(&mut numbers),
            37 => host.close(),
            38 => host.kill(),
            _ => readers.push(Reader::new(&host)),
        }
        if readers.len() > 4 {
            let at = numbers.below(readers.len() as u64) as usize;
            readers.swap_remove(at).store.close().unwrap();
        }
        // Some look after each step, some only now and then, and find that much has happened.
        for (number, reader) in readers.iter_mut().enumerate() {
            if numbers.below(1 << (2 * number)) == 0 {
                reader.check(&host, &mut numbers);
            }
        }
    }
    for reader in &mut readers {
        reader.check(&host, &mut numbers);
        assert_sees(&reader.store, &host, &mut numbers);
    }
    readers[0].store.stats().unwrap().segments
}

#[test]
fn readers_see_exactly_what_is_durable_after_each_step_of_the_host() {
    let mut segments = 0;
    for seed in 1..=SEEDS {
        eprintln!("seed {seed}");
        segments = segments.max(run(seed));
    }
    assert!(segments > 8, "only {segments} segments");
}
