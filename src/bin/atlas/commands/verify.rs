//! `atlas verify`: whether the log is whole.

use std::path::Path;

use atlas::log::Problem;
use serde::Serialize;

use crate::directory;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Check that the log is whole; writes nothing
///
/// Reads every segment and its index and names what is damaged, with file and offset. The exit code is 0 where nothing
/// is, else 1. A torn tail after a crash is no damage: it was never acknowledged.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = "\
Examples:
  atlas verify
  atlas --json verify | jq '.problems[]'")]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    problems: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    file: &'a str,
    offset: u64,
    what: &'a str,
}

pub(crate) fn run(_arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::require(dir)?;
    let progress = Progress::waiting("verifying");
    let problems: Vec<Problem> = atlas::log::verify(dir)?;
    drop(progress);
    if output.json {
        let shown = problems.iter().map(|p| Shown { file: &p.file, offset: p.offset, what: &p.what }).collect();
        output.json_line(&Report { ok: problems.is_empty(), problems: shown })?;
    } else if problems.is_empty() {
        output.line(output.paint.good("ok"))?;
    } else {
        for problem in &problems {
            output.line(format_args!("{}: offset {}: {}", problem.file, problem.offset, problem.what))?;
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    output.flush()?;
    let found = counted(problems.len() as u64, "problem", "problems");
    message(format_args!("{}: {found} found, nothing was changed", dir.display()));
    Err(Failure::Said)
}
