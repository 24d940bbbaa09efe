//! Promise 10 and section 7 of the design, through the public API on a disk in memory or a real one: order, retries,
//! parking, emitted events, queues, restarts. No test waits for a time to pass but for events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::dispatch::{
    Delivery, DeliveryFilter, DeliveryId, DispatchError, Emit, HandlerError, Obstacle, Options, Outcome, Phase,
};
use atlas::log::Query;
use atlas::storage::{Clock, Environment, MemoryDisk};
use atlas::{Atlas, Builder, Error, Event, Receipt, Scope, ScopeHandle, Uuid};
use serde_json::{Value, json};

const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";
const SCORED: &str = "LOAN_OFFER_SCORED_COMPLETE_1";
const TOLD: &str = "LOAN_OFFER_TOLD_COMPLETE_1";

/// A store on a disk that outlives it, with a tree.
struct World {
    disk: MemoryDisk,
    clock: Option<Arc<ManualClock>>,
    tree: tempfile::TempDir,
}

#[derive(Debug)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl ManualClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

fn write(path: &Path, content: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_string_pretty(content).unwrap()).unwrap();
}

impl World {
    /// Handlers of the event SENT; SCORED and TOLD have the handlers given, or none. Queues: mail, and slim, which
    /// holds two messages at most.
    fn new(handlers: Value) -> Self {
        Self::of(&[(SENT, handlers)])
    }

    fn of(documents: &[(&str, Value)]) -> Self {
        let world = Self { disk: MemoryDisk::new(), clock: None, tree: tempfile::tempdir().unwrap() };
        world.documents(documents);
        world
    }

    fn documents(&self, documents: &[(&str, Value)]) {
        let given: BTreeMap<&str, &Value> = documents.iter().map(|(of, handlers)| (*of, handlers)).collect();
        for event_type in [SENT, SCORED, TOLD] {
            let parts: Vec<String> = event_type.split('_').map(str::to_lowercase).collect();
            let [of, flow, operation, result, version] = &parts[..] else { panic!("five parts") };
            let file = format!("{version}/{of}/{flow}/{operation}/{result}.json");
            let handlers = given.get(event_type).copied().cloned().unwrap_or_else(|| json!([]));
            write(&self.tree.path().join(file), &json!({ "handlers": handlers }));
        }
        write(&self.tree.path().join("types.json"), &json!([SENT, SCORED, TOLD]));
        write(&self.tree.path().join("queues.json"), &json!({ "mail": {}, "slim": { "max_depth": 2 } }));
    }

    fn with_clock(mut self) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock(AtomicI64::new(1_700_000_000_000_000)));
        self.clock = Some(clock.clone());
        (self, clock)
    }

    async fn open(&self, builder: Builder) -> Atlas {
        let mut environment = Environment::new(self.disk.clone());
        if let Some(clock) = &self.clock {
            environment.clock = clock.clone();
        }
        let atlas = builder.open_with(environment).await.unwrap();
        loans(&atlas).config().import(self.tree.path()).await.unwrap().activate().await.unwrap();
        atlas
    }
}

fn scope() -> Scope {
    "dutch-bank/loans".parse().unwrap()
}

fn loans(atlas: &Atlas) -> ScopeHandle {
    atlas.scope("dutch-bank", "loans")
}

fn function(name: &str) -> Value {
    json!([{ "name": name, "target": { "function": "f" }, "retry": { "attempts": 3, "initial": "1ms", "multiplier": 1.0 } }])
}

async fn ingest(atlas: &Atlas, stream: &str, data: Value) -> Receipt {
    loans(atlas).ingest(Event::new(SENT, stream).data(&data)).await.unwrap()
}

fn id_of(receipt: &Receipt, handler: &str) -> DeliveryId {
    format!("{}/{handler}", receipt.id).parse().unwrap()
}

fn events(atlas: &Atlas) -> Vec<(String, String, u64)> {
    let all = atlas.store().read(Query::new()).unwrap().map(Result::unwrap);
    all.map(|event| (event.event_type().to_owned(), event.stream().to_owned(), event.version())).collect()
}

/// What a function saw, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(String, u64, u32, u32)>>>);

impl Calls {
    fn add(&self, delivery: &Delivery) {
        let event = delivery.event();
        let call = (event.stream().to_owned(), event.version(), delivery.call(), delivery.attempt());
        self.0.lock().unwrap().push(call);
    }

    fn take(&self) -> Vec<(String, u64, u32, u32)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_its_order_through_retries() {
    let world = World::new(function("f"));
    let (calls, log) = (Calls::default(), Calls::default());
    let running: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen, inside) = (log.clone(), running.clone());
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            let (log, running) = (log.clone(), running.clone());
            async move {
                let stream = delivery.event().stream().to_owned();
                {
                    let mut running = running.lock().unwrap();
                    assert!(!running.contains(&stream), "two at once for {stream}");
                    running.push(stream.clone());
                }
                tokio::task::yield_now().await;
                log.add(&delivery);
                running.lock().unwrap().retain(|other| *other != stream);
                // Every third event needs three attempts.
                if delivery.event().version() % 3 == 0 && delivery.attempt() < 3 {
                    return Err(HandlerError::Retry("not yet".into()));
                }
                Ok(())
            }
        }))
        .await;
    for number in 0..60 {
        ingest(&atlas, &format!("s{}", number % 3), json!({ "number": number })).await;
    }
    assert!(atlas.settled().await.unwrap().is_empty());
    assert!(inside.lock().unwrap().is_empty());
    let all = seen.take();
    for stream in ["s0", "s1", "s2"] {
        let of: Vec<(u64, u32)> = all.iter().filter(|call| call.0 == stream).map(|call| (call.1, call.3)).collect();
        let attempts = |version: u64| if version % 3 == 0 { 1..=3 } else { 1..=1 };
        let expected: Vec<(u64, u32)> =
            (1..=20).flat_map(|version| attempts(version).map(move |attempt| (version, attempt))).collect();
        assert_eq!(of, expected, "{stream}");
    }
    assert!(calls.take().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_holds_its_lane_until_an_operator_acts() {
    let world = World::new(function("f"));
    let calls = Calls::default();
    let healed = Arc::new(AtomicU32::new(0));
    let (log, well) = (calls.clone(), healed.clone());
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            let broken = delivery.event().stream() == "bad" && well.load(Ordering::SeqCst) == 0;
            async move { if broken { Err(HandlerError::Retry("the bureau is closed".into())) } else { Ok(()) } }
        }))
        .await;
    let first = ingest(&atlas, "bad", json!({})).await;
    let second = ingest(&atlas, "bad", json!({})).await;
    let other = ingest(&atlas, "good", json!({})).await;

    let done = atlas.completion(other.id).await.unwrap();
    assert_eq!((done.phase, done.outcome), (Phase::Complete, Some(Outcome::Success)));
    let stuck = atlas.completion(first.id).await.unwrap();
    assert_eq!((stuck.phase, stuck.outcome), (Phase::InProcess, None));
    assert_eq!(stuck.blocked_by.len(), 1);
    assert_eq!((&stuck.blocked_by[0].id, stuck.blocked_by[0].obstacle), (&id_of(&first, "f"), Obstacle::Parked));
    assert_eq!((stuck.deliveries[0].attempts, stuck.deliveries[0].parked), (3, true));
    assert_eq!(stuck.deliveries[0].error.as_deref(), Some("the bureau is closed"));
    let behind = atlas.completion(second.id).await.unwrap();
    assert_eq!(behind.blocked_by[0].obstacle, Obstacle::Behind);
    assert_eq!(behind.phase, Phase::Pending);
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind), left.total()), (1, 1, 2));
    assert!(left.to_string().contains("1 of f in dutch-bank/loans: parked"), "{left}");
    let parked = atlas.deliveries(DeliveryFilter { parked: true, ..DeliveryFilter::default() }).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].delivery.error.as_deref(), Some("the bureau is closed"));

    // Only what is parked can be released.
    let error = atlas.release(&id_of(&second, "f")).await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NotParked { .. })), "{error}");
    let error = atlas.release(&id_of(&second, "g")).await.unwrap_err();
    assert!(error.to_string().contains("has no delivery g; it has f"), "{error}");

    // Released while it is still broken: attempts count anew, and it is parked again.
    calls.take();
    atlas.release(&id_of(&first, "f")).await.unwrap();
    atlas.settled().await.unwrap();
    assert_eq!(calls.take().iter().map(|call| call.3).collect::<Vec<_>>(), [1, 2, 3]);
    healed.store(1, Ordering::SeqCst);
    atlas.release(&id_of(&first, "f")).await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(calls.take(), [("bad".to_owned(), 1, 1, 1), ("bad".to_owned(), 2, 1, 1)]);
    assert_eq!(atlas.status(first.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_delivery_is_a_failure_and_lets_the_lane_go_on() {
    let world = World::new(function("f"));
    let atlas = world
        .open(Atlas::builder().function("f", |delivery: Delivery| async move {
            if delivery.event().version() == 1 { Err(HandlerError::Fatal("never".into())) } else { Ok(()) }
        }))
        .await;
    let first = ingest(&atlas, "s", json!({})).await;
    let second = ingest(&atlas, "s", json!({})).await;
    let stuck = atlas.completion(second.id).await.unwrap();
    assert_eq!(stuck.blocked_by[0].obstacle, Obstacle::Behind);
    assert_eq!(atlas.status(first.id).await.unwrap().deliveries[0].attempts, 1, "fatal is out of attempts at once");
    atlas.drop_delivery(&id_of(&first, "f"), "the customer is gone").await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    let status = atlas.status(first.id).await.unwrap();
    assert_eq!((status.phase, status.outcome), (Phase::Complete, Some(Outcome::Failure)));
    assert_eq!(status.deliveries[0].error.as_deref(), Some("the customer is gone"));
    assert_eq!(atlas.status(second.id).await.unwrap().outcome, Some(Outcome::Success));
    let error = atlas.drop_delivery(&id_of(&first, "f"), "again").await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NotDroppable { .. })), "{error}");
    atlas.close().await.unwrap();
}

fn scorer() -> Builder {
    Atlas::builder().function("f", |delivery: Delivery| async move {
        let scored = Event::new(SCORED, "").data(&json!({ "of": delivery.event().version() }));
        let told = Event::new(TOLD, "letters");
        Ok::<_, HandlerError>(Emit::none().event(scored).event(told).output(json!({ "score": 7 })))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn emitted_events_are_there_once_also_after_reopening() {
    let world = World::new(function("f"));
    let atlas = world.open(scorer()).await;
    let receipt = loans(&atlas).ingest(Event::new(SENT, "s").actor("desk 7")).await.unwrap();
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.phase, done.outcome, done.caused), (Phase::Complete, Some(Outcome::Success), 2));
    assert_eq!(done.deliveries[0].output, Some(json!({ "score": 7 })));
    let after = [(SENT, "s", 1), (SCORED, "s", 2), (TOLD, "letters", 1)];
    let after = after.map(|(of, stream, version)| (of.to_owned(), stream.to_owned(), version));
    assert_eq!(events(&atlas), after);
    let cause = atlas.store().event_at(1).unwrap().unwrap();
    for position in [2, 3] {
        let event = atlas.store().event_at(position).unwrap().unwrap();
        assert_eq!(event.causation_id(), Some(receipt.id));
        assert_eq!(event.correlation_id(), receipt.id);
        assert_eq!(event.actor(), Some("desk 7"));
        assert_eq!(event.time().micros(), cause.recorded_at());
        assert_eq!(event.id().get_version_num(), 7);
        assert_eq!(event.id().as_u128() >> 80, receipt.id.as_u128() >> 80);
        assert_eq!(event.revision(), receipt.revision);
    }
    let tree = atlas.cascade(receipt.id).await.unwrap();
    let depths: Vec<(u32, u64)> = tree.events.iter().map(|event| (event.depth, event.position)).collect();
    assert_eq!(depths, [(0, 1), (1, 2), (1, 3)]);
    atlas.close().await.unwrap();

    let atlas = world.open(scorer()).await;
    assert!(atlas.settled().await.unwrap().is_empty());
    assert_eq!(events(&atlas), after);
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

/// The process ends while handlers run: nothing is closed, and their runtime goes.
fn crash_while_running(world: &World, attempts_before: u32) -> Receipt {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let receipt = runtime.block_on(async {
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let hanging = Atlas::builder().function("f", move |delivery: Delivery| {
            started.send(delivery.attempt()).unwrap();
            std::future::pending::<Result<(), HandlerError>>()
        });
        let atlas = world.open(hanging).await;
        let receipt = loans(&atlas).ingest(Event::new(SENT, "s").id(Uuid::from_u128(0x7abc << 64))).await.unwrap();
        assert_eq!(starts.recv().await, Some(attempts_before + 1));
        assert_eq!(atlas.status(receipt.id).await.unwrap().phase, Phase::InProcess);
        // Durable, so that the attempt is on record as after the death of a process alone.
        atlas.store().sync().unwrap();
        atlas.store().close().unwrap();
        receipt
    });
    runtime.shutdown_background();
    receipt
}

#[test]
fn what_was_in_process_is_tried_again_and_its_attempt_counted() {
    let world = World::new(function("f"));
    for attempts_before in 0..3 {
        crash_while_running(&world, attempts_before);
    }
    // Three attempts took the process with them: the fourth isn't made.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let atlas =
            world.open(Atlas::builder().function("f", |_: Delivery| async { Ok::<(), HandlerError>(()) })).await;
        let left = atlas.settled().await.unwrap();
        assert_eq!(left.count(Obstacle::Parked), 1, "{left}");
        let parked = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
        assert_eq!(parked[0].delivery.attempts, 3);
        let why = parked[0].delivery.error.clone().unwrap();
        assert!(why.contains("attempt 3 was started and never ended"), "{why}");
        atlas.release(&parked[0].delivery.id).await.unwrap();
        assert!(atlas.settled().await.unwrap().is_empty());
        atlas.close().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_weights_start_first_and_guards_skip() {
    let handler = |name: &str, weight: i64| json!({ "name": name, "weight": weight, "target": { "function": "f" } });
    let mut guarded = handler("guarded", 5);
    guarded["when"] = json!(".data.amount > 100");
    let world = World::new(json!([handler("z", 10), handler("b", 20), handler("a", 20), guarded]));
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = order.clone();
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.lock().unwrap().push(delivery.handler().to_string());
            async { Ok::<(), HandlerError>(()) }
        }))
        .await;
    let receipt = ingest(&atlas, "s", json!({ "amount": 50 })).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["z", "a", "b"]);
    assert_eq!(done.skipped.iter().map(ToString::to_string).collect::<Vec<_>>(), ["guarded"]);
    assert_eq!(done.deliveries.len(), 3);
    order.lock().unwrap().clear();
    let receipt = ingest(&atlas, "s", json!({ "amount": 500 })).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["guarded", "z", "a", "b"]);
    assert!(done.skipped.is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_handler_starts_when_the_first_attempt_before_it_has_ended() {
    let world = World::new(json!([
        { "name": "first", "weight": 1, "target": { "function": "fails" }, "retry": { "attempts": 9, "initial": "1h", "multiplier": 1.0, "max": "1h" } },
        { "name": "second", "weight": 2, "target": { "function": "works" } },
    ]));
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (one, two) = (order.clone(), order.clone());
    let (done, mut dones) = tokio::sync::mpsc::unbounded_channel();
    let atlas = world
        .open(
            Atlas::builder()
                .function("fails", move |_: Delivery| {
                    one.lock().unwrap().push("first".into());
                    async { Err::<(), _>(HandlerError::Retry("no".into())) }
                })
                .function("works", move |_: Delivery| {
                    two.lock().unwrap().push("second".into());
                    done.send(()).unwrap();
                    async { Ok::<(), HandlerError>(()) }
                }),
        )
        .await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    dones.recv().await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
    let error = atlas.drop_delivery(&id_of(&receipt, "first"), "enough").await;
    error.unwrap();
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(done.outcome, Some(Outcome::Failure));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_outputs_are_several_calls_and_a_retry_goes_on_at_the_first_unfinished_one() {
    let mut handlers = function("f");
    handlers[0]["data"] = json!(".data.items[]");
    let world = World::new(handlers);
    let calls = Calls::default();
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, seen) = (calls.clone(), keys.clone());
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            seen.lock().unwrap().push(delivery.idempotency_key());
            async move {
                assert_eq!(delivery.calls(), 3);
                let item: u32 = delivery.data()?;
                if delivery.call() == 2 && delivery.attempt() == 1 {
                    return Err(HandlerError::Retry("the second call fails once".into()));
                }
                Ok(Emit::none().event(Event::new(SCORED, "scores").data(&json!({ "item": item }))).output(item))
            }
        }))
        .await;
    let receipt = ingest(&atlas, "s", json!({ "items": [10, 20, 30] })).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.outcome, done.caused), (Some(Outcome::Success), 3));
    assert_eq!(done.deliveries[0].output, Some(json!([10, 20, 30])));
    assert_eq!(done.deliveries[0].attempts, 2);
    let made: Vec<(u32, u32)> = calls.take().iter().map(|call| (call.2, call.3)).collect();
    assert_eq!(made, [(1, 1), (2, 1), (2, 2), (3, 2)]);
    let keys = keys.lock().unwrap();
    assert_eq!(keys[1], keys[2]);
    assert_eq!(keys[0], format!("dutch-bank/loans:{}:f:1", receipt.id));
    // No output at all: Success without a call.
    let receipt = ingest(&atlas, "s", json!({ "items": [] })).await;
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    assert!(calls.take().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_timeout_are_failed_attempts_and_nothing_more() {
    let (world, clock) = World::new(json!([
        { "name": "panics", "target": { "function": "panics" }, "retry": { "attempts": 1 }, "out_of_attempts": "fail" },
        { "name": "hangs", "target": { "function": "hangs" }, "timeout": "5s", "retry": { "attempts": 1 } },
    ]))
    .with_clock();
    let time = clock.clone();
    let atlas = world
        .open(
            Atlas::builder()
                .function("panics", |delivery: Delivery| async move {
                    assert!(delivery.attempt() > 1, "no such account");
                    Ok::<(), HandlerError>(())
                })
                .function("hangs", move |_: Delivery| {
                    time.advance(Duration::from_secs(5));
                    std::future::pending::<Result<(), HandlerError>>()
                }),
        )
        .await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let done = atlas.completion(receipt.id).await.unwrap();
    let [hangs, panics] = &done.deliveries[..] else { panic!("two deliveries") };
    assert_eq!(panics.outcome, Some(Outcome::Failure));
    assert_eq!(panics.error.as_deref(), Some("panicked: no such account"));
    assert!(hangs.parked);
    assert_eq!(hangs.error.as_deref(), Some("timed out after 5s"));
    assert_eq!(done.blocked_by[0].obstacle, Obstacle::Parked);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_wait_by_the_clock_also_across_reopening() {
    let (world, clock) = World::new(json!([
        { "name": "f", "target": { "function": "f" }, "retry": { "attempts": 5, "initial": "1h", "multiplier": 1.0, "max": "1h" } },
    ]))
    .with_clock();
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let failing = |called: tokio::sync::mpsc::UnboundedSender<u32>| {
        Atlas::builder().function("f", move |delivery: Delivery| {
            called.send(delivery.attempt()).unwrap();
            let attempt = delivery.attempt();
            async move { if attempt < 3 { Err(HandlerError::Retry("busy".into())) } else { Ok(()) } }
        })
    };
    let atlas = world.open(failing(called.clone())).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    assert_eq!(calls.recv().await, Some(1));
    while atlas.status(receipt.id).await.unwrap().deliveries[0].error.is_none() {
        tokio::task::yield_now().await;
    }
    let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(open[0].next_attempt.unwrap().micros(), clock.now_micros() + 3_600_000_000);
    assert_eq!((open[0].obstacle, open[0].delivery.phase), (None, Phase::Pending));
    atlas.close().await.unwrap();
    assert!(calls.try_recv().is_err(), "no attempt before its time");

    let atlas = world.open(failing(called.clone())).await;
    let open = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    assert!(open[0].next_attempt.is_some());
    assert!(calls.try_recv().is_err());
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(calls.recv().await, Some(2));
    while atlas.deliveries(DeliveryFilter::default()).await.unwrap()[0].next_attempt.is_none() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(calls.recv().await, Some(3));
    assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unbound_is_served_by_a_process_that_has_the_function() {
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" } },
        { "name": "mail", "weight": 2, "target": { "queue": "mail" } },
    ]));
    // Nothing is registered, as on the command line.
    let atlas = world.open(Atlas::builder()).await;
    let mut receipts = Vec::new();
    for number in 0..40 {
        receipts.push(ingest(&atlas, &format!("s{}", number % 4), json!({})).await);
    }
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Unbound), left.total()), (40, 40), "{left}");
    let status = atlas.completion(receipts[7].id).await.unwrap();
    assert_eq!(status.phase, Phase::InProcess, "the queue has its message");
    assert_eq!(status.blocked_by[0].obstacle, Obstacle::Unbound);
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 40);
    atlas.close().await.unwrap();

    let calls = Calls::default();
    let log = calls.clone();
    let atlas = world
        .open(Atlas::builder().function("f", move |delivery: Delivery| {
            log.add(&delivery);
            async { Ok::<(), HandlerError>(()) }
        }))
        .await;
    assert!(atlas.settled().await.unwrap().is_empty());
    let calls = calls.take();
    assert_eq!(calls.len(), 40);
    for stream in ["s0", "s1", "s2", "s3"] {
        let versions: Vec<u64> = calls.iter().filter(|call| call.0 == stream).map(|call| call.1).collect();
        assert_eq!(versions, (1..=10).collect::<Vec<u64>>());
    }
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 40, "no message twice");
    atlas.close().await.unwrap();
}

fn to_queue(queue: &str) -> Value {
    json!([{ "name": "post", "data": "{loan: .stream, version: .version}", "target": { "queue": queue } }])
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_leased_acknowledged_and_kept_across_reopening() {
    let (world, clock) = World::new(to_queue("mail")).with_clock();
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..3 {
        let receipt = ingest(&atlas, "s", json!({})).await;
        assert_eq!(atlas.completion(receipt.id).await.unwrap().outcome, Some(Outcome::Success));
    }
    let mail = loans(&atlas).queue("mail");
    let seen = mail.peek(10).await.unwrap();
    let data: Vec<Value> = seen.iter().map(|message| serde_json::from_str(message.data.get()).unwrap()).collect();
    assert_eq!(data, [1, 2, 3].map(|version| json!({ "loan": "s", "version": version })));
    assert!(seen.iter().all(|message| message.leased_until.is_none()));

    let taken = mail.take(2, Duration::from_secs(60)).await.unwrap();
    assert_eq!(taken.iter().map(|m| m.id).collect::<Vec<_>>(), [seen[0].id, seen[1].id]);
    let rest = mail.take(10, Duration::from_secs(60)).await.unwrap();
    assert_eq!(rest.iter().map(|m| m.id).collect::<Vec<_>>(), [seen[2].id], "what is leased isn't given out again");
    mail.ack(taken[0].id).await.unwrap();
    let error = mail.ack(taken[0].id).await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NoSuchMessage { .. })), "{error}");
    let info = &atlas.queues().await.unwrap()[0];
    assert_eq!((info.depth, info.leased, info.name.as_str()), (2, 2, "mail"));
    atlas.close().await.unwrap();

    // The leases still stand; nobody serves deliveries, and queues work all the same.
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let mail = loans(&atlas).queue("mail");
    assert!(mail.take(10, Duration::from_secs(60)).await.unwrap().is_empty());
    clock.advance(Duration::from_secs(60));
    assert_eq!(atlas.queues().await.unwrap()[0].leased, 0);
    let again = mail.take(10, Duration::from_secs(60)).await.unwrap();
    assert_eq!(again.iter().map(|m| m.id).collect::<Vec<_>>(), [seen[1].id, seen[2].id]);
    for message in again {
        mail.ack(message.id).await.unwrap();
    }
    assert!(atlas.queues().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_by_one_of_many() {
    let world = World::new(to_queue("mail"));
    let atlas = world.open(Atlas::builder()).await;
    for _ in 0..100 {
        ingest(&atlas, "s", json!({})).await;
    }
    atlas.settled().await.unwrap();
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mail = loans(&atlas).queue("mail");
        takers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let messages = mail.take(7, Duration::from_secs(3_600)).await.unwrap();
                if messages.is_empty() {
                    return taken;
                }
                taken.extend(messages.into_iter().map(|message| message.id));
            }
        });
    }
    let mut all: Vec<Uuid> = takers.join_all().await.into_iter().flatten().collect();
    all.sort();
    let taken = all.len();
    all.dedup();
    assert_eq!((taken, all.len()), (100, 100));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_holds_deliveries_back_until_there_is_room() {
    let mut handlers = to_queue("slim");
    handlers.as_array_mut().unwrap().push(json!({ "name": "z", "weight": 200, "target": { "function": "f" } }));
    let world = World::new(handlers);
    let calls = Calls::default();
    let log = calls.clone();
    // A window smaller than what waits, so that some of it waits on disk.
    let options = Options { max_open_events: 6, max_open_events_per_scope: 4, ..Options::default() };
    let atlas = world
        .open(Atlas::builder().dispatch_options(options).function("f", move |delivery: Delivery| {
            log.add(&delivery);
            async { Ok::<(), HandlerError>(()) }
        }))
        .await;
    let mut receipts = Vec::new();
    for number in 0..20 {
        receipts.push(ingest(&atlas, &format!("s{number}"), json!({})).await);
    }
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::QueueFull), left.total()), (18, 18), "{left}");
    assert_eq!(calls.take().len(), 20, "a full queue doesn't hold the next handler");
    let stuck = atlas.completion(receipts[19].id).await.unwrap();
    assert_eq!(stuck.blocked_by[0].obstacle, Obstacle::QueueFull);

    let slim = loans(&atlas).queue("slim");
    let mut received = Vec::new();
    while received.len() < 20 {
        for message in slim.take(1, Duration::from_secs(60)).await.unwrap() {
            slim.ack(message.id).await.unwrap();
            received.push(message.event);
        }
        assert!(atlas.queues().await.unwrap().iter().all(|info| info.depth <= 2));
    }
    received.sort();
    let mut expected: Vec<Uuid> = receipts.iter().map(|receipt| receipt.id).collect();
    expected.sort();
    assert_eq!(received, expected);
    assert!(atlas.settled().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_on_failure_holds_and_stops_later_handlers() {
    let world = World::new(json!([
        { "name": "gate", "weight": 1, "target": { "function": "gate" }, "stop_on_failure": true,
          "retry": { "attempts": 1 }, "out_of_attempts": "fail" },
        { "name": "parks", "weight": 2, "target": { "function": "gate" }, "stop_on_failure": true, "retry": { "attempts": 1 } },
        { "name": "post", "weight": 3, "target": { "queue": "mail" } },
    ]));
    let atlas = world
        .open(Atlas::builder().function("gate", |delivery: Delivery| async move {
            let event: Value = delivery.data()?;
            match event["data"]["fails"] == json!(delivery.handler().as_str()) {
                true => Err(HandlerError::Retry("closed".into())),
                false => Ok(()),
            }
        }))
        .await;
    let fails = ingest(&atlas, "a", json!({ "fails": "gate" })).await;
    let done = atlas.completion(fails.id).await.unwrap();
    assert_eq!((done.phase, done.outcome), (Phase::Complete, Some(Outcome::Failure)));
    let told: Vec<_> = done.deliveries.iter().map(|d| (d.outcome.unwrap(), d.error.clone().unwrap())).collect();
    let stopped = (Outcome::Failure, "stopped: handler gate failed".to_owned());
    assert_eq!(told, [(Outcome::Failure, "closed".to_owned()), stopped.clone(), stopped]);

    let parks = ingest(&atlas, "b", json!({ "fails": "parks" })).await;
    let stuck = atlas.completion(parks.id).await.unwrap();
    let obstacles: Vec<Obstacle> = stuck.blocked_by.iter().map(|blocker| blocker.obstacle).collect();
    assert_eq!(obstacles, [Obstacle::Parked, Obstacle::Behind]);
    atlas.drop_delivery(&id_of(&parks, "parks"), "no").await.unwrap();
    let done = atlas.completion(parks.id).await.unwrap();
    assert_eq!(done.outcome, Some(Outcome::Failure));
    assert_eq!(done.deliveries[2].error.as_deref(), Some("stopped: handler parks failed"));
    assert!(atlas.queues().await.unwrap().is_empty());

    let passes = ingest(&atlas, "c", json!({})).await;
    assert_eq!(atlas.completion(passes.id).await.unwrap().outcome, Some(Outcome::Success));
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 1);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_goes_through_all_that_an_event_caused() {
    let world = World::of(&[
        (SENT, function("f")),
        (SCORED, function("f")),
        (TOLD, json!([{ "name": "last", "target": { "function": "last" }, "retry": { "attempts": 1 } }])),
    ]);
    let broken = Arc::new(AtomicU32::new(1));
    let is_broken = broken.clone();
    let atlas = world
        .open(
            Atlas::builder()
                .function("f", |delivery: Delivery| async move {
                    let next = if delivery.event().event_type() == SENT { SCORED } else { TOLD };
                    Ok::<_, HandlerError>(Event::new(next, ""))
                })
                .function("last", move |_: Delivery| {
                    let broken = is_broken.load(Ordering::SeqCst) == 1;
                    async move { if broken { Err(HandlerError::Fatal("no".into())) } else { Ok(()) } }
                }),
        )
        .await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let stuck = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((stuck.phase, stuck.caused), (Phase::InProcess, 2));
    let blocker = &stuck.blocked_by[0];
    assert_eq!((blocker.obstacle, blocker.id.handler.as_str()), (Obstacle::Parked, "last"));
    assert_eq!(atlas.store().event(&scope(), blocker.id.event).unwrap().unwrap().event_type(), TOLD);

    broken.store(0, Ordering::SeqCst);
    atlas.release(&blocker.id).await.unwrap();
    assert!(atlas.settled().await.unwrap().is_empty());
    let done = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((done.outcome, done.blocked_by.len()), (Some(Outcome::Success), 0));
    let error = atlas.completion(Uuid::from_u128(5)).await.unwrap_err();
    assert!(matches!(error, Error::Dispatch(DispatchError::NoSuchEvent { .. })), "{error}");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_events_ends_at_the_depth_limit() {
    let world = World::new(function("f"));
    let options = Options { max_cascade_depth: 5, ..Options::default() };
    let again = |_: Delivery| async { Ok::<_, HandlerError>(Event::new(SENT, "")) };
    let atlas = world.open(Atlas::builder().dispatch_options(options).function("f", again)).await;
    let receipt = ingest(&atlas, "s", json!({})).await;
    let stuck = atlas.completion(receipt.id).await.unwrap();
    assert_eq!(stuck.caused, 5);
    let parked = atlas.deliveries(DeliveryFilter { parked: true, ..DeliveryFilter::default() }).await.unwrap();
    let why = parked[0].delivery.error.clone().unwrap();
    assert!(why.contains("max_cascade_depth is 5"), "{why}");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_emitted_is_a_fatal_failure_and_emits_nothing() {
    let world = World::new(function("f"));
    let atlas = world
        .open(Atlas::builder().function("f", |delivery: Delivery| async move {
            let good = Event::new(SCORED, "");
            let bad = match delivery.event().stream() {
                "unknown" => Event::new("LOAN_OFFER_UNKNOWN_COMPLETE_1", ""),
                "malformed" => Event::new("LOAN", ""),
                "stated" => Event::new(SCORED, "").id(Uuid::from_u128(1)),
                _ => Event::new(SCORED, "a\nb"),
            };
            Ok::<_, HandlerError>(Emit::none().event(good).event(bad))
        }))
        .await;
    for stream in ["unknown", "malformed", "stated", "stream"] {
        let receipt = ingest(&atlas, stream, json!({})).await;
        let stuck = atlas.completion(receipt.id).await.unwrap();
        assert_eq!((stuck.deliveries[0].attempts, stuck.deliveries[0].parked, stuck.caused), (1, true, 0), "{stream}");
        let why = stuck.deliveries[0].error.clone().unwrap();
        assert!(why.contains("emitted event 2") || why.contains("event 1 of the append"), "{stream}: {why}");
    }
    assert_eq!(events(&atlas).len(), 4);
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_guard_or_transform_is_a_fatal_failure_that_says_why() {
    let world = World::new(json!([
        { "name": "guard", "when": ".data.amount + {} | . > 1", "target": { "queue": "mail" } },
        { "name": "transform", "data": ".data.amount | keys", "target": { "function": "f" }, "out_of_attempts": "fail" },
    ]));
    let atlas = world.open(Atlas::builder().function("f", |_: Delivery| async { Ok::<(), HandlerError>(()) })).await;
    let receipt = ingest(&atlas, "s", json!({ "amount": 7 })).await;
    let stuck = atlas.completion(receipt.id).await.unwrap();
    let [guard, transform] = &stuck.deliveries[..] else { panic!("{stuck:?}") };
    assert!(guard.parked && guard.error.as_deref().unwrap().starts_with("when: "), "{guard:?}");
    assert_eq!(transform.outcome, Some(Outcome::Failure));
    assert!(transform.error.as_deref().unwrap().starts_with("data: "), "{transform:?}");
    assert!(atlas.queues().await.unwrap().is_empty());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_memory_is_served_whole_and_in_order() {
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" }, "retry": { "attempts": 1 } },
        { "name": "post", "weight": 2, "target": { "queue": "mail" } },
    ]));
    let atlas = world.open(Atlas::builder().dispatch(false)).await;
    let events: Vec<Event> =
        (0..1_000).map(|number| Event::new(SENT, format!("s{}", number % 20)).data(&json!({ "n": number }))).collect();
    let receipts = loans(&atlas).ingest_all(events).await.unwrap();
    atlas.close().await.unwrap();

    let calls = Calls::default();
    let log = calls.clone();
    let options =
        Options { max_open_events: 32, max_open_events_per_scope: 16, checkpoint_every: 64, ..Options::default() };
    let builder = |log: Calls, options: Options| {
        Atlas::builder().dispatch_options(options).function("f", move |delivery: Delivery| {
            log.add(&delivery);
            // The 25th of every stream fails for good, and holds the rest of it.
            let fails = delivery.event().version() == 25 && delivery.attempt() == 1;
            async move { if fails { Err(HandlerError::Fatal("no".into())) } else { Ok(()) } }
        })
    };
    let atlas = world.open(builder(log.clone(), options.clone())).await;
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind)), (20, 20 * 25), "{left}");
    assert_eq!(atlas.queues().await.unwrap()[0].depth, 1_000);
    let made = calls.take();
    for stream in 0..20 {
        let of: Vec<u64> = made.iter().filter(|call| call.0 == format!("s{stream}")).map(|call| call.1).collect();
        assert_eq!(of, (1..=25).collect::<Vec<u64>>());
    }
    atlas.close().await.unwrap();

    // After reopening nothing runs again, and giving one up lets the rest of its stream go on.
    let atlas = world.open(builder(log.clone(), options)).await;
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind)), (20, 20 * 25), "{left}");
    assert!(calls.take().is_empty());
    let of_s3 = receipts.iter().skip(3).step_by(20).nth(24).unwrap();
    atlas.drop_delivery(&id_of(of_s3, "f"), "no").await.unwrap();
    let left = atlas.settled().await.unwrap();
    assert_eq!((left.count(Obstacle::Parked), left.count(Obstacle::Behind)), (19, 19 * 25), "{left}");
    let of: Vec<u64> = calls.take().iter().map(|call| call.1).collect();
    assert_eq!(of, (26..=50).collect::<Vec<u64>>());
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_database_comes_back_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(json!([
        { "name": "f", "weight": 1, "target": { "function": "f" }, "retry": { "attempts": 2, "initial": "1ms" } },
        { "name": "post", "weight": 2, "target": { "queue": "mail" } },
    ]));
    let open = || async {
        let builder = Atlas::builder().function("f", |delivery: Delivery| async move {
            if delivery.event().stream() == "s1" { Err(HandlerError::Retry("no".into())) } else { Ok(()) }
        });
        let options = Options { checkpoint_every: 16, ..Options::default() };
        let atlas = builder.dispatch_options(options).open(dir.path()).await.unwrap();
        loans(&atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
        atlas
    };
    let atlas = open().await;
    for number in 0..60 {
        ingest(&atlas, &format!("s{}", number % 3), json!({})).await;
    }
    let left = atlas.settled().await.unwrap();
    for message in loans(&atlas).queue("mail").take(30, Duration::from_secs(3_600)).await.unwrap() {
        loans(&atlas).queue("mail").ack(message.id).await.unwrap();
    }
    loans(&atlas).queue("mail").take(5, Duration::from_secs(3_600)).await.unwrap();
    let queues = atlas.queues().await.unwrap();
    let open_deliveries = atlas.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!((left.total(), queues[0].depth, queues[0].leased), (20, 30, 5));
    atlas.close().await.unwrap();

    for _ in 0..2 {
        std::fs::remove_file(dir.path().join("dispatch.redb")).unwrap();
        let atlas = open().await;
        assert_eq!(atlas.settled().await.unwrap(), left);
        assert_eq!(atlas.queues().await.unwrap(), queues);
        assert_eq!(atlas.deliveries(DeliveryFilter::default()).await.unwrap(), open_deliveries);
        atlas.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (World::new(function("f")), World::new(function("f")));
    let stores = [one.open(scorer()).await, two.open(scorer()).await];
    let first = ingest(&stores[0], "s", json!({})).await;
    stores[0].completion(first.id).await.unwrap();
    assert_eq!((events(&stores[0]).len(), events(&stores[1]).len()), (3, 0));
    stores[0].close().await.unwrap();
    let second = ingest(&stores[1], "s", json!({})).await;
    assert_eq!(stores[1].completion(second.id).await.unwrap().caused, 2);
    stores[1].close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_is_imported_has_no_deliveries() {
    let source = World::new(function("f"));
    let atlas = source.open(scorer()).await;
    let receipt = ingest(&atlas, "s", json!({ "amount": 1 })).await;
    atlas.completion(receipt.id).await.unwrap();
    let lines: Vec<String> = atlas
        .store()
        .read(Query::new())
        .unwrap()
        .map(|event| serde_json::to_string(&event.unwrap().envelope()).unwrap())
        .collect();
    atlas.close().await.unwrap();

    let copy = World::new(function("f"));
    let atlas = Atlas::builder().open_with(Environment::new(copy.disk.clone())).await.unwrap();
    let mut import = atlas.import_as_recorded().await.unwrap();
    for line in &lines {
        import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    }
    assert_eq!(import.finish().unwrap(), 3);
    atlas.close().await.unwrap();

    let atlas = copy.open(scorer()).await;
    assert!(atlas.settled().await.unwrap().is_empty());
    let status = atlas.completion(receipt.id).await.unwrap();
    assert_eq!((status.phase, status.outcome, status.imported), (Phase::Complete, Some(Outcome::Success), true));
    assert!(status.deliveries.is_empty());
    let copied: Vec<String> = atlas
        .store()
        .read(Query::new())
        .unwrap()
        .map(|event| serde_json::to_string(&event.unwrap().envelope()).unwrap())
        .collect();
    assert_eq!(copied, lines);
    // What comes after is served.
    let new = ingest(&atlas, "s", json!({})).await;
    assert_eq!(atlas.completion(new.id).await.unwrap().caused, 2);
    assert!(atlas.import_as_recorded().await.is_err(), "only into a store without events");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_history_that_never_ended_is_history_up_to_where_it_came() {
    let source = World::new(json!([]));
    let atlas = source.open(Atlas::builder()).await;
    ingest(&atlas, "s", json!({})).await;
    let line = serde_json::to_string(&atlas.store().event_at(1).unwrap().unwrap().envelope()).unwrap();
    atlas.close().await.unwrap();
    let copy = World::new(function("f"));
    let atlas = Atlas::builder().open_with(Environment::new(copy.disk.clone())).await.unwrap();
    {
        let mut import = atlas.import_as_recorded().await.unwrap();
        import.push(&atlas::Envelope::from_json(line.as_bytes()).unwrap()).unwrap();
    }
    atlas.close().await.unwrap();
    let atlas = copy.open(scorer()).await;
    let new = ingest(&atlas, "s", json!({})).await;
    let done = atlas.completion(new.id).await.unwrap();
    assert_eq!((done.caused, done.imported), (2, false));
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_id_gives_the_first_receipt_also_when_its_type_is_retired() {
    let world = World::new(json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let event = || Event::new(SENT, "s").id(Uuid::from_u128(7)).data(&json!({ "a": 1 }));
    let first = loans(&atlas).ingest(event()).await.unwrap();
    assert!(first.durable && !first.repeated);
    let again = loans(&atlas).ingest(event()).await.unwrap();
    assert_eq!(again, Receipt { repeated: true, ..first });
    let application = scope().application().clone();
    assert!(atlas.catalog().types_retire(&application, &SENT.parse().unwrap()).unwrap());
    assert!(matches!(loans(&atlas).ingest(Event::new(SENT, "s")).await, Err(Error::Route(_))));
    assert_eq!(loans(&atlas).ingest(event()).await.unwrap(), again);
    assert_eq!(loans(&atlas).ingest_all(vec![event()]).await.unwrap(), [again]);
    let other = loans(&atlas).ingest(event().data(&json!({ "a": 2 }))).await;
    assert!(matches!(other, Err(Error::Append(atlas::log::AppendError::IdReused { .. }))), "{other:?}");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_writes_nothing() {
    let world = World::new(json!([]));
    let atlas = world.open(Atlas::builder()).await;
    let unknown = Event::new("LOAN_OFFER_SNET_COMPLETE_1", "s");
    let error = loans(&atlas).ingest(unknown.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Route(_)), "{error}");
    let batch = vec![Event::new(SENT, "s"), unknown];
    assert!(loans(&atlas).ingest_all(batch).await.is_err());
    let error = atlas.scope("no tenant", "loans").ingest(Event::new(SENT, "s")).await.unwrap_err();
    assert!(matches!(error, Error::Vocabulary(_)), "{error}");
    let error = atlas.scope("other-bank", "loans").ingest(Event::new(SENT, "s")).await.unwrap_err();
    assert!(matches!(error, Error::Route(_)), "{error}");
    assert!(events(&atlas).is_empty());
    atlas.close().await.unwrap();
    assert!(matches!(loans(&atlas).ingest(Event::new(SENT, "s")).await, Err(Error::Append(_))));
    assert!(atlas.settled().await.is_err());
    atlas.close().await.unwrap();
}

#[test]
fn a_runtime_that_goes_takes_dispatch_with_it_and_not_the_store() {
    let world = World::new(function("f"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let atlas = runtime.block_on(async {
        let hanging = Atlas::builder().function("f", move |_: Delivery| {
            started.send(()).unwrap();
            std::future::pending::<Result<(), HandlerError>>()
        });
        let atlas = world.open(hanging).await;
        ingest(&atlas, "s", json!({})).await;
        starts.recv().await.unwrap();
        atlas
    });
    runtime.shutdown_background();
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The runtime has no timer and no I/O: Atlas needs neither.
    other.block_on(async {
        let receipt = ingest(&atlas, "s", json!({})).await;
        assert!(receipt.durable);
        assert!(atlas.settled().await.is_err());
    });
    atlas.store().close().unwrap();
}

#[test]
fn a_runtime_without_timer_will_do() {
    let world = World::new(function("f"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let flaky = Atlas::builder().function("f", |delivery: Delivery| async move {
            if delivery.attempt() < 3 { Err(HandlerError::Retry("not yet".into())) } else { Ok(()) }
        });
        let atlas = world.open(flaky).await;
        let receipt = ingest(&atlas, "s", json!({})).await;
        assert_eq!(atlas.completion(receipt.id).await.unwrap().deliveries[0].attempts, 3);
        atlas.close().await.unwrap();
    });
}

#[test]
fn an_open_outside_a_runtime_is_an_error() {
    let opening = Box::pin(Atlas::builder().open_with(Environment::new(MemoryDisk::new())));
    let waker = std::task::Waker::noop();
    let mut opening = opening;
    let polled = opening.as_mut().poll(&mut std::task::Context::from_waker(waker));
    assert!(matches!(polled, std::task::Poll::Ready(Err(Error::NoRuntime))));
}
