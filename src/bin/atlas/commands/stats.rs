//! `atlas stats`: how large the log is.

use std::path::Path;

use crate::directory;
use crate::failure::Outcome;
use crate::output::Output;
use crate::table::thousands;

/// Show how large the log is and how long it took to open
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::look(dir, |store| {
        let stats = store.stats()?;
        if output.json {
            return output.json_line(&stats);
        }
        for (what, number) in [
            ("events", stats.events),
            ("streams", stats.streams),
            ("segments", stats.segments),
            ("of them sealed", stats.sealed),
            ("bytes in the tail segment", stats.tail_bytes),
            ("microseconds to open", stats.open_us),
        ] {
            output.line(format_args!("{:>15}  {what}", thousands(number)))?;
        }
        Ok(())
    })
}
