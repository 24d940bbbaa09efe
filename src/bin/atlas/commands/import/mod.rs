//! `atlas import`: NDJSON in, events appended in the order of the file, many appends in flight.

mod appending;
mod history;
mod reader;
mod summary;

use std::path::{Path, PathBuf};

use atlas::Atlas;
use atlas::dispatch::QueueInfo;
use atlas::storage::{Clock, SystemClock};

use self::appending::Appending;
use self::summary::{Counts, Summary};
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::lines::Input;
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::sizes;
use crate::table::counted;

/// Append the events of a file, each routed by the configuration tree of its scope
///
/// Takes NDJSON, plain or gzipped: one event a line, with type, stream, tenant, application and data, and whatever else
/// of the envelope there is; version, position, recorded_at and revision are ignored. Events get positions in the order
/// of the file. A line with an id that is known, with the same content, writes nothing, so an import that was
/// interrupted can be repeated if its lines have ids. With --as-recorded it creates the data directory.
///
/// Stops at the first bad line, says where it is, what was expected and how many lines before it are durable, and ends
/// with exit code 1. With --skip-bad bad lines are listed and left out, and the exit code is 0.
///
/// At the end it waits for the deliveries that can be served here (those to queues) and for what stands in input queues, and
/// says what is left.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas import events.ndjson.gz
  generate-events | atlas import - --ack-every 1000
  atlas --dir copy import export.ndjson --as-recorded

A line:
  {\"type\":\"LOAN_OFFER_SENT_COMPLETE_1\",\"stream\":\"loan-1\",\"tenant\":\"bank\",\"application\":\"loans\",\"data\":{}}"
)]
pub(crate) struct Arguments {
    /// The file, or - for stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Print `acked LINES` every N lines, once they are durable
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    ack_every: Option<u64>,
    /// List bad lines on stderr and go on
    #[arg(long)]
    skip_bad: bool,
    /// Keep version, position, recorded_at and revision of each line: an export becomes an equal log
    ///
    /// Into an empty directory only, for positions 1, 2, 3, without gaps. These events are history: nothing is routed
    /// and they never have deliveries.
    #[arg(long, conflicts_with_all = ["skip_bad", "ack_every"])]
    as_recorded: bool,
    /// How large a segment of the log may grow, such as 8MiB
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = sizes::size)]
    segment_size: u64,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    // Before the directory is made: a file that can't be read leaves nothing behind.
    let input = Input::open(&arguments.file)?;
    directory::check_tail(dir)?;
    let segment_size = arguments.segment_size;
    let opening = match arguments.as_recorded || dir.exists() {
        true => Opening::Serve { segment_size },
        // No scope has a tree there, so each line is refused, which takes no directory.
        false => Opening::Rehearse { segment_size },
    };
    directory::work(dir, opening, async |atlas| import(atlas, input, &arguments, output).await).await
}

async fn import(atlas: &Atlas, input: Input, arguments: &Arguments, output: &mut Output) -> Outcome {
    let started = SystemClock.now_micros();
    let appended = match arguments.as_recorded {
        true => history::run(atlas, input).await,
        false => Appending::new(atlas, &input, arguments, output).run(input).await,
    };
    let micros = SystemClock.now_micros().saturating_sub(started);
    // Also after a bad line: what stands before it is durable, and its deliveries are due.
    let waiting = Progress::waiting("serving deliveries");
    let settled = atlas.settled().await;
    drop(waiting);
    Summary::new(appended?, micros, settled?).write(output)?;
    tell_of_inputs(atlas).await
}

/// What stood in input queues has come in as well, but for this.
async fn tell_of_inputs(atlas: &Atlas) -> Outcome {
    for QueueInfo { scope, name, dead, .. } in atlas.queues().await? {
        let is_input = atlas.catalog().queues(&scope).get(&name).is_some_and(|options| options.ingest);
        if is_input && dead > 0 {
            let messages = counted(dead, "message", "messages");
            message(format_args!("{messages} can't come in: atlas queue dead {name} --scope {scope}"));
        }
    }
    Ok(())
}
