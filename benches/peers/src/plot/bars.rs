//! A line of the table as bars: medians, ranges as whiskers, best first.

use std::fmt::Write as _;

use super::page::{WIDTH, colour, page};
use crate::stats::{median, range};
use crate::table::Line;

pub fn bars(line: &Line) -> String {
    let values = line.best_first();
    let most = values.iter().map(|measured| range(&measured.values).1).fold(f64::MIN_POSITIVE, f64::max);
    let (left, right) = (110.0, WIDTH - 120.0);
    let x = |value: f64| left + (right - left) * value.max(0.0) / most;
    let mut body = String::new();
    for (at, measured) in values.iter().enumerate() {
        let y = 36.0 + 24.0 * at as f64;
        let (middle, (low, high)) = (median(&measured.values), range(&measured.values));
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" \
             height=\"18\" fill=\"{}\"/><path d=\"M{:.1} {} H{:.1}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            left - 8.0,
            y + 13.0,
            measured.name,
            x(middle) - left,
            colour(&measured.name),
            x(low),
            y + 9.0,
            x(high),
            x(high) + 6.0,
            y + 13.0,
            line.unit.text(middle)
        );
    }
    page(48.0 + 24.0 * values.len() as f64, &format!("{}: {}", line.name(), line.title), &body)
}
