//! Throughput against the number of tasks, for the plot: one sample for each number.

use std::sync::Arc;

use super::Context;
use super::w3::{sample_limit, sample_tasks};
use super::writing::Store;
use crate::limit::GroupCommit;
use crate::peer::Result;

pub const TASKS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Events a second for each number of tasks.
pub type Curve = (String, Vec<(f64, f64)>);

pub fn run(context: &Context) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    let dir = context.dir.join("scaling-limit");
    let limit = Arc::new(GroupCommit::create(&dir)?);
    let mut points = Vec::new();
    for tasks in TASKS {
        points.push((tasks as f64, sample_limit(context, &limit, tasks)?.0));
    }
    curves.push(("limit".to_owned(), points));
    drop(limit);
    std::fs::remove_dir_all(dir)?;
    for kind in &context.kinds {
        let mut store = Store::create(context, "scaling", *kind)?;
        let mut points = Vec::new();
        for tasks in TASKS {
            context.progress.say(format!("{} with {tasks} tasks", kind.name));
            let Some((rate, _)) = sample_tasks(context, &mut store, tasks)? else { break };
            points.push((tasks as f64, rate));
        }
        store.remove()?;
        if !points.is_empty() {
            curves.push((kind.name.to_owned(), points));
        }
    }
    Ok(curves)
}
