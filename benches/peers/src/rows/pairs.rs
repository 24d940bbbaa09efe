//! Pairs: two ways of doing the same right after each other, taking turns at going first, so that what the machine does
//! meanwhile happens to both.

use super::Context;
use crate::peer::Result;
use crate::stats::{median, median_interval};
use crate::table::{Line, Measured, Must, Unit};

/// What both of each pair measured, in pairs.
pub struct Pairs {
    pub base: Vec<f64>,
    pub other: Vec<f64>,
}

/// Measures pairs.
pub fn measure(
    context: &Context,
    row: &str,
    pairs: usize,
    mut base: impl FnMut() -> Result<f64>,
    mut other: impl FnMut() -> Result<f64>,
) -> Result<Pairs> {
    let mut all = Pairs { base: Vec::new(), other: Vec::new() };
    for pair in 0..pairs {
        context.progress.say(format!("{row} pairs {}/{pairs}", pair + 1));
        if pair % 2 == 0 {
            all.base.push(base()?);
            all.other.push(other()?);
        } else {
            all.other.push(other()?);
            all.base.push(base()?);
        }
    }
    Ok(all)
}

impl Pairs {
    /// The rates of both: Atlas beside its bare append, which stands where the limit does.
    pub fn rates(&self, row: &'static str, what: &str, title: &str) -> Line {
        let measured = |name: &str, values: &[f64]| Measured {
            name: name.to_owned(),
            values: values.to_vec(),
            repeated: 0,
            noisy: 0,
        };
        let values = vec![measured("limit", &self.base), measured("atlas", &self.other)];
        let (what, title) = (what.to_owned(), title.to_owned());
        let note = "the limit here is Atlas's own bare append".to_owned();
        Line { row, what, title, unit: Unit::Rate, must: Must::Nothing, values, note }
    }

    /// A figure of each pair, from base and other.
    pub fn figure(
        &self,
        row: &'static str,
        what: &str,
        title: &str,
        (unit, must): (Unit, f64),
        figure: impl Fn(f64, f64) -> f64,
    ) -> Line {
        let figures: Vec<f64> = self.base.iter().zip(&self.other).map(|(base, other)| figure(*base, *other)).collect();
        let (low, high) = median_interval(&figures);
        let note =
            format!("median {:.3} of {} pairs, 95 % interval {low:.3} .. {high:.3}", median(&figures), figures.len());
        let values = vec![Measured { name: "atlas".to_owned(), values: figures, repeated: 0, noisy: 0 }];
        let (what, title) = (what.to_owned(), title.to_owned());
        Line { row, what, title, unit, must: Must::Value(must), values, note }
    }
}
