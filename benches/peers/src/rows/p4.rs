//! P4: `ingest_all` with routing against Atlas's bare append in the shape of W4, in pairs, each into an empty store.
//! Deliveries are left pending. An ingest is always durable, so sixteen batches are sent ahead of their answers.

use std::time::{Duration, Instant};

use super::writing::{Store, commit};
use super::{Context, pairs, w4};
use crate::peer::{Kind, Result};
use crate::routed::Routed;
use crate::table::{Line, Unit};
use crate::work::{NewEvent, Random, Source};

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let context = &*context;
    let Some(atlas) = context.atlas() else { return Ok(Vec::new()) };
    let measured = pairs::measure(
        context,
        "P4",
        context.path_pairs,
        || bare(context, atlas, "P4", context.bulk),
        || {
            let batches = batches(context, context.bulk);
            context.runtime.block_on(async {
                let routed = Routed::create(context.dir.join("P4-routed"), &context.names, false).await?;
                let start = Instant::now();
                routed.ingest_ahead(&batches).await?;
                let took = start.elapsed();
                routed.remove().await?;
                Ok(context.bulk as f64 / took.as_secs_f64())
            })
        },
    )?;
    let title = "ingest with routing, bulk, 1,000 per append";
    let cost = "what ingest with routing costs, in bare appends, bulk";
    Ok(vec![
        measured.rates("P4", "", title),
        measured.figure("P4", "cost", cost, (Unit::Times, 1.3), |bare, ingest| bare / ingest),
    ])
}

/// Batches of the bulk, for streams by chance.
pub fn batches(context: &Context, events: usize) -> Vec<Vec<NewEvent>> {
    let (mut source, mut random) = (Source::new(&context.names), Random::new(7));
    let streams = source.streams();
    (0..events / w4::BATCH).map(|_| source.batch((0..w4::BATCH).map(|_| random.below(streams)))).collect()
}

/// Bare appends of as many, synced at the end: events a second.
pub fn bare(context: &Context, atlas: Kind, row: &str, events: usize) -> Result<f64> {
    let mut store = Store::create(context, row, atlas)?;
    let batches = store.batches(events / w4::BATCH, w4::BATCH);
    let start = Instant::now();
    commit(&batches, Duration::MAX, |batch| store.peer.append(batch, false))?;
    store.peer.sync()?;
    let took = start.elapsed();
    store.remove()?;
    Ok(events as f64 / took.as_secs_f64())
}
