//! What has happened, counted from the store: every event's status, every stream, every queue.

use std::collections::{BTreeMap, HashSet};

use atlas::dispatch::{Outcome, Phase};
use atlas::log::{EventStore, Query};
use atlas::{Atlas, Scope, Uuid};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{APPLICATION, Failure, TENANT};

/// Ids whose status one task asks for.
const IDS_PER_TASK: usize = 1_000;
/// Tasks that ask at once.
const TASKS: usize = 8;

/// The counts that the table shows and that `--json` writes; `expected.py` works out the same ones.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Events that were ingested.
    pub(crate) events: u64,
    /// Events that handlers emitted.
    pub(crate) follow_ups: u64,
    /// Streams.
    pub(crate) streams: u64,
    /// By handler.
    pub(crate) deliveries: Deliveries,
    /// Messages waiting, by queue.
    pub(crate) queues: BTreeMap<String, u64>,
    /// What each handler calls.
    #[serde(skip)]
    pub(crate) targets: BTreeMap<String, String>,
}

/// What became of deliveries, by handler.
type Deliveries = BTreeMap<String, Outcomes>;

/// What became of one handler's deliveries.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcomes {
    /// Complete, Success.
    pub(crate) success: u64,
    /// Complete, Failure.
    pub(crate) failure: u64,
    /// Not complete.
    pub(crate) pending: u64,
    /// No delivery: the guard said no.
    pub(crate) skipped: u64,
}

/// Counts all that the store holds of this example's scope.
pub(crate) async fn count(atlas: &Atlas, bar: &ProgressBar) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let scope = Scope::new(TENANT, APPLICATION)?;
    for stream in atlas.store().streams(Some(&scope), "")? {
        stream?;
        counts.streams += 1;
    }
    for queue in atlas.queues().await? {
        counts.queues.insert(queue.name.to_string(), queue.depth);
    }
    let mut tasks = JoinSet::new();
    let mut types = HashSet::new();
    let mut events = atlas.store().read(Query::new().scope(&scope))?.peekable();
    while events.peek().is_some() {
        let mut ids = Vec::with_capacity(IDS_PER_TASK);
        for event in events.by_ref().take(IDS_PER_TASK) {
            let event = event?;
            // The log's lines state no cause, so an event that has one is a follow-up.
            match event.causation_id() {
                None => counts.events += 1,
                Some(_) => counts.follow_ups += 1,
            }
            if types.insert(event.event_type().to_owned()) {
                let plan = atlas.router().route(&scope, event.variant(), event.event_type())?;
                counts.targets.extend(plan.handlers.iter().map(|h| (h.name.to_string(), h.target.to_string())));
            }
            ids.push(event.id());
        }
        if tasks.len() == TASKS
            && let Some(part) = tasks.join_next().await
        {
            add(&mut counts.deliveries, part??);
        }
        tasks.spawn(deliveries_of(atlas.clone(), ids, bar.clone()));
    }
    while let Some(part) = tasks.join_next().await {
        add(&mut counts.deliveries, part??);
    }
    Ok(counts)
}

/// What became of the deliveries of some events.
async fn deliveries_of(atlas: Atlas, ids: Vec<Uuid>, bar: ProgressBar) -> Result<Deliveries, Failure> {
    let mut deliveries = Deliveries::new();
    for id in ids {
        let status = atlas.status(id).await?;
        for delivery in status.deliveries {
            let outcomes = deliveries.entry(delivery.handler.to_string()).or_default();
            match (delivery.phase, delivery.outcome) {
                (Phase::Complete, Some(Outcome::Success)) => outcomes.success += 1,
                (Phase::Complete, _) => outcomes.failure += 1,
                _ => outcomes.pending += 1,
            }
        }
        for handler in status.skipped {
            deliveries.entry(handler.to_string()).or_default().skipped += 1;
        }
        bar.inc(1);
    }
    Ok(deliveries)
}

/// The stream with the most events.
pub(crate) fn longest_stream(store: &EventStore, scope: &Scope) -> Result<String, Failure> {
    let mut longest = None;
    for stream in store.streams(Some(scope), "")? {
        let stream = stream?;
        if longest.as_ref().is_none_or(|(_, version)| stream.version > *version) {
            longest = Some((stream.stream, stream.version));
        }
    }
    longest.map(|(stream, _)| stream).ok_or_else(|| "there are no events to replay".into())
}

fn add(sum: &mut Deliveries, part: Deliveries) {
    for (handler, outcomes) in part {
        let total = sum.entry(handler).or_default();
        total.success += outcomes.success;
        total.failure += outcomes.failure;
        total.pending += outcomes.pending;
        total.skipped += outcomes.skipped;
    }
}
