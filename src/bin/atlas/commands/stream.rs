//! `atlas stream`: the events of one stream.

use std::path::Path;

use atlas::Scope;
use atlas::log::{Direction, RecordedEvent};

use crate::directory;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::{Column, Table, clipped};

/// Show the events of a stream
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas stream bank/loans loan-1
  atlas stream bank/loans loan-1 --backward --limit 5      the last five, newest first
  atlas --json stream bank/loans loan-1 --from 10")]
pub(crate) struct Arguments {
    /// The stream's scope, TENANT/APPLICATION
    scope: Scope,
    /// The stream's id
    stream: String,
    /// Newest first
    #[arg(long)]
    backward: bool,
    /// Begin at this version
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    /// At most so many events
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// How much of an event's data a table shows, in characters.
const DATA_SHOWN: usize = 100;

pub(crate) fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::look(dir, |store| {
        if store.version(&arguments.scope, &arguments.stream)? == 0 {
            return Err(no_such_stream(&arguments.scope, &arguments.stream));
        }
        let (direction, start) =
            if arguments.backward { (Direction::Backward, u64::MAX) } else { (Direction::Forward, 1) };
        let from = arguments.from.unwrap_or(start);
        let events = store.read_stream(&arguments.scope, &arguments.stream, from, direction)?;
        let events = events.take(arguments.limit.unwrap_or(usize::MAX));
        if output.json {
            return output.json_array(events.map(|event| Ok(serde_json::value::to_raw_value(&event?.envelope())?)));
        }
        let mut table = Table::new([
            Column::Number("VERSION"),
            Column::Number("POSITION"),
            Column::Text("TIME"),
            Column::Text("TYPE"),
            Column::Text("DATA"),
        ]);
        for event in events {
            let event = event?;
            let row = [
                event.version().to_string(),
                event.position().to_string(),
                event.time().to_string(),
                event.event_type().to_owned(),
                shown(&event),
            ];
            table.row(output, row)?;
        }
        table.end(output)?;
        Ok(())
    })
}

fn shown(event: &RecordedEvent) -> String {
    match event.content_type() {
        None => clipped(&String::from_utf8_lossy(event.data()), DATA_SHOWN),
        Some(content_type) => format!("({content_type}, {} bytes)", event.data().len()),
    }
}

pub(crate) fn no_such_stream(scope: &Scope, stream: &str) -> Failure {
    Failure::new(format!("{scope} has no stream {stream:?}; `atlas streams --scope {scope}` lists those it has"))
}
