//! The host functions that the tree of this example binds: what a bank's own code would do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use atlas::dispatch::{Delivery, Emit, HandlerError};
use atlas::{Event, Uuid};
use serde::Deserialize;
use serde_json::json;

/// What the transform of `score-risk` makes of a submitted application.
#[derive(Deserialize)]
struct Application {
    amount: u64,
}

/// `risk.score`: emits a follow-up event. It is committed together with the record that this delivery is complete, so
/// it can neither be lost nor doubled.
pub(crate) async fn score_risk(delivery: Delivery) -> Result<Emit, HandlerError> {
    // Data of another shape will not get better by trying again.
    let Application { amount } = delivery.data().map_err(HandlerError::fatal)?;
    let scored = Event::new("LOAN_RISK_SCORED_COMPLETE_1", delivery.event().stream())
        .data(&json!({ "risk": { "amount": amount, "band": band(amount) } }));
    Ok(Emit::none().event(scored))
}

fn band(amount: u64) -> &'static str {
    match amount {
        30_000.. => "high",
        15_000.. => "medium",
        _ => "low",
    }
}

/// `ledger.pay_out`: calls a system outside. Atlas may have to call it more than once (after a crash, say); the
/// idempotency key is the same each time, so that the ledger can tell.
pub(crate) async fn pay_out(delivery: Delivery) -> Result<Emit, HandlerError> {
    let booking = format!("booking for {}", delivery.idempotency_key());
    Ok(Emit::none().output(json!({ "booking": booking })))
}

/// `statistics.count_turn`: keeps its result in the host's memory, by the id of the event, so that a second call for
/// the same event counts nothing twice.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Uuid, String>>>);

/// What the transform of `count-turns` makes of a finished turn.
#[derive(Deserialize)]
struct Turn {
    employee: String,
}

impl Turns {
    /// The function's body.
    pub(crate) async fn count(self, delivery: Delivery) -> Result<Emit, HandlerError> {
        let Turn { employee } = delivery.data().map_err(HandlerError::fatal)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(delivery.event().id(), employee);
        Ok(Emit::none())
    }

    /// All turns counted, and how many employees took them.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (turns.len(), turns.values().collect::<HashSet<_>>().len())
    }
}
