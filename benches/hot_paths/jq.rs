//! Guards and transforms: an event read for expressions once, then a guard and a transform over it.

use atlas::log::{Append, EventStore, RecordedEvent};
use atlas::routing::{Constants, Expression, Input};
use atlas::{Event, Scope};
use criterion::Criterion;

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
    group.finish();
}
