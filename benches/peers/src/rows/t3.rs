//! T3: the tails of W3, over a run in which Atlas begins at least three segments more, so that rotating, sealing and
//! indexing them is in it. One sample of each subject, long enough; the peers get as much time as Atlas may take.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::{Context, Distribution, w3};
use crate::limit::GroupCommit;
use crate::peer::{Kind, Peer, Result, Task};
use crate::sample::{Plan, Samples, Subject, interleave};
use crate::stats::quantile;
use crate::table::{Line, Must, Unit};
use crate::work::{NewEvent, Source};
use crate::{cold, peers};

/// Segments to be begun.
const ROTATIONS: u64 = 3;
/// Less than an event takes in Atlas's log.
const EVENT_BYTES: u64 = 270;
/// By how many syncs the slowest thousandth may be behind the median.
const SYNCS: f64 = 5.0;

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let (mut distributions, rotated) = (RefCell::new(Vec::new()), Cell::new(None));
    let lines = with_tails(context, &distributions, &rotated)?;
    context.latencies.append(distributions.get_mut());
    Ok(lines)
}

fn with_tails(
    context: &Context,
    distributions: &RefCell<Vec<Distribution>>,
    rotated: &Cell<Option<usize>>,
) -> Result<Vec<Line>> {
    let events = (ROTATIONS * context.tail_segment / EVENT_BYTES) as usize + context.bulk;
    let sample = |name: &str, tasks: Vec<Task>| {
        let (rate, all) = w3::run_tasks(&context.runtime, tasks)?;
        let nanos = all.concat();
        let values = values(context, rate, &nanos);
        distributions.borrow_mut().push(Distribution { row: "T3", name: name.to_owned(), nanos });
        Ok::<_, crate::peer::Error>(Some(values))
    };
    let sample = &sample;
    let limit_dir = context.dir.join("T3-limit");
    let mut subjects = vec![Subject::new("limit", || {
        let limit = Arc::new(GroupCommit::create(&limit_dir)?);
        let shares = shares(&mut Source::new(&context.names), events);
        let until = Instant::now() + context.tail_time;
        let task = |share| -> Task { Box::pin(limit.clone().appends(share, until)) };
        sample("limit", shares.into_iter().map(task).collect())
    })];
    for kind in context.writing() {
        subjects.push(Subject::new(kind.name, move || {
            let dir = context.dir.join(format!("T3-{}", kind.name));
            if dir.exists() {
                std::fs::remove_dir_all(&dir)?;
            }
            let peer = open(context, kind, &dir)?;
            let can = peer.clone().appends(Vec::new(), Instant::now()).is_some();
            let mut values = None;
            if can {
                let shares = shares(&mut Source::new(&context.names), events);
                let until = Instant::now() + context.tail_time;
                values = sample(
                    kind.name,
                    shares.into_iter().filter_map(|share| peer.clone().appends(share, until)).collect(),
                )?;
            }
            if kind.name == "atlas" {
                rotated.set(Some(segments(&dir)?.saturating_sub(1)));
            }
            peer.close()?;
            drop(peer);
            std::fs::remove_dir_all(dir)?;
            Ok(values)
        }));
    }
    let samples = interleave(Plan { repetitions: 1, tries: 0 }, "T3", &mut subjects, &context.progress)?;
    drop(subjects);
    std::fs::remove_dir_all(limit_dir)?;
    Ok(lines(context, &samples, rotated.get()))
}

fn open(context: &Context, kind: &Kind, dir: &Path) -> Result<Arc<dyn Peer>> {
    if kind.name == "atlas" { peers::open_atlas_with_segments(dir, context.tail_segment) } else { (kind.open)(dir) }
}

/// Segments of a log.
fn segments(dir: &Path) -> Result<usize> {
    Ok(cold::files(dir)?.iter().filter(|path| path.extension().is_some_and(|extension| extension == "seg")).count())
}

/// What each task appends: more events than there is room for the data of, so the data of a few come again and again.
fn shares(source: &mut Source<'_>, events: usize) -> Vec<Vec<NewEvent>> {
    let streams = source.streams() / w3::TASKS;
    let one = |task: usize| {
        let mut share = source.singles((0..streams).map(|at| task + w3::TASKS * at));
        share.reserve(events / w3::TASKS);
        for at in 0..(events / w3::TASKS).saturating_sub(streams) {
            share.push(source.again(&share[at % streams]));
        }
        share
    };
    (0..w3::TASKS).map(one).collect()
}

/// Rate; quantiles and the longest; how far the slowest thousandth is behind the median, in syncs.
fn values(context: &Context, rate: f64, nanos: &[u32]) -> Vec<f64> {
    let mut micros: Vec<f64> = nanos.iter().map(|nanos| f64::from(*nanos) / 1e3).collect();
    micros.sort_by(f64::total_cmp);
    let at = |q| quantile(&micros, q);
    vec![rate, at(0.5), at(0.99), at(0.999), at(1.0), (at(0.999) - at(0.5)) / context.sync_us]
}

fn lines(context: &Context, samples: &[Samples], rotated: Option<usize>) -> Vec<Line> {
    let title = "W3 while segments rotate";
    let line = |what, title: &str, unit, must, number| Line::of("T3", what, title, unit, must, samples, number);
    let mut stall =
        line("stall", "W3 while segments rotate: p99.9 less the median, in syncs", Unit::Times, Must::Value(SYNCS), 5);
    if let Some(rotated) = rotated {
        stall.note = format!("Atlas began {rotated} segments of {} MiB more", context.tail_segment >> 20);
        if (rotated as u64) < ROTATIONS {
            stall.note.push_str(", too few to say whether it reaches what it must");
            stall.must = Must::Nothing;
        }
    }
    vec![
        line("", title, Unit::Rate, Must::Nothing, 0),
        line("p50", title, Unit::Micros, Must::Nothing, 1),
        line("p99", title, Unit::Micros, Must::Nothing, 2),
        line("p99.9", title, Unit::Micros, Must::Nothing, 3),
        line("longest", title, Unit::Micros, Must::Nothing, 4),
        stall,
    ]
}
