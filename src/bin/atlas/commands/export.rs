//! `atlas export`: events as NDJSON, in the order of the log.

use std::path::Path;

use atlas::Scope;
use atlas::log::Query;
use clap::ValueEnum;

use crate::cloudevents::CloudEvent;
use crate::directory;
use crate::failure::Outcome;
use crate::output::Output;
use crate::progress::Progress;

/// Print events, one JSON object a line, in the order of the log
///
/// Lines have the whole envelope: what `import` takes, with id, version, position, recorded_at and revision. So an
/// export imported into the directory it came from writes nothing, and imported `--as-recorded` into an empty one it
/// gives an equal export. A directory that a running host holds can be exported, up to what is durable.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas export > events.ndjson
  atlas export --scope bank/loans --type LOAN_OFFER_ | jq .data
  atlas export --after 1200000 --format cloudevents"
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
    directory::look(dir, |store| {
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
    })
}
