//! `atlas rebuild`: what is derived from the log, made anew.

use std::path::Path;

use atlas::log::{Lost, RebuildError};
use atlas::{Error, Rebuilt};
use serde::Serialize;

use crate::commands::verify::shown;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Make everything anew that is derived from the log
///
/// Indexes, the directory, catalog.redb and dispatch.redb are removed and made from the segments, with the directory
/// held. Where LOCK, an index or one of the databases tells of more than the log holds, the log has lost data: commands
/// that open what tells of it refuse then, and this one says what was lost and goes on with what is there. A log that is
/// itself damaged is refused, and nothing is changed: `atlas export --salvage` reads what of it is whole.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas rebuild
  atlas --json rebuild | jq '.lost[]'"
)]
pub(crate) struct Arguments {}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    ok: bool,
    #[serde(flatten)]
    rebuilt: Option<&'a Rebuilt>,
    problems: &'a [atlas::log::Problem],
}

pub(crate) fn run(_arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    let mut progress = None;
    let rebuilt = atlas::rebuild(dir, |done, all| {
        progress.get_or_insert_with(|| Progress::bytes("rebuilding", all)).set(done);
    });
    drop(progress);
    let rebuilt = match rebuilt {
        Ok(rebuilt) => rebuilt,
        Err(error @ Error::Rebuild(RebuildError::Damaged { .. })) => return refused(&error, dir, output),
        Err(Error::Rebuild(RebuildError::Open(error)) | Error::Open(error)) => {
            return Err(crate::directory::about(dir, &error));
        }
        Err(error) if is_full_disk(&error) => {
            let what =
                "no space on the disk for what is derived; the segments are as they were: make room, and run it again";
            return Err(Failure::new(format!("{}: {what}", dir.display())));
        }
        Err(error) => return Err(error.into()),
    };
    if output.json {
        output.json_line(&Shown { ok: true, rebuilt: Some(&rebuilt), problems: &[] })?;
    } else {
        let events = counted(rebuilt.events, "event", "events");
        output.line(format_args!("rebuilt from {}, {events}", counted(rebuilt.segments, "segment", "segments")))?;
    }
    output.flush()?;
    if rebuilt.lock_was_missing {
        message("LOCK was missing and is made anew: what it said of how far the log had gone is not known");
    }
    for Lost { file, said, end, after_position } in &rebuilt.lost {
        let after = after_position + 1;
        message(format_args!("{file} told of the log up to {said}; it ends at {end}: lost from position {after} on"));
    }
    Ok(())
}

/// Whatever room says so, and in whatever it is wrapped.
fn is_full_disk(error: &Error) -> bool {
    const NO_SPACE: i32 = 28;
    error.to_string().contains(&std::io::Error::from_raw_os_error(NO_SPACE).to_string())
}

fn refused(error: &Error, dir: &Path, output: &mut Output) -> Outcome {
    let Error::Rebuild(RebuildError::Damaged { problems }) = error else { return Ok(()) };
    if output.json {
        output.json_line(&Shown { ok: false, rebuilt: None, problems })?;
    } else {
        for problem in problems {
            output.line(shown(problem))?;
        }
    }
    output.flush()?;
    Err(Failure::new(format!("{}: {error}", dir.display())))
}
