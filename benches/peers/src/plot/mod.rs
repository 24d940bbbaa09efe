//! Plots as SVG, by hand: bars for each line of the table; throughput against tasks; how long appends took; cost against
//! the size of the log.

mod axis;
mod bars;
mod chart;
mod page;

use std::fs;
use std::path::Path;

use axis::{Axis, Scale};
use chart::{Curve, chart};
use page::{colour, nth_colour};

use crate::growth::table::{Column, Figure};
use crate::peer::Result;
use crate::report::Report;
use crate::rows::{Distribution, scaling};
use crate::stats::quantile;
use crate::table::{Unit, is_limit};

/// Writes all plots that a report has something for.
pub fn write(dir: &Path, report: &Report) -> Result<()> {
    fs::create_dir_all(dir)?;
    for line in &report.lines {
        let name = line.name().to_lowercase().replace([' ', '.'], "-");
        fs::write(dir.join(format!("{name}.svg")), bars::bars(line))?;
    }
    for (row, what) in [("W1", "one writer"), ("W3", "64 tasks"), ("T3", "64 tasks, while segments rotate")] {
        let all: Vec<&Distribution> = report.latencies.iter().filter(|one| one.row == row).collect();
        if !all.is_empty() {
            let name = format!("{}-latency.svg", row.to_lowercase());
            fs::write(dir.join(name), latency(&format!("{row}: how long durable appends took, {what}"), &all))?;
        }
    }
    if !report.tasks.is_empty() {
        fs::write(dir.join("tasks.svg"), tasks(&report.tasks))?;
    }
    if !report.growth.is_empty() {
        fs::write(dir.join("growth.svg"), growth(&report.growth))?;
    }
    Ok(())
}

/// A curve of a subject.
fn of_subject(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve { name: name.to_owned(), colour: colour(name), dashed: is_limit(name), points }
}

/// Highest at its end first, as the curves stand beside the legend.
fn highest_first(mut curves: Vec<Curve>) -> Vec<Curve> {
    let end = |curve: &Curve| curve.points.last().map_or(0.0, |(_, y)| *y);
    curves.sort_by(|a, b| end(b).total_cmp(&end(a)));
    curves
}

fn tasks(all: &[scaling::Curve]) -> String {
    let x = Axis { name: "tasks that append at once", scale: Scale::Log(2.0), text: |tasks| format!("{tasks:.0}") };
    let y = Axis {
        name: "durable appends a second, in thousands",
        scale: Scale::Linear,
        text: |rate| format!("{:.0}", rate / 1e3),
    };
    let curves = all.iter().map(|(name, points)| of_subject(name, points.clone())).collect();
    chart("Throughput against tasks: one event each, awaited, durable", &x, &y, &highest_first(curves))
}

/// For each share of the appends, how long the slowest of them took.
fn latency(title: &str, all: &[&Distribution]) -> String {
    let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let curve = |name: &&str| {
        let samples = all.iter().filter(|one| one.name == *name);
        let mut micros: Vec<f64> =
            samples.flat_map(|one| one.nanos.iter().map(|nanos| f64::from(*nanos) / 1e3)).collect();
        micros.sort_by(f64::total_cmp);
        let most = micros.len() as f64;
        // Half, and on to the slowest in steps of a tenth of a power of ten.
        let one_in = (0..=60).map(|step| 2.0 * 10f64.powf(f64::from(step) / 10.0)).take_while(|one_in| *one_in <= most);
        of_subject(name, one_in.map(|one_in| (one_in, quantile(&micros, 1.0 - 1.0 / one_in).max(0.1))).collect())
    };
    let x = Axis {
        name: "share of the appends that took at most so long",
        scale: Scale::Log(10.0),
        text: |one_in| format!("{} %", (1e8 - 1e8 / one_in).round() / 1e6),
    };
    let y = Axis { name: "time of an append", scale: Scale::Log(10.0), text: micros };
    chart(title, &x, &y, &highest_first(names.iter().map(curve).collect()))
}

fn micros(micros: f64) -> String {
    match micros {
        1e6.. => format!("{} s", micros / 1e6),
        1e3.. => format!("{} ms", micros / 1e3),
        _ => format!("{micros} us"),
    }
}

/// What one event costs, against how many the log has. Sizes in short streams are another shape, and left out.
fn growth(columns: &[Column]) -> String {
    let shape = columns.first().map(|column| column.size.events_of_stream);
    let mut columns: Vec<&Column> =
        columns.iter().filter(|column| Some(column.size.events_of_stream) == shape).collect();
    columns.sort_by_key(|column| column.size.events());
    let figures = [
        (Figure::Tasks, "append, 64 tasks"),
        (Figure::Event, "one event, p50"),
        (Figure::Bulk, "append in bulk"),
        (Figure::Streams, "event of a stream"),
    ];
    let mut curves = Vec::new();
    for (at, (figure, what)) in figures.into_iter().enumerate() {
        for who in ["atlas", "limit"] {
            let nanos = |value: f64| if figure.unit() == Unit::Rate { 1e9 / value } else { value * 1e3 };
            let point = |column: &&Column| Some((column.size.events() as f64, nanos(column.median(figure, who)?)));
            let points: Vec<_> = columns.iter().filter_map(point).collect();
            let name = if who == "limit" { format!("{what}, limit") } else { what.to_owned() };
            curves.push(Curve { name, colour: nth_colour(at), dashed: who == "limit", points });
        }
    }
    let x = Axis { name: "events in the log", scale: Scale::Log(10.0), text: events };
    let y = Axis { name: "time of one event", scale: Scale::Log(10.0), text: |nanos| micros(nanos / 1e3) };
    chart("Cost of one event against the size of the log", &x, &y, &curves)
}

fn events(count: f64) -> String {
    if count >= 1e6 { format!("{:.0} M", count / 1e6) } else { format!("{:.0} k", count / 1e3) }
}
