//! R1: replay of a stream of 1,000 that is spread over the log.

use super::Context;
use super::loaded::{Loaded, rate, sample};
use crate::peer::Result;
use crate::seen::of_stream;
use crate::table::{Line, Must, Unit};

pub fn run(context: &mut Context, loaded: &Loaded) -> Result<Vec<Line>> {
    let context = &*context;
    let of = |stream: usize| {
        let all = 1..=context.plan.events[stream].len() as u64;
        (stream, of_stream(&context.names, &context.plan, stream, all))
    };
    let reads: Vec<_> = context.plan.long.clone().map(of).collect();
    let samples =
        sample(context, loaded, "R1", |reader| rate(context, &reads, |stream, seen| reader.read_stream(stream, seen)))?;
    let title = "replay of a stream of 1,000 spread over the log";
    Ok(vec![Line::of("R1", "", title, Unit::Rate, Must::OfLimit(0.7), &samples, 0)])
}
