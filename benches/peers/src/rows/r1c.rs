//! R1C: replay of random streams of 89.

use super::Context;
use super::loaded::{Loaded, rate, sample};
use crate::peer::Result;
use crate::seen::of_stream;
use crate::table::{Line, Must, Unit};
use crate::work::Random;

pub fn run(context: &mut Context, loaded: &Loaded) -> Result<Vec<Line>> {
    let context = &*context;
    let mut random = Random::new(0xc01d);
    let reads: Vec<_> = (0..context.plan.short * 2)
        .map(|_| random.below(context.plan.short))
        .map(|stream| (stream, of_stream(&context.names, &context.plan, stream, 1..=89)))
        .collect();
    let samples = sample(context, loaded, "R1C", |reader| {
        rate(context, &reads, |stream, seen| reader.read_stream(stream, seen))
    })?;
    Ok(vec![Line::of("R1C", "", "random streams of 89", Unit::Rate, Must::OfPeer("lmdb-twice", 2.0), &samples, 0)])
}
