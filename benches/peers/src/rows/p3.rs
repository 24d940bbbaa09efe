//! P3: `ingest` with routing against Atlas's bare append in the shape of W3, in pairs. Deliveries are left pending.

use super::writing::Store;
use super::{Context, pairs, w3};
use crate::peer::{Result, Task};
use crate::routed::Routed;
use crate::table::{Line, Unit};
use crate::work::Source;

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let context = &*context;
    let Some(atlas) = context.atlas() else { return Ok(Vec::new()) };
    let mut bare = Store::create(context, "P3", atlas)?;
    let routed = context.runtime.block_on(Routed::create(context.dir.join("P3-routed"), &context.names, false))?;
    let mut source = Source::new(&context.names);
    let measured = pairs::measure(
        context,
        "P3",
        context.path_pairs,
        || Ok(w3::sample_tasks(context, &mut bare, w3::TASKS)?.ok_or("Atlas has an async call")?.0),
        || {
            let shares = w3::shares(&mut source, w3::TASKS, context.time);
            let until = std::time::Instant::now() + context.time;
            let tasks: Vec<Task> = shares.into_iter().map(|share| routed.ingests(share, until)).collect();
            Ok(w3::run_tasks(&context.runtime, tasks)?.0)
        },
    )?;
    bare.remove()?;
    context.runtime.block_on(routed.remove())?;
    let title = "ingest with routing, 64 tasks on two workers, each awaits each event, durable";
    let cost = "what ingest with routing costs, in bare appends, 64 tasks";
    Ok(vec![
        measured.rates("P3", "", title),
        measured.figure("P3", "cost", cost, (Unit::Times, 1.3), |bare, ingest| bare / ingest),
    ])
}
