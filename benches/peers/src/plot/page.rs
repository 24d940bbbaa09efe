//! An SVG page, and the colours of subjects.

use crate::peers;
use crate::table::is_limit;

pub const WIDTH: f64 = 820.0;
const LIMIT: &str = "#777777";
const ATLAS: &str = "#1b6ca8";
const PEERS: [&str; 12] = [
    "#d1495b", "#2e933c", "#e09f1f", "#8d5a97", "#00a6a6", "#a44a3f", "#5f7f3a", "#e07a3f", "#4d4d9f", "#9acd32",
    "#b5179e", "#5c3d2e",
];

/// The same for a name in every plot.
pub fn colour(name: &str) -> &'static str {
    if is_limit(name) {
        return LIMIT;
    }
    match peers::all().iter().position(|kind| kind.name == name) {
        Some(0) | None => ATLAS,
        Some(at) => PEERS[(at - 1) % PEERS.len()],
    }
}

/// One of several colours that mean no subject.
pub fn nth_colour(at: usize) -> &'static str {
    [ATLAS, PEERS[0], PEERS[1], PEERS[2], PEERS[3]][at % 5]
}

/// A page with its title, which is set smaller where it is long.
pub fn page(height: f64, title: &str, body: &str) -> String {
    let size = (WIDTH / 0.55 / title.chars().count().max(1) as f64).min(15.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"{size:.1}\">{}</text>\n{body}</svg>\n",
        escape(title)
    )
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
