//! One path of Atlas alone and nothing else, to be counted by callgrind: bare appends, ingest with routing, or ingest with
//! dispatch, of so many events, by 64 tasks or in bulk.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::peer::{Result, Task};
use crate::routed::Routed;
use crate::rows::{self, w3, w4};
use crate::work::{Names, Source};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    Append,
    Ingest,
    Dispatch,
}

const STREAMS: usize = 1_000;

pub fn run(way: Way, bulk: bool, events: usize, dir: &Path) -> Result<()> {
    let runtime = rows::runtime()?;
    let names = Names::leak(STREAMS);
    let mut source = Source::new(&names);
    let batches: Vec<_> =
        (0..events / w4::BATCH).map(|_| source.batch((0..w4::BATCH).map(|at| at % STREAMS))).collect();
    let share = |task| batches.iter().flatten().filter(move |event| event.stream_number % w3::TASKS == task).cloned();
    let shares: Vec<Vec<_>> = (0..w3::TASKS).map(|task| share(task).collect()).collect();
    let until = Instant::now() + Duration::from_secs(3_600);
    if way == Way::Append {
        let atlas = crate::peers::named(&["atlas".to_owned()])?.remove(0);
        let peer = (atlas.open)(&dir.join("profile"))?;
        if bulk {
            batches.iter().try_for_each(|batch| peer.append(batch, false))?;
        } else {
            let tasks = shares.into_iter().filter_map(|share| peer.clone().appends(share, until)).collect();
            w3::run_tasks(&runtime, tasks)?;
        }
        peer.sync()?;
        return peer.close();
    }
    let routed = runtime.block_on(Routed::create(dir.join("profile"), &names, way == Way::Dispatch))?;
    if bulk {
        runtime.block_on(routed.ingest_ahead(&batches))?;
    } else {
        let tasks: Vec<Task> = shares.into_iter().map(|share| routed.ingests(share, until)).collect();
        w3::run_tasks(&runtime, tasks)?;
    }
    if way == Way::Dispatch {
        runtime.block_on(routed.settle())?;
    }
    runtime.block_on(routed.remove())
}
