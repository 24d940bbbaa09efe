//! R3: one event by stream and version.

use super::Context;
use super::loaded::{Loaded, sample, times};
use crate::peer::Result;
use crate::seen::of_stream;
use crate::table::{Line, Must, Unit};
use crate::work::Random;

pub fn run(context: &mut Context, loaded: &Loaded) -> Result<Vec<Line>> {
    let context = &*context;
    let mut random = Random::new(0xe7e);
    let reads: Vec<_> = (0..context.single_reads)
        .map(|_| {
            let number = random.below(context.plan.order.len());
            let stream = context.plan.order[number] as usize;
            let version = random.below(context.plan.events[stream].len()) as u64 + 1;
            (stream, version, of_stream(&context.names, &context.plan, stream, version..=version))
        })
        .collect();
    let samples = sample(context, loaded, "R3", |reader| {
        times(context, &reads, |stream, version, seen| reader.event(stream, version, seen))
    })?;
    let line = |what, must, number| {
        Line::of("R3", what, "one event by stream and version", Unit::Micros, Must::Value(must), &samples, number)
    };
    Ok(vec![line("p50", 1.0, 0), line("p99", 2.5, 1)])
}
