//! `atlas verify`: whether the log is whole.

use std::path::Path;

use atlas::log::Problem;

use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Check that the log is whole; writes nothing
///
/// Reads every segment and its index and names what is damaged, with file and offset. The exit code is 0 where nothing
/// is, else 1. A torn tail after a crash is no damage: it was never acknowledged.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas verify
  atlas --json verify | jq '.problems[]'"
)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    let mut progress = None;
    let report = atlas::log::verify(dir, |checked, all| {
        progress.get_or_insert_with(|| Progress::bytes("verifying", all)).set(checked);
    })?;
    drop(progress);
    if output.json {
        output.json_line(&report)?;
    } else if report.ok {
        output.line(output.paint.good("ok"))?;
    } else {
        for Problem { file, offset, what } in &report.problems {
            output.line(format_args!("{file}: offset {offset}: {what}"))?;
        }
    }
    if report.ok {
        return Ok(());
    }
    output.flush()?;
    let found = counted(report.problems.len() as u64, "problem", "problems");
    message(format_args!("{}: {found} found; nothing was changed", dir.display()));
    Err(Failure::Said)
}
