//! Keyframes: a state that is loaded from one and nothing else, and an event folded into it with a keyframe left behind.

use std::cell::LazyCell;

use atlas::Event;
use atlas::log::{Append, At, EventStore, KeyframePolicy, Options};
use atlas::storage::Environment;
use criterion::{BatchSize, Criterion};

use crate::common::{self, TYPE};
use crate::world;

const STREAM: &str = "transaction-000000001";

/// A stream of 100 events that name as many fields, with a keyframe after each fold.
fn store() -> (EventStore, Environment) {
    let environment = world::in_memory();
    let options = Options { keyframes: KeyframePolicy::Events(1), ..Options::default() };
    let store = world::open(&environment, options);
    let events = (0..100).map(|number| Event::new(TYPE, STREAM).json(format!(r#"{{"field_{number:02}":{number}}}"#)));
    store.append(Append::to(&common::scope()).events(events)).expect("the append succeeds");
    (store, environment)
}

/// The events that a fold of the stream reads.
fn fold(store: &EventStore) -> u64 {
    let state = store.state(&common::scope(), STREAM, At::Now, true).expect("the stream reads");
    assert_eq!(state.state.as_object().map(serde_json::Map::len), Some(100));
    state.events_read
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keyframe");
    let loaded = LazyCell::new(|| {
        let (store, environment) = store();
        fold(&store);
        (store, environment)
    });
    group.bench_function("load", |bencher| {
        let (store, _) = &*loaded;
        bencher.iter(|| assert_eq!(fold(store), 0));
    });
    group.bench_function("load, fold one event, write", |bencher| {
        let (store, _environment) = store();
        fold(&store);
        let event = || Event::new(TYPE, STREAM).json(r#"{"field_07":8}"#);
        bencher.iter_batched(
            || store.append(Append::to(&common::scope()).event(event())).expect("the append succeeds"),
            |_| assert_eq!(fold(&store), 1),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
