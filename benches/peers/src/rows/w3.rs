//! W3: 64 tasks on a runtime of two workers, each awaits each event, durable. W3T: the same with 64 blocking threads. A
//! peer whose calls block is in W3T only, one made for tasks in W3 only.

use std::cell::RefCell;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::writing::Store;
use super::{Context, Distribution};
use tokio::runtime::Runtime;

use crate::block_on::block_on;
use crate::limit::GroupCommit;
use crate::peer::{Latencies, Peer, Result, Task};
use crate::sample::{Samples, Subject, interleave};
use crate::stats::quantile;
use crate::table::{Line, Must, Unit};
use crate::work::{NewEvent, Source};

pub const TASKS: usize = 64;
/// Most events of one task, for each second: more than any peer appends.
const PER_SECOND: usize = 640_000;

/// Most events of so much time.
pub fn most_events(time: Duration) -> usize {
    (time.as_secs_f64() * PER_SECOND as f64) as usize
}

/// What each task appends: each has streams of its own.
pub fn shares(source: &mut Source<'_>, tasks: usize, time: Duration) -> Vec<Vec<NewEvent>> {
    let each = most_events(time) / tasks.max(8);
    let streams = source.streams() / tasks;
    (0..tasks).map(|task| source.singles((0..each).map(|at| task + tasks * (at % streams)))).collect()
}

/// Runs tasks to their end: events a second, and how long each append took.
pub fn run_tasks(runtime: &Runtime, tasks: Vec<Task>) -> Result<(f64, Vec<Latencies>)> {
    let start = Instant::now();
    runtime.block_on(async {
        let handles: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        let mut all = Vec::new();
        for handle in handles {
            all.push(handle.await??);
        }
        let events: usize = all.iter().map(Vec::len).sum();
        Ok((events as f64 / start.elapsed().as_secs_f64(), all))
    })
}

/// Runs one thread for each share: events a second, and how long each append took.
fn run_threads(
    shares: &[Vec<NewEvent>],
    time: Duration,
    append: impl Fn(&NewEvent) -> Result<()> + Sync,
) -> Result<(f64, Vec<Latencies>)> {
    let barrier = Barrier::new(shares.len() + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .iter()
            .map(|share| {
                let (barrier, append) = (&barrier, &append);
                scope.spawn(move || -> Result<Latencies> {
                    let mut latencies = Vec::with_capacity(share.len());
                    barrier.wait();
                    let start = Instant::now();
                    let mut before = start;
                    for event in share {
                        if before - start >= time {
                            break;
                        }
                        append(event)?;
                        let now = Instant::now();
                        latencies.push((now - before).as_nanos().min(u128::from(u32::MAX)) as u32);
                        before = now;
                    }
                    Ok(latencies)
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let mut all = Vec::new();
        for thread in threads {
            all.push(thread.join().map_err(|_| "a thread panicked")??);
        }
        let events: usize = all.iter().map(Vec::len).sum();
        Ok((events as f64 / start.elapsed().as_secs_f64(), all))
    })
}

/// Rate and quantiles.
fn values(rate: f64, latencies: &[Latencies]) -> Vec<f64> {
    let mut micros: Vec<f64> = latencies.iter().flatten().map(|nanos| f64::from(*nanos) / 1e3).collect();
    micros.sort_by(f64::total_cmp);
    vec![rate, quantile(&micros, 0.5), quantile(&micros, 0.99), quantile(&micros, 0.999)]
}

/// The versions of what was not appended are free again.
pub fn take_back(source: &mut Source<'_>, shares: &[Vec<NewEvent>], done: &[Latencies]) {
    for (share, done) in shares.iter().zip(done) {
        source.take_back(&share[done.len()..]);
    }
}

fn lines(row: &'static str, title: &str, must: Must, samples: &[Samples]) -> Vec<Line> {
    let line = |what, unit, must, number| Line::of(row, what, title, unit, must, samples, number);
    vec![
        line("", Unit::Rate, must, 0),
        line("p50", Unit::Micros, Must::Nothing, 1),
        line("p99", Unit::Micros, Must::Nothing, 2),
        line("p99.9", Unit::Micros, Must::Nothing, 3),
    ]
}

pub fn tasks(context: &mut Context) -> Result<Vec<Line>> {
    let mut found = Vec::new();
    let lines = with_tasks(context, &mut found)?;
    context.latencies.extend(found);
    Ok(lines)
}

/// A sample of tasks on a peer; `None` where its calls block.
pub fn sample_tasks(context: &Context, store: &mut Store<'_>, tasks: usize) -> Result<Option<(f64, Vec<Latencies>)>> {
    let peer = |peer: &Arc<dyn Peer>, share: Vec<NewEvent>, until| peer.clone().appends(share, until);
    if peer(&store.peer, Vec::new(), Instant::now()).is_none() {
        return Ok(None);
    }
    let shares = shares(&mut store.source, tasks, context.time);
    let until = Instant::now() + context.time;
    let tasks: Vec<Task> = shares.iter().filter_map(|share| peer(&store.peer, share.clone(), until)).collect();
    let (rate, done) = run_tasks(&context.runtime, tasks)?;
    take_back(&mut store.source, &shares, &done);
    Ok(Some((rate, done)))
}

/// A sample of tasks on the limit.
pub fn sample_limit(context: &Context, limit: &Arc<GroupCommit>, tasks: usize) -> Result<(f64, Vec<Latencies>)> {
    let shares = shares(&mut Source::new(&context.names), tasks, context.time);
    let until = Instant::now() + context.time;
    let tasks: Vec<Task> =
        shares.into_iter().map(|share| -> Task { Box::pin(limit.clone().appends(share, until)) }).collect();
    run_tasks(&context.runtime, tasks)
}

fn with_tasks(context: &Context, found: &mut Vec<Distribution>) -> Result<Vec<Line>> {
    let found = RefCell::new(found);
    let keep = |name: &str, nanos: &[Latencies]| {
        found.borrow_mut().push(Distribution { row: "W3", name: name.to_owned(), nanos: nanos.concat() });
    };
    let keep = &keep;
    let limit_dir = context.dir.join("W3-limit");
    let limit = Arc::new(GroupCommit::create(&limit_dir)?);
    let mut stores = Vec::new();
    for kind in context.writing() {
        let store = Store::create(context, "W3", *kind)?;
        if store.peer.clone().appends(Vec::new(), Instant::now()).is_some() {
            stores.push(store);
        } else {
            store.remove()?;
        }
    }
    let mut subjects = vec![Subject::new("limit", || {
        let (rate, done) = sample_limit(context, &limit, TASKS)?;
        keep("limit", &done);
        Ok(Some(values(rate, &done)))
    })];
    for store in &mut stores {
        subjects.push(Subject::new(store.kind.name, move || {
            let Some((rate, done)) = sample_tasks(context, store, TASKS)? else { return Ok(None) };
            keep(store.kind.name, &done);
            Ok(Some(values(rate, &done)))
        }));
    }
    let samples = interleave(context.samples, "W3", &mut subjects, &context.progress)?;
    drop(subjects);
    for store in stores {
        store.remove()?;
    }
    drop(limit);
    std::fs::remove_dir_all(limit_dir)?;
    Ok(lines("W3", "64 tasks on two workers, each awaits each event, durable", Must::OfLimit(0.75), &samples))
}

pub fn threads(context: &mut Context) -> Result<Vec<Line>> {
    let context = &*context;
    let limit_dir = context.dir.join("W3T-limit");
    let limit = GroupCommit::create(&limit_dir)?;
    let mut stores = Vec::new();
    for kind in context.writing() {
        let store = Store::create(context, "W3T", *kind)?;
        if store.peer.takes_threads() { stores.push(store) } else { store.remove()? }
    }
    let mut subjects = vec![Subject::new("limit", || {
        let shares = shares(&mut Source::new(&context.names), TASKS, context.time);
        let append = |event: &NewEvent| block_on(limit.append(crate::limit::raw_batch(std::slice::from_ref(event))));
        let (rate, done) = run_threads(&shares, context.time, append)?;
        Ok(Some(values(rate, &done)))
    })];
    for store in &mut stores {
        subjects.push(Subject::new(store.kind.name, move || {
            let shares = shares(&mut store.source, TASKS, context.time);
            let append = |event: &NewEvent| store.peer.append(std::slice::from_ref(event), true);
            let (rate, done) = run_threads(&shares, context.time, append)?;
            take_back(&mut store.source, &shares, &done);
            Ok(Some(values(rate, &done)))
        }));
    }
    let samples = interleave(context.samples, "W3T", &mut subjects, &context.progress)?;
    drop(subjects);
    for store in stores {
        store.remove()?;
    }
    drop(limit);
    std::fs::remove_dir_all(limit_dir)?;
    Ok(lines("W3T", "64 blocking threads, each waits for each event, durable", Must::AheadOfAll, &samples))
}
