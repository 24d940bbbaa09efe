//! W1: one event per durable commit, one writer. Against the limit also in pairs: a block of commits of the one right
//! after a block of the other, so that what the disk does meanwhile happens to both.

use std::cell::RefCell;
use std::time::Duration;

use super::writing::{Store, commit, durable_commits};
use super::{Context, Distribution, pairs};
use crate::limit::{Bare, raw_batch};
use crate::peer::{Kind, Result};
use crate::sample::{Subject, interleave};
use crate::table::{Line, Must, Unit};
use crate::work::{NewEvent, Random, Source};

/// Commits of a block.
const BLOCK: usize = 100;

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let mut found = Vec::new();
    let mut lines = commits(context, "W1", 1, Must::Nothing, &mut found)?;
    context.latencies.extend(found);
    if let Some(atlas) = context.atlas() {
        lines.push(against_limit(context, atlas)?);
    }
    Ok(lines)
}

/// A row of durable commits of `len` events each.
pub fn commits(
    context: &Context,
    row: &'static str,
    len: usize,
    must: Must,
    distributions: &mut Vec<Distribution>,
) -> Result<Vec<Line>> {
    let distributions = RefCell::new(distributions);
    let keep = |name: &str, nanos: Vec<u32>| {
        let mut all = distributions.borrow_mut();
        match all.iter_mut().find(|known| known.name == name) {
            Some(known) => known.nanos.extend(nanos),
            None => all.push(Distribution { row, name: name.to_owned(), nanos }),
        }
    };
    let keep = &keep;
    let limit_dir = context.dir.join(format!("{row}-limit"));
    let bare = Bare::create(&limit_dir)?;
    let mut source = Source::new(&context.names);
    let mut random = Random::new(7);
    let mut stores = Vec::new();
    for kind in context.writing() {
        stores.push(Store::create(context, row, *kind)?);
    }
    let mut subjects = vec![Subject::new("limit", || {
        let streams = source.streams();
        let batches: Vec<_> = (0..(context.time.as_secs_f64() * 25_000.0) as usize / len.isqrt())
            .map(|_| source.batch((0..len).map(|_| random.below(streams))))
            .collect();
        // Encoding is part of what has to be done.
        let (done, took, latencies) = commit(&batches, context.time, |batch| {
            bare.write(&raw_batch(batch))?;
            bare.sync()
        })?;
        keep("limit", latencies);
        Ok(Some(vec![(done * len) as f64 / took.as_secs_f64()]))
    })];
    for store in &mut stores {
        subjects.push(Subject::new(store.kind.name, move || {
            let (rate, latencies) = durable_commits(store, context.time, len)?;
            keep(store.kind.name, latencies);
            Ok(Some(vec![rate]))
        }));
    }
    let samples = interleave(context.samples, row, &mut subjects, &context.progress)?;
    drop(subjects);
    for store in stores {
        store.remove()?;
    }
    std::fs::remove_dir_all(limit_dir)?;
    let title = format!("{len} per durable commit, one writer");
    Ok(vec![Line::of(row, "", &title, Unit::Rate, must, &samples, 0)])
}

fn against_limit(context: &Context, atlas: Kind) -> Result<Line> {
    let limit_dir = context.dir.join("W1-pairs-limit");
    let bare = Bare::create(&limit_dir)?;
    let mut limit = Source::new(&context.names);
    let mut store = Store::create(context, "W1-pairs", atlas)?;
    let rate = |took: Duration| BLOCK as f64 / took.as_secs_f64();
    let measured = pairs::measure(
        context,
        "W1",
        context.pairs,
        || {
            let batches: Vec<_> = (0..BLOCK).map(|at| limit.batch(std::iter::once(at))).collect();
            let write = |batch: &[NewEvent]| bare.write(&raw_batch(batch)).and_then(|()| bare.sync());
            Ok(rate(commit(&batches, Duration::MAX, write)?.1))
        },
        || {
            let batches = store.batches(BLOCK, 1);
            Ok(rate(commit(&batches, Duration::MAX, |batch| store.peer.append(batch, true))?.1))
        },
    )?;
    store.remove()?;
    std::fs::remove_dir_all(limit_dir)?;
    let title = format!("Atlas to the limit, in pairs of interleaved blocks of {BLOCK} commits");
    Ok(measured.figure("W1", "of limit", &title, (Unit::Ratio, 0.90), |limit, atlas| atlas / limit))
}
