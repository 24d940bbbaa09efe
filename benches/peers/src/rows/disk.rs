//! Disk per event of the loaded store after a clean close, keyframes included: all files, and of Atlas the log alone.

use super::Context;
use super::loaded::{Closed, disk_bytes};
use crate::peer::Result;
use crate::table::{Line, Measured, Must, Unit};
use crate::work::RAW_LEN;

pub fn run(context: &mut Context, closed: &Closed) -> Result<Vec<Line>> {
    let events = context.plan.order.len() as f64;
    let measured =
        |name: &str, bytes: f64| Measured { name: name.to_owned(), values: vec![bytes], repeated: 0, noisy: 0 };
    let limit = || measured("limit", RAW_LEN as f64);
    let (mut all, mut log) = (vec![limit()], vec![limit()]);
    for (kind, dir) in &closed.stores {
        all.push(measured(kind.name, disk_bytes(dir, &|_| true)? as f64 / events));
        if kind.name == "atlas" {
            let of_log = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "seg");
            log.push(measured(kind.name, disk_bytes(dir, &of_log)? as f64 / events));
        }
    }
    let line = |what: &str, title: &str, must, values| Line {
        row: "DISK",
        what: what.to_owned(),
        title: title.to_owned(),
        unit: Unit::Bytes,
        must: Must::Value(must),
        values,
        note: String::new(),
    };
    Ok(vec![
        line("all", "disk per event, all files after close", 330.0, all),
        line("log", "disk per event, the log alone", 304.0, log),
    ])
}
