//! `atlas verify`: whether the log, and what is derived from it, is whole.

use std::fs::File;
use std::path::Path;

use atlas::log::{Problem, Report};
use atlas::storage::verify_database;

use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Check that the log is whole; writes nothing
///
/// Reads every segment and its index and names what is damaged, with file and offset. The exit code is 0 where nothing
/// is, else 1. A torn tail after a crash is no damage: it was never acknowledged. The databases that are derived from
/// the log, catalog.redb and dispatch.redb, are checked as well, unless another process holds the directory.
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
    let mut report = atlas::log::verify(dir, |checked, all| {
        progress.get_or_insert_with(|| Progress::bytes("verifying", all)).set(checked);
    })?;
    drop(progress);
    verify_derived(dir, &mut report);
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

/// Checks the derived databases, where nobody writes to them.
fn verify_derived(dir: &Path, report: &mut Report) {
    // Held until both are checked, so that nobody begins to write.
    let Ok(lock) = File::open(dir.join("LOCK")) else { return };
    if lock.try_lock_shared().is_err() {
        return;
    }
    for file in ["catalog.redb", "dispatch.redb"] {
        if verify_database(dir, file).is_err() {
            let what = "damaged; it is derived: remove it while the store is closed, and the next open makes it anew";
            report.problems.push(Problem { file: file.to_owned(), offset: 0, what: what.to_owned() });
            report.ok = false;
        }
    }
}
