//! `atlas stats`: how large the log is.

use std::path::Path;

use serde::Serialize;

use crate::directory;
use crate::failure::Outcome;
use crate::output::Output;
use crate::table::thousands;

/// Show how large the log is and how long it took to open
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Shown {
    events: u64,
    streams: u64,
    segments: u64,
    sealed: u64,
    tail_bytes: u64,
    open_us: u64,
}

pub(crate) fn run(_arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::look(dir, |store| {
        let stats = store.stats()?;
        let shown = Shown {
            events: stats.events,
            streams: stats.streams,
            segments: stats.segments,
            sealed: stats.sealed,
            tail_bytes: stats.tail_bytes,
            open_us: stats.open_us,
        };
        if output.json {
            return output.json_line(&shown);
        }
        for (what, number) in [
            ("events", shown.events),
            ("streams", shown.streams),
            ("segments", shown.segments),
            ("of them sealed", shown.sealed),
            ("bytes in the tail segment", shown.tail_bytes),
            ("microseconds to open", shown.open_us),
        ] {
            output.line(format_args!("{:>15}  {what}", thousands(number)))?;
        }
        Ok(())
    })
}
