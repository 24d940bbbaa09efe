//! Curves over two axes, with a grid and a legend.

use std::fmt::Write as _;

use super::axis::Axis;
use super::page::{WIDTH, escape, page};

const HEIGHT: f64 = 440.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = WIDTH - 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = HEIGHT - 56.0;

pub struct Curve {
    pub name: String,
    pub colour: &'static str,
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
}

pub fn chart(title: &str, x_axis: &Axis, y_axis: &Axis, curves: &[Curve]) -> String {
    let all = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    if all().next().is_none() {
        return page(HEIGHT, title, "");
    }
    let x_ends = x_axis.ends(&all().map(|(x, _)| x).collect::<Vec<_>>());
    let y_ends = y_axis.wide_ends(&all().map(|(_, y)| y).collect::<Vec<_>>());
    let x = |value: f64| LEFT + (RIGHT - LEFT) * x_axis.share(value, x_ends);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * y_axis.share(value, y_ends);
    let mut body = String::new();
    for tick in x_axis.ticks(x_ends) {
        let _ = writeln!(
            body,
            "<path d=\"M{0:.1} {TOP} V{BOTTOM}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>",
            x(tick),
            BOTTOM + 18.0,
            (x_axis.text)(tick)
        );
    }
    for tick in y_axis.ticks(y_ends) {
        let _ = writeln!(
            body,
            "<path d=\"M{LEFT} {0:.1} H{RIGHT}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(tick),
            LEFT - 8.0,
            y(tick) + 4.0,
            (y_axis.text)(tick)
        );
    }
    let (across, down) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    let _ = writeln!(
        body,
        "<path d=\"M{LEFT} {TOP} V{BOTTOM} H{RIGHT}\" stroke=\"black\" fill=\"none\"/>\n\
         <text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(18 {down}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        BOTTOM + 42.0,
        escape(x_axis.name),
        escape(y_axis.name)
    );
    for (at, curve) in curves.iter().enumerate() {
        let points: Vec<String> = curve.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let dash = if curve.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let line = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dash}", curve.colour);
        let (from, beside) = (RIGHT + 14.0, TOP + 8.0 + 19.0 * at as f64);
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" {line}/>\n<path d=\"M{from} {beside} h22\" {line}/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            points.join(" "),
            from + 28.0,
            beside + 4.0,
            escape(&curve.name)
        );
    }
    page(HEIGHT, title, &body)
}
