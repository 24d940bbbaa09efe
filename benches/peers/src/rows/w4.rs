//! W4: bulk, a thousand events per commit, synced at the end; each sample into an empty store.

use std::time::{Duration, Instant};

use super::Context;
use super::writing::{Store, commit};
use crate::limit::{Bare, raw_batch};
use crate::peer::Result;
use crate::sample::{Subject, interleave};
use crate::table::{Line, Must, Unit};
use crate::work::{Random, Source};

pub const BATCH: usize = 1_000;
/// A sample of a slow peer ends before its events do.
const LONGEST: Duration = Duration::from_secs(3);

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let context = &*context;
    let limit_dir = context.dir.join("W4-limit");
    let bare = Bare::create(&limit_dir)?;
    let mut subjects = vec![Subject::new("limit", || {
        let (mut source, mut random) = (Source::new(&context.names), Random::new(7));
        let streams = source.streams();
        let batches: Vec<_> =
            (0..context.bulk / BATCH).map(|_| source.batch((0..BATCH).map(|_| random.below(streams)))).collect();
        let start = Instant::now();
        let (done, ..) = commit(&batches, LONGEST, |batch| bare.write(&raw_batch(batch)))?;
        bare.sync()?;
        Ok(Some(vec![(done * BATCH) as f64 / start.elapsed().as_secs_f64()]))
    })];
    for kind in context.writing() {
        subjects.push(Subject::new(kind.name, || {
            let mut store = Store::create(context, "W4", *kind)?;
            let batches = store.batches(context.bulk / BATCH, BATCH);
            let start = Instant::now();
            let (done, ..) = commit(&batches, LONGEST, |batch| store.peer.append(batch, false))?;
            store.peer.sync()?;
            let took = start.elapsed();
            store.remove()?;
            Ok(Some(vec![(done * BATCH) as f64 / took.as_secs_f64()]))
        }));
    }
    let samples = interleave(context.samples, "W4", &mut subjects, &context.progress)?;
    drop(subjects);
    std::fs::remove_dir_all(limit_dir)?;
    Ok(vec![Line::of("W4", "", "bulk, 1,000 per commit, synced at the end", Unit::Rate, Must::Value(2e6), &samples, 0)])
}
