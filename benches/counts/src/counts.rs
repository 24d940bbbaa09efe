//! Instructions of append and replay, counted under callgrind by gungraun. `.ci/counts` runs this and compares with
//! `baseline.json`; [README.md](../README.md) says why so. What is made before counting begins (a filled store, the
//! caller's events) is made by the functions named `setup`.

#[path = "../../common/mod.rs"]
mod common;
mod world;

use std::hint::black_box;

use atlas::log::{Append, Direction, EventStore, Query};
use common::{DATA_LEN, Events, STREAMS};
use gungraun::Callgrind;
use gungraun::prelude::*;
use world::World;

/// Events in a store before anything is counted.
const EVENTS: usize = 20_000;
/// Events of a stream.
const IN_STREAM: u64 = EVENTS as u64 / STREAMS;
/// Holds all that is appended.
const LARGE_SEGMENT: u64 = 256 << 20;
/// Of which a store of [`EVENTS`] has four.
const SMALL_SEGMENT: u64 = 2 << 20;
/// Reads of one event that are counted together.
const CALLS: usize = 50;

/// A store, and what it lives in.
struct Place {
    store: EventStore,
    world: World,
}

fn filled(segment_size: u64) -> Place {
    let world = World::new();
    let store = world.open(segment_size);
    Events::of(&world.environment).fill(&store, EVENTS);
    world.run_jobs();
    Place { store, world }
}

/// A new store, all of it in the active segment.
fn active() -> Place {
    filled(LARGE_SEGMENT)
}

/// A store of several segments that was closed and opened again: nothing of it was checked yet.
fn reopened() -> Place {
    let Place { store, world } = filled(SMALL_SEGMENT);
    assert_eq!(store.stats().expect("the log reads").segments, 4);
    store.close().expect("the store closes");
    Place { store: world.open(SMALL_SEGMENT), world }
}

/// A store of which everything was read before.
fn read_before() -> Place {
    let place = reopened();
    scan(&place);
    place
}

fn setup_append(per_commit: usize) -> (Place, Vec<Append>) {
    let place = active();
    let mut events = Events::of(&place.world.environment);
    // Whatever grows once grows here.
    place.store.append(events.append(per_commit)).expect("the append succeeds");
    // Commits look at `LOCK` itself as long as the directory has changed within a second.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let calls = (10_000 / per_commit).min(500);
    (place, (0..calls).map(|_| events.append(per_commit)).collect())
}

#[library_benchmark(setup = setup_append)]
#[bench::by_1(1)]
#[bench::by_100(100)]
#[bench::by_1000(1_000)]
fn append((place, appends): (Place, Vec<Append>)) -> Place {
    for append in appends {
        black_box(place.store.append(append).expect("the append succeeds"));
    }
    place
}

fn scan(place: &Place) {
    let read = place.store.read(Query::new()).expect("the log reads");
    let bytes: usize = read.map(|event| event.expect("each event reads").data().len()).sum();
    assert_eq!(bytes, EVENTS * DATA_LEN);
}

#[library_benchmark]
#[bench::active(active())]
#[bench::first(reopened())]
#[bench::again(read_before())]
fn whole_log(place: Place) -> Place {
    scan(&place);
    place
}

#[library_benchmark]
#[bench::active(active())]
#[bench::first(reopened())]
#[bench::again(read_before())]
fn stream(place: Place) -> Place {
    let scope = common::scope();
    for number in 0..10 {
        let stream = common::stream(number);
        let read = place.store.read_stream(&scope, &stream, 1, Direction::Forward).expect("the stream is there");
        let bytes: usize = read.map(|event| event.expect("each event reads").data().len()).sum();
        assert_eq!(bytes, IN_STREAM as usize * DATA_LEN);
    }
    place
}

#[library_benchmark]
#[bench::active(active())]
#[bench::first(reopened())]
#[bench::again(read_before())]
fn one_event(place: Place) -> Place {
    let scope = common::scope();
    for call in 0..CALLS as u64 {
        let (stream, version) = (common::stream(call * 7), call * 13 % IN_STREAM + 1);
        let mut read =
            place.store.read_stream(&scope, &stream, version, Direction::Forward).expect("the stream is there");
        let event = read.next().expect("the version is there").expect("the event reads");
        assert_eq!(event.version(), version);
    }
    place
}

library_benchmark_group!(name = appends, benchmarks = [append]);
library_benchmark_group!(name = replays, benchmarks = [whole_log, stream, one_event]);
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [appends, replays]
);
