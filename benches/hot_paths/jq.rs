//! Guards and transforms: an event read for expressions once, then a guard and a transform over it; and the same over the
//! applications of the real log, where it is there (`ATLAS_REAL_LOG`, or `../shared/data/bpic2012.ndjson.gz`).

use std::io::{BufRead, BufReader};

use atlas::log::{Append, EventStore, Query, RecordedEvent};
use atlas::routing::{Constants, Expression, Input};
use atlas::{Event, Scope};
use criterion::{Criterion, Throughput};

const GUARD: &str = ".data.amount_requested > 10000";
const TRANSFORM: &str = "{loan: .stream, amount: .data.amount_requested}";

fn event() -> RecordedEvent {
    let store = EventStore::in_memory().expect("the store opens");
    let scope = Scope::new("dutch-bank", "loans").expect("both are names");
    let event = Event::new("LOAN_APPLICATION_SUBMITTED_COMPLETE_1", "loan-173688")
        .json(r#"{"loan_goal":"Existing loan takeover","application_type":"New credit","amount_requested":20000}"#);
    store.append(Append::to(&scope).event(event)).expect("the append succeeds");
    store.event_at(1).expect("the log reads").expect("the event is there")
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jq");
    let event = event();
    let input = Input::of(&event, &Constants::default()).expect("the event can be read");
    let guard = Expression::compile(GUARD).expect("the guard compiles");
    let transform = Expression::compile(TRANSFORM).expect("the transform compiles");
    group.bench_function("input", |bencher| {
        bencher.iter(|| Input::of(&event, &Constants::default()).expect("the event can be read"))
    });
    group.bench_function("guard", |bencher| {
        bencher.iter(|| assert!(guard.first_is_true(&input).expect("the guard runs")));
    });
    group.bench_function("transform", |bencher| {
        bencher.iter(|| assert_eq!(transform.outputs(&input).expect("the transform runs").len(), 1));
    });
    if let Some(events) = real_events() {
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function("input, guard and transform of 1,000 real events", |bencher| {
            bencher.iter(|| {
                let mut calls = 0;
                for event in &events {
                    let input = Input::of(event, &Constants::default()).expect("the event can be read");
                    if guard.first_is_true(&input).expect("the guard runs") {
                        calls += transform.outputs(&input).expect("the transform runs").len();
                    }
                }
                assert!(calls > 0 && calls < events.len(), "some amounts are above the limit and some are not");
            });
        });
    }
    group.finish();
}

/// The first 1,000 applications of the real log.
fn real_events() -> Option<Vec<RecordedEvent>> {
    let path = std::env::var("ATLAS_REAL_LOG")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/bpic2012.ndjson.gz").to_owned());
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("jq: {path} is not there: events of the real log are not measured");
        return None;
    };
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let store = EventStore::in_memory().expect("the store opens");
    let scope = Scope::new("dutch-bank", "loans").expect("both are names");
    let applications = lines
        .map(|line| line.expect("the file can be read"))
        .filter(|line| line.contains("LOAN_APPLICATION_SUBMITTED_COMPLETE_1"))
        .take(1_000);
    store
        .append(Append::to(&scope).events(applications.map(|line| {
            let envelope: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
            let stream = envelope["stream"].as_str().expect("a text");
            Event::new("LOAN_APPLICATION_SUBMITTED_COMPLETE_1", stream).json(envelope["data"].to_string())
        })))
        .expect("the append succeeds");
    let events = store.read(Query::new()).expect("the log reads").map(|event| event.expect("the log reads")).collect();
    Some(events)
}
