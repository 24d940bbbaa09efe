//! Plots as SVG, by hand: bars for each row, curves over a logarithmic axis.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::peer::Result;
use crate::peers;
use crate::rows::{Distribution, scaling::Curve};
use crate::stats::{median, quantile, range};
use crate::table::{Line, is_limit};

const WIDTH: f64 = 760.0;
const COLOURS: [&str; 14] = [
    "#1b6ca8", "#888888", "#d1495b", "#2e933c", "#edae49", "#8d5a97", "#00798c", "#a44a3f", "#5b8e7d", "#c06e52",
    "#30638e", "#6a994e", "#b5179e", "#3a0ca3",
];

/// The same for a name in every plot.
fn colour(name: &str) -> &'static str {
    if is_limit(name) {
        return COLOURS[1];
    }
    match peers::all().iter().position(|kind| kind.name == name) {
        Some(0) | None => COLOURS[0],
        Some(at) => COLOURS[2 + (at - 1) % (COLOURS.len() - 2)],
    }
}

fn page(height: f64, title: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"15\">{}</text>\n{body}</svg>\n",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Medians as bars, ranges as whiskers, best first.
pub fn bars(line: &Line) -> String {
    let mut values: Vec<(&str, f64, (f64, f64))> = line
        .values
        .iter()
        .map(|measured| (measured.name.as_str(), median(&measured.values), range(&measured.values)))
        .collect();
    values.sort_by(|a, b| if line.unit.more_is_better() { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    let most = values.iter().map(|(_, _, (_, high))| *high).fold(f64::MIN_POSITIVE, f64::max);
    let (left, right) = (110.0, WIDTH - 120.0);
    let x = |value: f64| left + (right - left) * value / most;
    let mut body = String::new();
    for (at, (name, middle, (low, high))) in values.iter().enumerate() {
        let y = 36.0 + 24.0 * at as f64;
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text><rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" \
             height=\"18\" fill=\"{}\"/><path d=\"M{:.1} {} H{:.1}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            left - 8.0,
            y + 13.0,
            x(*middle) - left,
            colour(name),
            x(*low),
            y + 9.0,
            x(*high),
            x(*high) + 6.0,
            y + 13.0,
            line.unit.text(*middle)
        );
    }
    page(48.0 + 24.0 * values.len() as f64, &format!("{}: {}", line.name(), line.title), &body)
}

/// Curves over a logarithmic axis of x, and of y where `log_y`.
pub fn curves(title: &str, x_name: &str, y_text: impl Fn(f64) -> String, curves: &[Curve], log_y: bool) -> String {
    let points = || curves.iter().flat_map(|(_, points)| points.iter().copied()).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let (x_low, x_high) = range(&points().map(|(x, _)| x).collect::<Vec<_>>());
    let (y_low, y_high) = range(&points().map(|(_, y)| y).collect::<Vec<_>>());
    let (left, right, top, bottom) = (80.0, WIDTH - 120.0, 40.0, 380.0);
    let share = |value: f64, low: f64, high: f64| (value / low).ln() / (high / low).ln().max(1e-9);
    let x = |value: f64| left + (right - left) * share(value, x_low, x_high);
    let y = |value: f64| {
        bottom - (bottom - top) * if log_y { share(value, y_low, y_high) } else { value / y_high.max(1e-9) }
    };
    let mut body = format!("<path d=\"M{left} {top} V{bottom} H{right}\" stroke=\"black\" fill=\"none\"/>\n");
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let value = if log_y { y_low * (y_high / y_low).powf(part) } else { y_high * part };
        let (at, text) = (y(value) + 4.0, y_text(value));
        let _ = writeln!(body, "<text x=\"{}\" y=\"{at:.1}\" text-anchor=\"end\">{text}</text>", left - 6.0);
    }
    let base = if x_high > 256.0 { 10.0 } else { 2.0 };
    for tick in std::iter::successors(Some(1.0), |tick| Some(tick * base)).take_while(|tick| *tick <= x_high) {
        let (at, below) = (x(tick), bottom + 18.0);
        let _ = writeln!(body, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{tick:.0}</text>");
    }
    let _ = writeln!(body, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{x_name}</text>", (left + right) / 2.0, 414);
    for (at, (name, points)) in curves.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .filter(|(px, py)| *px > 0.0 && *py > 0.0)
            .map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py)))
            .collect();
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{2}\" stroke-width=\"2\"/><text x=\"{3}\" y=\"{4}\" \
             fill=\"{2}\">{1}</text>",
            path.join(" "),
            name,
            colour(name),
            right + 8.0,
            top + 8.0 + 18.0 * at as f64
        );
    }
    page(426.0, title, &body)
}

/// How long appends took: for each share that took longer, the time.
fn distribution(row: &str, all: &[Distribution]) -> String {
    let curve = |one: &Distribution| {
        let mut micros: Vec<f64> = one.nanos.iter().map(|nanos| f64::from(*nanos) / 1e3).collect();
        micros.sort_by(f64::total_cmp);
        let most = micros.len() as f64;
        let points = (0..=40).map(|step| 10f64.powf(f64::from(step) / 10.0)).take_while(|one_of| *one_of <= most);
        (one.name.clone(), points.map(|one_of| (one_of, quantile(&micros, 1.0 - 1.0 / one_of).max(0.1))).collect())
    };
    let lines: Vec<Curve> = all.iter().filter(|one| one.row == row).map(curve).collect();
    let title = format!("{row}: one append in so many takes at least as long");
    curves(&title, "one in", |micros| format!("{micros:.0} us"), &lines, true)
}

/// Writes all plots.
pub fn write(dir: &Path, lines: &[Line], distributions: &[Distribution], scaling: &[Curve]) -> Result<()> {
    fs::create_dir_all(dir)?;
    for line in lines {
        let name = line.name().to_lowercase().replace([' ', '.'], "-");
        fs::write(dir.join(format!("{name}.svg")), bars(line))?;
    }
    for row in ["W1", "W3"] {
        if distributions.iter().any(|one| one.row == row) {
            fs::write(dir.join(format!("{}-latency.svg", row.to_lowercase())), distribution(row, distributions))?;
        }
    }
    if !scaling.is_empty() {
        let rate = |value: f64| format!("{:.0} k/s", value / 1e3);
        let plot = curves("Durable appends a second against the number of tasks", "tasks", rate, scaling, false);
        fs::write(dir.join("tasks.svg"), plot)?;
    }
    Ok(())
}
