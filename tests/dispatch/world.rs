//! What the tests share: a store with a small tree on a disk that outlives it, and functions that keep a record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas::dispatch::{Delivery, DeliveryId, Emit, HandlerError, QueueMessage};
use atlas::log::Query;
use atlas::storage::{Clock, Disk, Environment, MemoryDisk};
use atlas::{Atlas, Builder, Event, Receipt, Scope, ScopeHandle};
use serde_json::{Value, json};

pub(crate) const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";
pub(crate) const SCORED: &str = "LOAN_OFFER_SCORED_COMPLETE_1";
pub(crate) const TOLD: &str = "LOAN_OFFER_TOLD_COMPLETE_1";

/// A store on a disk that outlives it, with a tree.
pub(crate) struct World {
    pub(crate) disk: MemoryDisk,
    clock: Option<Arc<ManualClock>>,
    pub(crate) tree: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl ManualClock {
    pub(crate) fn set_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_micros() as i64, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

pub(crate) fn write(path: &Path, content: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_string_pretty(content).unwrap()).unwrap();
}

impl World {
    /// Handlers of the event SENT; SCORED and TOLD have the handlers given, or none. Queues: mail, and slim, which
    /// holds two messages at most.
    pub(crate) fn new(handlers: Value) -> Self {
        Self::of(&[(SENT, handlers)])
    }

    pub(crate) fn of(documents: &[(&str, Value)]) -> Self {
        let world = Self { disk: MemoryDisk::new(), clock: None, tree: tempfile::tempdir().unwrap() };
        world.documents(documents);
        world
    }

    pub(crate) fn documents(&self, documents: &[(&str, Value)]) {
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

    /// One handler that puts what it gets into the queue mail, which has these options.
    pub(crate) fn of_mail(options: &Value) -> Self {
        let data = "{loan: .stream, version: .version}";
        let world = Self::new(json!([{ "name": "post", "data": data, "target": { "queue": "mail" } }]));
        world.mail(options);
        world
    }

    pub(crate) fn mail(&self, options: &Value) {
        write(&self.tree.path().join("queues.json"), &json!({ "mail": options, "slim": { "max_depth": 2 } }));
    }

    /// The store opened again; without what is derived from the log where `forgetful`.
    pub(crate) async fn reopened(&self, atlas: Atlas, forgetful: bool) -> Atlas {
        atlas.close().await.unwrap();
        if forgetful {
            self.disk.remove("dispatch.redb").unwrap();
        }
        self.open(Atlas::builder()).await
    }

    /// Everything that is derived from the log is gone.
    pub(crate) fn disk_without_derived(&self) {
        for file in ["dispatch.redb", "catalog.redb"] {
            self.disk.remove(file).unwrap();
        }
    }

    pub(crate) fn with_clock(mut self) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock(AtomicI64::new(1_700_000_000_000_000)));
        self.clock = Some(clock.clone());
        (self, clock)
    }

    pub(crate) fn environment(&self) -> Environment {
        let mut environment = Environment::new(self.disk.clone());
        if let Some(clock) = &self.clock {
            environment.clock = clock.clone();
        }
        environment
    }

    pub(crate) async fn open(&self, builder: Builder) -> Atlas {
        let atlas = builder.open_with(self.environment()).await.unwrap();
        loans(&atlas).config().import(self.tree.path()).await.unwrap().activate().await.unwrap();
        atlas
    }
}

pub(crate) fn scope() -> Scope {
    "dutch-bank/loans".parse().unwrap()
}

pub(crate) fn loans(atlas: &Atlas) -> ScopeHandle {
    atlas.scope("dutch-bank", "loans")
}

pub(crate) fn function(name: &str) -> Value {
    json!([{ "name": name, "target": { "function": "f" }, "retry": { "attempts": 3, "initial": "1ms", "multiplier": 1.0 } }])
}

pub(crate) async fn ingest(atlas: &Atlas, stream: &str, data: Value) -> Receipt {
    loans(atlas).ingest(Event::new(SENT, stream).data(&data)).await.unwrap()
}

/// Ingests events of these streams in order, and waits until what becomes of them is in its queue.
pub(crate) async fn put(atlas: &Atlas, streams: &[&str]) {
    for stream in streams {
        ingest(atlas, stream, json!({})).await;
        atlas.settled().await.unwrap();
    }
}

/// The stream and version of the events that messages are of.
pub(crate) fn told(messages: &[QueueMessage]) -> Vec<String> {
    let of = |message: &QueueMessage| {
        let data: Value = serde_json::from_str(message.data.get()).unwrap();
        format!("{} {}", data["loan"].as_str().unwrap(), data["version"])
    };
    messages.iter().map(of).collect()
}

pub(crate) fn id_of(receipt: &Receipt, handler: &str) -> DeliveryId {
    format!("{}/{handler}", receipt.id).parse().unwrap()
}

pub(crate) fn events(atlas: &Atlas) -> Vec<(String, String, u64)> {
    let all = atlas.store().read(Query::new()).unwrap().map(Result::unwrap);
    all.map(|event| (event.event_type().to_owned(), event.stream().to_owned(), event.version())).collect()
}

/// Stream, version, call and attempt.
type Call = (String, u64, u32, u32);

/// What a function saw, in order.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    pub(crate) fn add(&self, delivery: &Delivery) {
        let event = delivery.event();
        let call = (event.stream().to_owned(), event.version(), delivery.call(), delivery.attempt());
        self.0.lock().unwrap().push(call);
    }

    pub(crate) fn take(&self) -> Vec<(String, u64, u32, u32)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) fn scorer() -> Builder {
    Atlas::builder().function("f", |delivery: Delivery| async move {
        let scored = Event::new(SCORED, "").data(&json!({ "of": delivery.event().version() }));
        let told = Event::new(TOLD, "letters");
        Ok::<_, HandlerError>(Emit::none().event(scored).event(told).output(json!({ "score": 7 })))
    })
}
