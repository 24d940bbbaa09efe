//! Throughput against the number of tasks: for each number a few samples of each subject, in turns.

use std::sync::Arc;

use super::Context;
use super::w3::{sample_limit, sample_tasks};
use super::writing::Store;
use crate::limit::GroupCommit;
use crate::peer::Result;
use crate::stats::median;

pub const TASKS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
const SAMPLES: usize = 3;

/// Events a second for each number of tasks.
pub type Curve = (String, Vec<(f64, f64)>);

pub fn run(context: &Context) -> Result<Vec<Curve>> {
    let dir = context.dir.join("scaling-limit");
    let limit = Arc::new(GroupCommit::create(&dir)?);
    let mut stores = Vec::new();
    for kind in context.writing() {
        let mut store = Store::create(context, "scaling", *kind)?;
        match sample_tasks(context, &mut store, 1)? {
            Some(_) => stores.push(store),
            None => store.remove()?,
        }
    }
    let mut curves: Vec<Curve> = vec![("limit".to_owned(), Vec::new())];
    curves.extend(stores.iter().map(|store| (store.kind.name.to_owned(), Vec::new())));
    for tasks in TASKS {
        let mut rates = vec![Vec::new(); curves.len()];
        for sample in 0..SAMPLES {
            context.progress.say(format!("{tasks} tasks {}/{SAMPLES}", sample + 1));
            rates[0].push(sample_limit(context, &limit, tasks)?.0);
            for (store, rates) in stores.iter_mut().zip(&mut rates[1..]) {
                rates.extend(sample_tasks(context, store, tasks)?.map(|(rate, _)| rate));
            }
        }
        for ((_, points), rates) in curves.iter_mut().zip(&rates) {
            points.push((tasks as f64, median(rates)));
        }
    }
    stores.into_iter().try_for_each(Store::remove)?;
    drop(limit);
    std::fs::remove_dir_all(dir)?;
    Ok(curves)
}
