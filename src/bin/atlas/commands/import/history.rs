//! `atlas import --as-recorded`: an export becomes an equal log. Its lines keep their places, and nothing is routed.

use std::sync::atomic::Ordering;

use atlas::log::AppendError;
use atlas::{Atlas, Error};

use super::Counts;
use super::reader::{envelope_of, too_long};
use crate::failure::{Failure, Outcome};
use crate::lines::{Input, Line};
use crate::progress::Progress;
use crate::table::counted;

/// How many lines pass between two looks at the progress.
const PROGRESS_EVERY: u64 = 1024;

/// Appends all lines as they were recorded, or those before the first that is bad.
pub(super) async fn run(atlas: &Atlas, mut input: Input) -> Outcome<Counts> {
    let mut history = match atlas.import_as_recorded().await {
        Err(Error::Dispatch(error)) if is_conflict(&error) => {
            return Err(Failure::new("the log holds events already; expected an empty directory for --as-recorded"));
        }
        other => other?,
    };
    let progress = Progress::bytes("importing", input.length);
    let mut counts = Counts::default();
    let failed = loop {
        let (number, line) = match input.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break None,
            Err(failure) => break Some(failure),
        };
        let pushed = match &line {
            Line::Whole(bytes) => push(&mut history, bytes),
            Line::TooLong => Err(too_long()),
        };
        match pushed {
            Ok(new_stream) => counts.new_streams += u64::from(new_stream),
            Err(what) => break Some(Failure::at(format_args!("{}:{number}", input.name), what)),
        }
        counts.durable += 1;
        if counts.durable.is_multiple_of(PROGRESS_EVERY) {
            progress.set(input.read.load(Ordering::Relaxed));
            progress.say(counted(counts.durable, "line", "lines"));
        }
    };
    history.finish()?;
    match failed {
        None => Ok(counts),
        Some(failure) => {
            let before = counted(counts.durable, "line before it is durable", "lines before it are durable");
            Err(failure.and(format_args!("{before}; begin again in an empty directory")))
        }
    }
}

/// Adds a line to history; says whether a stream begins with it.
fn push(history: &mut atlas::dispatch::HistoryImport, line: &[u8]) -> Result<bool, String> {
    let envelope = envelope_of(line)?;
    match history.push(&envelope) {
        Ok(()) => Ok(envelope.version == Some(1)),
        Err(AppendError::Event { source, .. }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_conflict(error: &atlas::dispatch::DispatchError) -> bool {
    matches!(error, atlas::dispatch::DispatchError::Append(AppendError::Conflict { .. }))
}
