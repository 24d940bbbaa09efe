//! R2: the whole log in order.

use std::time::Instant;

use super::Context;
use super::loaded::{Loaded, check, sample};
use crate::peer::Result;
use crate::seen::{Seen, of_log};
use crate::table::{Line, Must, Unit};

pub fn run(context: &mut Context, loaded: &Loaded) -> Result<Vec<Line>> {
    let context = &*context;
    let expected = of_log(&context.names, &context.plan);
    let samples = sample(context, loaded, "R2", |reader| {
        let (start, mut events) = (Instant::now(), 0);
        while events == 0 || start.elapsed() < context.time {
            let mut seen = Seen::default();
            if reader.scan(&mut seen)?.is_none() {
                return Ok(None);
            }
            check(|| "the whole log".to_owned(), seen, expected)?;
            events += seen.count;
        }
        Ok(Some(vec![events as f64 / start.elapsed().as_secs_f64()]))
    })?;
    Ok(vec![Line::of("R2", "", "the whole log in order", Unit::Rate, Must::OfPeer("lmdb", 2.0), &samples, 0)])
}
