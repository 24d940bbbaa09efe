//! R4: the newest keyframe at or below a version, and the events after it up to that version.

use super::Context;
use super::loaded::{Loaded, sample, times};
use crate::peer::Result;
use crate::seen::{Seen, of_keyframe, seen_of_stream};
use crate::table::{Line, Must, Unit};
use crate::work::{KEYFRAME_EVERY, Random};

pub fn run(context: &mut Context, loaded: &Loaded) -> Result<Vec<Line>> {
    let context = &*context;
    let mut random = Random::new(0x4e4f);
    let keyframed = context.plan.keyframed();
    let reads: Vec<_> = (0..context.single_reads / 4)
        .map(|_| {
            let stream = keyframed.start + random.below(keyframed.len());
            let version = random.below(context.plan.events[stream].len()) as u64 + 1;
            let from = version / KEYFRAME_EVERY * KEYFRAME_EVERY;
            let mut seen = if from > 0 { of_keyframe(from) } else { Seen::default() };
            seen_of_stream(&mut seen, &context.names, &context.plan, stream, from + 1..=version);
            (stream, version, seen)
        })
        .collect();
    let samples = sample(context, loaded, "R4", |reader| {
        times(context, &reads, |stream, version, seen| reader.state(stream, version, seen))
    })?;
    let title = "newest keyframe at or below a version (one each 100), and the events after it";
    let line = |what, must, number| Line::of("R4", what, title, Unit::Micros, Must::Value(must), &samples, number);
    Ok(vec![line("p50", 4.0, 0), line("p99", 10.0, 1)])
}
