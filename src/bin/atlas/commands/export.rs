//! `atlas export`: events as NDJSON, in the order of the log.

use std::path::Path;

use atlas::Scope;
use atlas::log::{EventStore, Loss, Query};
use clap::ValueEnum;

use crate::cloudevents::CloudEvent;
use crate::directory;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Print events, one JSON object a line, in the order of the log
///
/// Lines have the whole envelope: what `import` takes, with id, version, position, recorded_at and revision. So an
/// export imported into the directory it came from writes nothing, and imported `--as-recorded` into an empty one it
/// gives an equal export. A directory that a running host holds can be exported, up to what is durable.
///
/// With --salvage a log that is damaged is read as far as it is whole, before the damage and behind it. What is lost is
/// said on stderr: file, offset, bytes and positions; with --json as one JSON object a line. The lines can be imported
/// into another directory, where positions and versions are given anew.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas export > events.ndjson
  atlas export --scope bank/loans --type LOAN_OFFER_ | jq .data
  atlas export --after 1200000 --format cloudevents
  atlas export --salvage > whole.ndjson"
)]
pub(crate) struct Arguments {
    /// Only events after this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Only events of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Only events of this stream
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
    /// Only events whose type begins so, such as LOAN_OFFER_
    #[arg(long = "type", value_name = "PREFIX")]
    type_prefix: Option<String>,
    /// Export what is whole of a damaged log, say what is lost, and end with 1 where anything is
    #[arg(long)]
    salvage: bool,
    /// How events are written
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The envelope, as `import` takes it
    Ndjson,
    /// CloudEvents 1.0 in JSON, one a line
    Cloudevents,
}

const PROGRESS_EVERY: u64 = 1024;

pub(crate) fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    if arguments.salvage {
        return directory::salvage(dir, |store| {
            let exported = export(arguments, store, output);
            // What was read is handed on before what is lost is told.
            let told = output.flush().and_then(|()| tell(&store.losses(), output.json));
            exported.and(told)
        });
    }
    directory::look(dir, |store| export(arguments, store, output))
}

/// Says what is lost.
fn tell(losses: &[Loss], json: bool) -> Outcome {
    for loss in losses {
        if json {
            message(serde_json::to_string(loss)?);
            continue;
        }
        let Loss { file, offset, bytes, positions, what, .. } = loss;
        let positions = match positions {
            Some(lost) if lost.start() == lost.end() => format!("position {}", lost.start()),
            Some(lost) => format!("positions {} to {}", lost.start(), lost.end()),
            None => "no event that is known of".to_owned(),
        };
        let bytes = counted(*bytes, "byte", "bytes");
        message(format_args!("{file}: offset {offset}: {bytes} and {positions} lost: {what}"));
    }
    if losses.is_empty() {
        return Ok(());
    }
    if !json {
        let lost = counted(losses.len() as u64, "place", "places");
        message(format_args!("the log is damaged in {lost}; all else was exported, and can be imported elsewhere"));
    }
    Err(Failure::Said)
}

fn export(arguments: &Arguments, store: &EventStore, output: &mut Output) -> Outcome {
    let mut query = Query::new();
    if let Some(position) = arguments.after {
        query = query.after(position);
    }
    if let Some(scope) = &arguments.scope {
        query = query.scope(scope);
    }
    if let Some(stream) = &arguments.stream {
        query = query.stream(stream);
    }
    if let Some(prefix) = &arguments.type_prefix {
        query = query.type_prefix(prefix);
    }
    let first = arguments.after.unwrap_or_default();
    let progress = Progress::items("exporting", store.last_position().saturating_sub(first));
    for event in store.read(query)? {
        let event = event?;
        match arguments.format {
            Format::Ndjson => output.json_line(&event.envelope())?,
            Format::Cloudevents => output.json_line(&CloudEvent::of(&event.envelope()))?,
        }
        let done = event.position().saturating_sub(first);
        if done.is_multiple_of(PROGRESS_EVERY) {
            progress.set(done);
        }
    }
    Ok(())
}
