//! PD: the whole path to its end: events are ingested, each is delivered to a function of this process, and each delivery
//! is recorded, until all are complete and on the disk. Against Atlas's bare append of as many events, in pairs; in the
//! shape of W3 and in the shape of W4. A store is opened once more at the end, to see that no delivery is open.

use std::time::{Duration, Instant};

use super::writing::Store;
use super::{Context, p4, pairs, w3};
use crate::peer::{Kind, Result, Task};
use crate::routed::Routed;
use crate::table::{Line, Unit};
use crate::work::{NewEvent, Source};

/// Of the bare append's rate.
const SHARE: f64 = 1.0 / 3.0;

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let context = &*context;
    let Some(atlas) = context.atlas() else { return Ok(Vec::new()) };
    let mut lines = tasks(context, atlas)?;
    lines.extend(bulk(context, atlas)?);
    Ok(lines)
}

/// So many events of each of the tasks.
fn shares(source: &mut Source<'_>, events: usize) -> Vec<Vec<NewEvent>> {
    let streams = source.streams() / w3::TASKS;
    let one = |task| move |at: usize| task + w3::TASKS * (at % streams);
    (0..w3::TASKS).map(|task| source.singles((0..events / w3::TASKS).map(one(task)))).collect()
}

/// Later than any sample ends.
fn never() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

fn tasks(context: &Context, atlas: Kind) -> Result<Vec<Line>> {
    let mut bare = Store::create(context, "PD", atlas)?;
    let routed = context.runtime.block_on(Routed::create(context.dir.join("PD-routed"), &context.names, true))?;
    let mut source = Source::new(&context.names);
    let mut ingested = 0;
    let measured = pairs::measure(
        context,
        "PD",
        context.path_pairs,
        || {
            let shares = shares(&mut bare.source, context.deliveries);
            let tasks: Vec<Task> =
                shares.into_iter().filter_map(|share| bare.peer.clone().appends(share, never())).collect();
            Ok(w3::run_tasks(&context.runtime, tasks)?.0)
        },
        || {
            let shares = shares(&mut source, context.deliveries);
            let events: usize = shares.iter().map(Vec::len).sum();
            ingested += events as u64;
            let start = Instant::now();
            w3::run_tasks(&context.runtime, shares.into_iter().map(|share| routed.ingests(share, never())).collect())?;
            context.runtime.block_on(routed.settle())?;
            Ok(events as f64 / start.elapsed().as_secs_f64())
        },
    )?;
    bare.remove()?;
    context.runtime.block_on(routed.check_served(ingested))?;
    Ok(lines(&measured, "", "64 tasks on two workers, each awaits each event"))
}

fn bulk(context: &Context, atlas: Kind) -> Result<Vec<Line>> {
    let measured = pairs::measure(
        context,
        "PD bulk",
        context.path_pairs,
        || p4::bare(context, atlas, "PD", context.deliveries),
        || {
            let batches = p4::batches(context, context.deliveries);
            let events: usize = batches.iter().map(Vec::len).sum();
            context.runtime.block_on(async {
                let routed = Routed::create(context.dir.join("PD-routed"), &context.names, true).await?;
                let start = Instant::now();
                routed.ingest_ahead(&batches).await?;
                routed.settle().await?;
                let took = start.elapsed();
                routed.check_served(events as u64).await?;
                Ok(events as f64 / took.as_secs_f64())
            })
        },
    )?;
    Ok(lines(&measured, "bulk", "bulk, 1,000 per append"))
}

fn lines(measured: &pairs::Pairs, what: &str, how: &str) -> Vec<Line> {
    let title = format!("events through to their completed deliveries; {how}");
    let share = if what.is_empty() { "share".to_owned() } else { format!("{what} share") };
    let of_bare = format!("events through to their completed deliveries, against the bare append; {how}");
    vec![
        measured.rates("PD", what, &title),
        measured.figure("PD", &share, &of_bare, (Unit::Ratio, SHARE), |bare, served| served / bare),
    ]
}
