//! The configuration of the tests: what is sent, also through the input queue, is scored, twice an event, and posted; what is scored is noted.

use std::path::Path;

use atlas::dispatch::{Delivery, Emit, HandlerError, Options};
use atlas::storage::simulated::SimulatedDisk;
use atlas::storage::{Environment, SeededEntropy};
use atlas::{Atlas, Builder, Event, Scope, ScopeHandle, log};
use serde_json::{Value, json};

use crate::model::Calls;

pub(crate) const SENT: &str = "LOAN_OFFER_SENT_COMPLETE_1";
pub(crate) const SCORED: &str = "LOAN_OFFER_SCORED_COMPLETE_1";
/// The input queue.
pub(crate) const INBOX: &str = "inbox";

pub(crate) fn scope() -> Scope {
    "bank/loans".parse().unwrap()
}

pub(crate) fn loans(atlas: &Atlas) -> ScopeHandle {
    atlas.scope("bank", "loans")
}

fn write(path: &Path, content: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content.to_string()).unwrap();
}

/// The queue that says which configuration is active.
pub(crate) fn mark(number: u64) -> String {
    format!("mark-{number}")
}

/// Writes the tree; `number` makes it one of its own.
pub(crate) fn write_tree(tree: &Path, number: u64) {
    let score = json!({
        "name": "score", "weight": 1, "data": ".data.items[]", "target": { "function": "score" },
        "retry": { "attempts": 1000, "initial": "1ms", "max": "1ms" },
    });
    let post = json!({ "name": "post", "weight": 2, "data": "{n: .data.n}", "target": { "queue": "mail" } });
    let note = json!({ "name": "note", "target": { "queue": "notes" } });
    write(&tree.join("types.json"), &json!([SENT, SCORED]));
    write(&tree.join("queues.json"), &json!({ "mail": {}, "notes": {}, INBOX: { "ingest": true }, mark(number): {} }));
    write(&tree.join("1/loan/offer/sent/complete.json"), &json!({ "handlers": [score, post] }));
    write(&tree.join("1/loan/offer/scored/complete.json"), &json!({ "handlers": [note] }));
}

/// An Atlas with small segments and small memory, with the function `score`.
pub(crate) fn builder(calls: &Calls) -> Builder {
    let log = log::Options { segment_size: 64 << 10, ..log::Options::default() };
    let dispatch = Options { checkpoint_every: 32, max_open_events: 24, ..Options::default() };
    let calls = calls.clone();
    let score = move |delivery: Delivery| {
        let calls = calls.clone();
        async move { score(&calls, delivery).await }
    };
    Atlas::builder().log_options(log).dispatch_options(dispatch).function("score", score)
}

/// Emits one event a call, and fails now and then at first.
pub(crate) async fn score(calls: &Calls, delivery: Delivery) -> Result<Emit, HandlerError> {
    tokio::task::yield_now().await;
    if delivery.event().version().is_multiple_of(7) && delivery.attempt() == 1 {
        return Err(HandlerError::Retry("not yet".into()));
    }
    calls.add(delivery.event().id());
    let scored = Event::new(SCORED, format!("scores-{}", delivery.event().stream()));
    Ok(Emit::none().event(scored.data(&json!({ "key": delivery.idempotency_key() }))))
}

pub(crate) fn environment(disk: &SimulatedDisk) -> Environment {
    Environment::new(disk.clone())
}

pub(crate) fn seeded(disk: &SimulatedDisk, seed: u64) -> Environment {
    let mut environment = environment(disk);
    environment.entropy = std::sync::Arc::new(SeededEntropy::new(seed));
    environment
}
