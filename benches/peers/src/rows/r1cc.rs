//! R1CC: as R1C, but cold. Before each sample a store's files leave the page cache, the store is opened, and what opening
//! brought back and nobody maps leaves it again. Beside the rate: bytes read from the disk for each stream.

use std::path::Path;
use std::time::Instant;

use super::Context;
use super::loaded::{Closed, check};
use crate::peer::{Can, Result};
use crate::sample::{Plan, Samples, Subject, interleave};
use crate::seen::{Seen, of_stream};
use crate::table::{Line, Must, Unit};
use crate::work::Random;
use crate::{cold, peers};

/// More of its files than this in the page cache, and a sample wasn't cold.
const WARM: f64 = 0.02;

pub fn run(context: &mut Context, closed: &Closed) -> Result<Vec<Line>> {
    let context = &*context;
    let mut subjects = Vec::new();
    for (name, at_once) in [("limit", true), ("limit-serial", false)] {
        let mut streams = Streams::new(context);
        subjects.push(Subject::new(name, move || {
            let path = closed.limit.path();
            cold::evict(path)?;
            let opened = closed.limit.open()?;
            streams.sample(path, |stream, seen| opened.read_stream(stream, at_once, seen).map(Some))
        }));
    }
    for (kind, dir) in &closed.stores {
        let mut streams = Streams::new(context);
        subjects.push(Subject::new(kind.name, move || {
            cold::evict(dir)?;
            let peer = peers::open_for_cold_reads(kind, dir)?;
            cold::evict(dir)?;
            let sample = streams.sample(dir, |stream, seen| peer.read_stream(stream, seen));
            peer.close()?;
            sample
        }));
    }
    let plan = Plan { repetitions: context.samples.repetitions.min(3), ..context.samples };
    let samples = interleave(plan, "R1CC", &mut subjects, &context.progress)?;
    let title = "random streams of 89, nothing in the page cache";
    let mut rate = Line::of("R1CC", "", title, Unit::Rate, Must::AheadOfAll, &samples, 0);
    let notes: Vec<String> =
        [rate.note].into_iter().filter(|note| !note.is_empty()).chain(samples.iter().filter_map(not_cold)).collect();
    rate.note = notes.join("; ");
    let title = "bytes read from the disk for each stream of 89";
    Ok(vec![rate, Line::of("R1CC", "disk", title, Unit::Bytes, Must::Nothing, &samples, 1)])
}

/// Says so where a subject's reads didn't go to the disk.
fn not_cold(samples: &Samples) -> Option<String> {
    let most = samples.line(2).into_iter().fold(0.0, f64::max);
    if samples.line(1).contains(&0.0) {
        return Some(format!("{} read nothing from the disk", samples.name));
    }
    (most > WARM).then(|| format!("of {} {:.0} % was in the page cache", samples.name, most * 100.0))
}

/// Other streams for each sample, the same ones for all subjects.
struct Streams<'a> {
    context: &'a Context,
    random: Random,
}

impl<'a> Streams<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, random: Random::new(0xc01dc01d) }
    }

    /// Reads one in a hundred of the short streams, or fewer where a disk is slow: events a second, bytes from the disk
    /// for each stream, and the share of the files that was in the page cache at the beginning.
    fn sample(&mut self, path: &Path, read: impl Fn(&str, &mut Seen) -> Result<Can>) -> Result<Option<Vec<f64>>> {
        let Context { names, plan, .. } = self.context;
        let reads: Vec<_> = (0..plan.short / 100)
            .map(|_| self.random.below(plan.short))
            .map(|stream| (names.stream(stream), of_stream(names, plan, stream, 1..=89)))
            .collect();
        let cached = cold::cached_share(path)?;
        let (mut streams, mut events) = (0, 0);
        let before = cold::read_bytes()?;
        let start = Instant::now();
        for (stream, expected) in &reads {
            let mut seen = Seen::default();
            if read(stream, &mut seen)?.is_none() {
                return Ok(None);
            }
            check(|| (*stream).to_owned(), seen, *expected)?;
            streams += 1;
            events += seen.count;
            if start.elapsed() > self.context.time * 3 {
                break;
            }
        }
        let took = start.elapsed().as_secs_f64();
        let bytes = cold::read_bytes()? - before;
        Ok(Some(vec![events as f64 / took, bytes as f64 / f64::from(streams), cached]))
    }
}
