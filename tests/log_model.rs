//! The log against a plain model: any mix of appends, reads, rotations, closes and abrupt ends gives what the model
//! gives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use atlas::log::{Append, AppendError, At, Direction, Durability, ExpectedVersion, Options, Query};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Event, EventStore, Scope, Uuid};
use proptest::prelude::*;
use serde_json::json;

#[derive(Clone, Debug)]
enum Step {
    Append { scope: usize, events: Vec<(usize, usize, u16)>, expected: Option<(usize, i8)>, deferred: bool, id: bool },
    Repeat { which: usize },
    Sync,
    Close,
    Abandon,
    State { stream: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0..5usize, 0..4usize, 0..3000u16);
    prop_oneof![
        8 => (0..2usize, prop::collection::vec(event, 1..6), prop::option::of((0..5usize, -1..2i8)), any::<bool>(), any::<bool>())
            .prop_map(|(scope, events, expected, deferred, id)| Step::Append { scope, events, expected, deferred, id }),
        1 => any::<usize>().prop_map(|which| Step::Repeat { which }),
        1 => Just(Step::Sync),
        1 => Just(Step::Close),
        1 => Just(Step::Abandon),
        1 => (0..5usize).prop_map(|stream| Step::State { stream }),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Recorded {
    id: Uuid,
    scope: usize,
    stream: String,
    event_type: String,
    version: u64,
    data: serde_json::Value,
}

struct Model {
    scopes: [Scope; 2],
    events: Vec<Recorded>,
    durable: usize,
}

impl Model {
    fn version(&self, scope: usize, stream: &str) -> u64 {
        self.events.iter().filter(|e| e.scope == scope && e.stream == stream).count() as u64
    }
}

fn open(disk: &MemoryDisk) -> EventStore {
    let options = Options { segment_size: 64 << 10, keyframe_min_events: 3, ..Options::default() };
    EventStore::open_with(Environment::new(disk.clone()), options).unwrap()
}

fn event_of(recorded: &Recorded) -> Event {
    Event::new(&recorded.event_type, &recorded.stream).data(&recorded.data)
}

fn check(store: &EventStore, model: &Model) {
    let durable = &model.events[..model.durable];
    assert_eq!(store.last_position(), durable.len() as u64);
    let all: Vec<_> = store.read(Query::new()).unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), durable.len());
    for (position, (found, wanted)) in (1..).zip(all.iter().zip(durable)) {
        assert_eq!(found.position(), position);
        assert_eq!(found.id(), wanted.id);
        assert_eq!(found.scope(), &model.scopes[wanted.scope]);
        assert_eq!((found.stream(), found.version()), (wanted.stream.as_str(), wanted.version));
        assert_eq!(found.event_type(), wanted.event_type);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(found.data()).unwrap(), wanted.data);
    }
    let mut backward: Vec<_> = store.read(Query::new().backward()).unwrap().map(|e| e.unwrap().position()).collect();
    backward.reverse();
    assert_eq!(backward, (1..=durable.len() as u64).collect::<Vec<_>>());
    let mut streams: BTreeMap<(usize, &str), Vec<&Recorded>> = BTreeMap::new();
    for event in durable {
        streams.entry((event.scope, &event.stream)).or_default().push(event);
    }
    for ((scope, stream), events) in &streams {
        let scope = &model.scopes[*scope];
        assert_eq!(store.version(scope, stream).unwrap(), events.len() as u64);
        for from in [1, events.len() as u64 / 2 + 1] {
            let found: Vec<_> =
                store.read_stream(scope, stream, from, Direction::Forward).unwrap().map(|e| e.unwrap().id()).collect();
            let wanted: Vec<_> = events[from as usize - 1..].iter().map(|e| e.id).collect();
            assert_eq!(found, wanted);
            let mut found: Vec<_> =
                store.read_stream(scope, stream, from, Direction::Backward).unwrap().map(|e| e.unwrap().id()).collect();
            found.reverse();
            let wanted: Vec<_> = events[..from as usize].iter().map(|e| e.id).collect();
            assert_eq!(found, wanted);
        }
        for at in [At::Now, At::Version(events.len() as u64 / 2)] {
            let with = store.state(scope, stream, at, true).unwrap();
            let without = store.state(scope, stream, at, false).unwrap();
            assert_eq!((with.version, &with.state), (without.version, &without.state));
            assert_eq!(without.keyframe, None);
        }
    }
    let names: Vec<_> = store.streams(None, "").unwrap().map(Result::unwrap).collect();
    assert_eq!(names.len(), streams.len());
    assert_eq!(store.stats().unwrap().streams, streams.len() as u64);
    for event in durable.iter().step_by(7) {
        let found = store.event(&model.scopes[event.scope], event.id).unwrap().unwrap();
        assert_eq!((found.id(), found.version()), (event.id, event.version));
        assert!(store.event(&model.scopes[1 - event.scope], event.id).unwrap().is_none());
    }
    let prefixed = store.read(Query::new().type_prefix("A_T1_").scope(&model.scopes[0])).unwrap().count();
    assert_eq!(prefixed, durable.iter().filter(|e| e.scope == 0 && e.event_type.starts_with("A_T1_")).count());
}

fn run(steps: Vec<Step>) {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let scopes = ["bank/loans".parse().unwrap(), "shop/orders".parse().unwrap()];
    let mut model = Model { scopes, events: Vec::new(), durable: 0 };
    for step in steps {
        match step {
            Step::Append { scope, events, expected, deferred, id } => {
                let mut append = Append::to(&model.scopes[scope]);
                append = append.durability(if deferred { Durability::Deferred } else { Durability::Sync });
                let mut wanted = Vec::new();
                for (stream, event_type, size) in events {
                    let stream = format!("s-{stream}");
                    let number = model.events.len() + wanted.len();
                    let data = json!({ "n": number, "k": { format!("f{}", number % 3): "x".repeat(size.into()) } });
                    let recorded = Recorded {
                        id: Uuid::from_u128(number as u128 + 1),
                        scope,
                        version: model.version(scope, &stream)
                            + wanted.iter().filter(|e: &&Recorded| e.stream == stream).count() as u64
                            + 1,
                        stream,
                        event_type: format!("A_T{event_type}_B_C_1"),
                        data,
                    };
                    let event = event_of(&recorded);
                    append = append.event(if id { event.id(recorded.id) } else { event });
                    wanted.push(recorded);
                }
                let mut conflict = None;
                if let Some((stream, delta)) = expected {
                    let stream = format!("s-{stream}");
                    let actual = model.version(scope, &stream);
                    let version = actual.saturating_add_signed(delta.into());
                    conflict = (version != actual).then_some(actual);
                    append = append.expect_version(stream, ExpectedVersion::Exact(version));
                }
                match (store.append(append), conflict) {
                    (Ok(receipt), None) => {
                        for (written, wanted) in receipt.events.iter().zip(&mut wanted) {
                            assert_eq!(written.version, wanted.version);
                            assert!(!id || written.id == wanted.id);
                            wanted.id = written.id;
                        }
                        model.events.extend(wanted);
                        assert!(deferred || receipt.durable);
                        if receipt.durable {
                            model.durable = model.events.len();
                        }
                    }
                    (Err(AppendError::Conflict { actual, .. }), Some(wanted)) => {
                        assert_eq!(actual, wanted);
                        // A conflict with a head that was not durable has made it so.
                        model.durable = store.last_position() as usize;
                    }
                    (result, conflict) => panic!("{result:?} where the model says conflict {conflict:?}"),
                }
            }
            Step::Repeat { which } => {
                let Some(event) = model.events.get(which % model.events.len().max(1)).cloned() else { continue };
                let scope = &model.scopes[event.scope];
                let receipt = store.append(Append::to(scope).event(event_of(&event).id(event.id))).unwrap();
                assert!(receipt.repeated && receipt.durable);
                assert_eq!(receipt.events[0].version, event.version);
                let other = event_of(&event).id(event.id).data(&json!({"other": 1}));
                let error = store.append(Append::to(scope).event(other)).unwrap_err();
                assert!(matches!(error, AppendError::IdReused { field: "data", .. }), "{error}");
                model.durable = store.last_position() as usize;
            }
            Step::Sync => {
                store.sync().unwrap();
                model.durable = model.events.len();
            }
            Step::Close => {
                store.close().unwrap();
                store = open(&disk);
                model.durable = model.events.len();
            }
            // What stood in the file survives the end of a process, durable or not.
            Step::Abandon => {
                drop(store);
                store = open(&disk);
                model.durable = model.events.len();
            }
            Step::State { stream } => {
                store.state(&model.scopes[0], &format!("s-{stream}"), At::Now, true).unwrap();
            }
        }
        // A keyframe's commit makes nothing durable, and a full segment everything.
        assert!(store.last_position() as usize >= model.durable);
        model.durable = store.last_position() as usize;
    }
    // A keyframe that the check leaves may fill the segment, and so make durable what was deferred: do it before.
    store.sync().unwrap();
    model.durable = model.events.len();
    check(&store, &model);
    store.close().unwrap();
    check(&open(&disk), &{
        model.durable = model.events.len();
        model
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn the_log_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        run(steps);
    }
}
