//! `atlas verify`: whether the log, and what is derived from it, is whole.

use std::path::Path;

use atlas::Error;
use atlas::log::{Checked, Depth, Folds, OpenError, Problem, Report};

use crate::directory::about;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Check that the log is whole; writes nothing
///
/// Reads every segment and names what is damaged, with file and offset, and goes on behind it. The exit code is 0 where
/// nothing is, else 1. A torn tail after a crash is no damage: it was never acknowledged. What is derived from the log
/// is checked as well: the indexes, and catalog.redb and dispatch.redb unless another process holds the directory.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas verify
  atlas verify --deep
  atlas --json verify | jq '.problems[]'"
)]
pub(crate) struct Arguments {
    /// Hold everything derived against the log: indexes, streams, keyframes, databases
    #[arg(long)]
    deep: bool,
}

pub(crate) fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    let mut progress = None;
    let depth = if arguments.deep { Depth::Deep(Folds::default()) } else { Depth::Structure };
    let report = atlas::verify(dir, &depth, |checked, all| {
        progress.get_or_insert_with(|| Progress::bytes("verifying", all)).set(checked);
    });
    drop(progress);
    let report = match report {
        Err(Error::Open(error @ OpenError::LogMissing { .. })) => return Err(about(dir, &error)),
        other => other?,
    };
    if output.json {
        output.json_line(&report)?;
    } else if report.ok {
        output.line(format_args!("{}: {}", output.paint.good("ok"), told(&report.checked)))?;
    } else {
        for problem in &report.problems {
            output.line(shown(problem))?;
        }
    }
    if report.ok {
        return Ok(());
    }
    output.flush()?;
    let found = counted(report.problems.len() as u64, "problem", "problems");
    message(format_args!("{}: {found} found; nothing was changed; {}", dir.display(), advice(&report)));
    Err(Failure::Said)
}

/// A problem on one line.
pub(crate) fn shown(Problem { file, offset, what }: &Problem) -> String {
    format!("{file}: offset {offset}: {what}")
}

fn advice(report: &Report) -> &'static str {
    let is_evidence = |problem: &Problem| problem.file == "LOCK" || problem.what.contains("has lost data");
    if report.log_is_damaged() {
        return "`atlas export --salvage` reads what is whole";
    }
    match report.problems.iter().any(is_evidence) {
        true => {
            "the segments are whole, but may not be all: put back newer ones, or have `atlas rebuild` go on with these"
        }
        false => "the log is whole, and `atlas rebuild` makes anew what is derived from it",
    }
}

fn told(checked: &Checked) -> String {
    let counts = [counted(checked.segments, "segment", "segments"), counted(checked.events, "event", "events")];
    let mut told = counts.join(", ");
    if checked.deep {
        let streams = counted(checked.streams, "stream", "streams");
        told += &format!(", {streams}, {}", counted(checked.keyframes, "keyframe", "keyframes"));
        if checked.other_keyframes > 0 {
            told += &format!(" and {} of other folds, which were not checked", checked.other_keyframes);
        }
    }
    told
}
