//! `atlas streams`: which streams there are.

use std::path::Path;

use atlas::Scope;
use serde::Serialize;

use crate::directory;
use crate::failure::Outcome;
use crate::output::{Output, message};
use crate::table::{Column, Table};

/// List streams with their versions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas streams
  atlas streams --scope bank/loans --prefix loan-17 --limit 20
  atlas --json streams | jq 'max_by(.version)'")]
pub(crate) struct Arguments {
    /// Only streams of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Only streams whose id begins so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Row {
    scope: Scope,
    stream: String,
    version: u64,
}

pub(crate) fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::look(dir, |store| {
        let streams = store.streams(arguments.scope.as_ref(), &arguments.prefix)?;
        let mut rows = streams.take(arguments.limit.unwrap_or(usize::MAX)).map(|info| {
            let info = info?;
            Ok(Row { scope: info.scope, stream: info.stream, version: info.version })
        });
        if output.json {
            return output.json_array(rows);
        }
        let mut table = Table::new([Column::Text("SCOPE"), Column::Number("VERSION"), Column::Text("STREAM")]);
        rows.try_for_each(|row: Outcome<Row>| {
            let row = row?;
            table.row(output, [row.scope.to_string(), row.version.to_string(), row.stream])
        })?;
        if table.end(output)? == 0 {
            message("no such streams");
        }
        Ok(())
    })
}
