//! O1: open and first read after a clean close, the page cache warm.

use std::time::Instant;

use super::Context;
use super::loaded::{Closed, check};
use crate::peer::Result;
use crate::sample::{Subject, interleave};
use crate::seen::{Seen, of_stream};
use crate::table::{Line, Must, Unit};

pub fn run(context: &mut Context, closed: &Closed) -> Result<Vec<Line>> {
    let context = &*context;
    let stream = context.plan.long.start;
    let version = context.plan.events[stream].len() as u64;
    let expected = of_stream(&context.names, &context.plan, stream, version..=version);
    let mut subjects = Vec::new();
    for (kind, dir) in &closed.stores {
        subjects.push(Subject::new(kind.name, move || {
            let mut seen = Seen::default();
            let start = Instant::now();
            let peer = (kind.open)(dir)?;
            let can = peer.first_read(context.names.stream(stream), version, &mut seen)?;
            let took = start.elapsed().as_secs_f64() * 1e3;
            peer.close()?;
            if can.is_some() {
                check(|| "the first read".to_owned(), seen, expected)?;
            }
            Ok(Some(vec![took]))
        }));
    }
    let samples = interleave(context.samples, "O1", &mut subjects, &context.progress)?;
    let title = "open and first read after a clean close, page cache warm";
    Ok(vec![Line::of("O1", "", title, Unit::Millis, Must::Value(1.0), &samples, 0)])
}
