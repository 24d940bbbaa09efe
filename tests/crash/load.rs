//! The load: appends that follow from their numbers, so that whoever finds an event knows what it must hold, and how many
//! were to come with it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use atlas::log::{Append, At, Durability, KeyframePolicy, Options};
use atlas::{Event, EventStore, Scope, Uuid};
use serde_json::json;

const TYPES: [&str; 3] =
    ["LOAN_APPLICATION_SUBMITTED_COMPLETE_1", "LOAN_OFFER_SENT_COMPLETE_1", "LOAN_RISK_SCORED_FAILED_1"];
pub(crate) const THREADS: u64 = 4;

pub(crate) fn options() -> Options {
    Options {
        segment_size: 128 << 10,
        keyframes: KeyframePolicy::Adaptive(2),
        keyframe_min_events: 8,
        ..Options::default()
    }
}

pub(crate) fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}

/// Splitmix64: a number that looks random and follows from another.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which append: of which round and thread, and the how many-th of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) round: u64,
    pub(crate) thread: u64,
    pub(crate) number: u64,
}

impl Key {
    fn random(self) -> u64 {
        mix(mix(mix(self.round) ^ self.thread) ^ self.number)
    }

    /// How many events the append has.
    pub(crate) fn count(self) -> u64 {
        match self.random() % 40 {
            0 => 60,
            1..=8 => 2 + self.random() / 40 % 5,
            _ => 1,
        }
    }

    pub(crate) fn is_deferred(self) -> bool {
        (self.random() >> 20).is_multiple_of(4)
    }

    fn id(self, index: u64) -> Uuid {
        let low = self.number << 32 | index;
        Uuid::from_u64_pair(self.round << 16 | self.thread, low)
    }

    /// The append and the place in it of the event with this id.
    pub(crate) fn of(id: Uuid) -> (Self, u64) {
        let (high, low) = id.as_u64_pair();
        (Self { round: high >> 16, thread: high & 0xffff, number: low >> 32 }, low & 0xffff_ffff)
    }

    /// Type, stream and data of the event in place `index`.
    pub(crate) fn content(self, index: u64) -> (&'static str, String, String) {
        let random = mix(self.random() ^ index);
        let filler = "x".repeat((random >> 8) as usize % 300);
        let data = json!({ format!("k{}", random % 7): random, "text": filler });
        (TYPES[(random % 3) as usize], format!("loan-{}", (random >> 4) % 40), data.to_string())
    }

    fn event(self, index: u64) -> Event {
        let (event_type, stream, data) = self.content(index);
        Event::new(event_type, stream).id(self.id(index)).json(data)
    }

    pub(crate) fn append(self) -> Append {
        let append = (0..self.count()).fold(Append::to(&scope()), |append, index| append.event(self.event(index)));
        if self.is_deferred() { append.durability(Durability::Deferred) } else { append }
    }
}

/// What was acknowledged: position and version of each event of an append, written as one line, so that a kill leaves
/// whole lines.
pub(crate) fn acknowledgement(key: Key, events: impl Iterator<Item = (u64, u64)>) -> String {
    let places: String = events.map(|(position, version)| format!(" {position}:{version}")).collect();
    format!("{} {} {}{places}\n", key.round, key.thread, key.number)
}

/// The host: opens the store, and appends with several threads until it is killed. Writes to `acks` what is
/// acknowledged; `synced THREAD NUMBER` says that the appends of the thread up to that one are durable.
pub(crate) fn run(dir: &Path, acks: &Path, round: u64) {
    let store = EventStore::open_options(dir, options()).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (store, mut acks) = (store.clone(), File::options().append(true).open(acks).unwrap());
            threads.spawn(move || {
                for number in 0..1 << 20 {
                    let key = Key { round, thread, number };
                    let receipt = store.append(key.append()).unwrap();
                    let places = receipt.events.iter().map(|event| (event.position, event.version));
                    acks.write_all(acknowledgement(key, places).as_bytes()).unwrap();
                    if number % 61 == 60 {
                        store.sync().unwrap();
                        acks.write_all(format!("synced {round} {thread} {number}\n").as_bytes()).unwrap();
                    }
                    if number % 17 == 16 {
                        // A fold leaves keyframes.
                        store.state(&scope(), &format!("loan-{}", number % 40), At::Now, true).unwrap();
                    }
                }
            });
        }
    });
}
