//! The reads of growth: whole streams and single events by chance, each with what it must see.

use std::time::{Duration, Instant};

use super::shape::Shape;
use crate::peer::Result;
use crate::rows::check;
use crate::seen::{Seen, event_of};
use crate::stats::quantile;
use crate::work::{Names, Random};

const READS: usize = 20_000;

pub struct Reads {
    streams: Vec<(&'static str, Seen)>,
    singles: Vec<(&'static str, u64, Seen)>,
    /// Where the next sample goes on.
    at: usize,
}

impl Reads {
    pub fn new(names: &Names, shape: &Shape) -> Self {
        let mut random = Random::new(0x6e0);
        let seen = |stream: usize, versions: std::ops::RangeInclusive<u64>| {
            let mut seen = Seen::default();
            versions.for_each(|version| event_of(&mut seen, names, version, shape.number_of(stream, version)));
            seen
        };
        let mut stream = || random.below(shape.streams());
        let of_stream = |stream: usize| (names.stream(stream), seen(stream, 1..=shape.versions()));
        let streams = (0..READS).map(|_| of_stream(stream())).collect();
        let mut random = Random::new(0x6e1);
        let singles = (0..READS).map(|_| {
            let (stream, version) = (random.below(shape.streams()), random.next() % shape.versions() + 1);
            (names.stream(stream), version, seen(stream, version..=version))
        });
        Self { streams, singles: singles.collect(), at: 0 }
    }

    /// A single one, for the first read after an open.
    pub fn single(&self) -> (&'static str, u64, Seen) {
        self.singles[0]
    }

    /// Events a second.
    pub fn rate(&mut self, time: Duration, read: impl Fn(&str, &mut Seen) -> Result<()>) -> Result<f64> {
        let (start, mut events) = (Instant::now(), 0);
        while start.elapsed() < time {
            let (stream, expected) = self.streams[self.at % READS];
            let mut seen = Seen::default();
            read(stream, &mut seen)?;
            check(|| stream.to_owned(), seen, expected)?;
            events += expected.count;
            self.at += 1;
        }
        Ok(events as f64 / start.elapsed().as_secs_f64())
    }

    /// Median and 99 % quantile of single events, in microseconds.
    pub fn times(&self, read: impl Fn(&str, u64, &mut Seen) -> Result<()>) -> Result<[f64; 2]> {
        let mut micros = Vec::with_capacity(READS);
        for (stream, version, expected) in &self.singles {
            let mut seen = Seen::default();
            let start = Instant::now();
            read(stream, *version, &mut seen)?;
            micros.push(start.elapsed().as_nanos() as f64 / 1e3);
            check(|| format!("{stream} at {version}"), seen, *expected)?;
        }
        micros.sort_by(f64::total_cmp);
        Ok([quantile(&micros, 0.5), quantile(&micros, 0.99)])
    }
}
