//! `atlas types`: the catalogue of event types of an application.

use std::path::{Path, PathBuf};

use atlas::config::{self, ConfigError, SchemaRef, Upcast};
use atlas::event::Name;
use atlas::{EventType, Timestamp};
use serde::Serialize;

use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::table::{Column, Table, counted, joined};

/// The catalogue of event types of an application
///
/// A tree can be active only if it has exactly one document for each type of its application's catalogue. Types enter
/// with the `types.json` of a tree that is activated, or ahead of it with `declare`.
#[derive(Debug, clap::Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum Command {
    Declare(Declare),
    List(List),
    Retire(Retire),
}

/// Add types to a catalogue; binds the next activation. Creates the data directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is JSON, as types.json in a tree. Schemas that it names by file stand in schemas/ beside it.
  [\"LOAN_OFFER_SENT_COMPLETE_1\", {\"type\": \"LOAN_OFFER_LOST_COMPLETE_1\", \"description\": \"...\"}]

Example:
  atlas types declare types.json --application loans")]
pub(crate) struct Declare {
    /// The file, or a folder with types.json in it
    file: PathBuf,
    /// The application
    #[arg(long, value_name = "A", value_parser = application)]
    application: Name,
}

/// List the types of a catalogue
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The application
    #[arg(long, value_name = "A", value_parser = application)]
    application: Name,
}

/// Remove a type: from now on it is refused, and trees need no document for it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas types retire LOAN_OFFER_LOST_COMPLETE_1 --application loans")]
pub(crate) struct Retire {
    /// The type
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The application
    #[arg(long, value_name = "A", value_parser = application)]
    application: Name,
}

pub(super) fn application(text: &str) -> Result<Name, String> {
    Name::parse("application", text).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(rename = "type")]
    event_type: &'a EventType,
    description: Option<&'a str>,
    declared_at: Timestamp,
    retired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a SchemaRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upcast: Option<&'a Upcast>,
}

#[derive(Serialize)]
struct Retired<'a> {
    #[serde(rename = "type")]
    event_type: &'a EventType,
    /// It had been retired before.
    repeated: bool,
}

pub(crate) async fn run(command: Command, dir: &Path, output: &mut Output) -> Outcome {
    match command {
        Command::Declare(arguments) => declare(&arguments, dir, output).await,
        Command::List(arguments) => list(&arguments, dir, output).await,
        Command::Retire(arguments) => retire(&arguments, dir, output).await,
    }
}

async fn declare(arguments: &Declare, dir: &Path, output: &mut Output) -> Outcome {
    // Before the directory is made: a file that can't be used leaves nothing behind.
    let types = config::read_types(&arguments.file).map_err(|error| match error {
        ConfigError::Faults(_) => Failure::Located(error.to_string()),
        ConfigError::Io { path, source } => Failure::at(path.display(), format_args!("cannot be read: {source}")),
        other => other.into(),
    })?;
    directory::work(dir, Opening::Create, async |atlas| {
        let declared = atlas.catalog().types_declare(&arguments.application, &types)?;
        if output.json {
            return output.json_line(&declared);
        }
        let added = counted(declared.added.len() as u64, "type", "types");
        let known = declared.known;
        output.line(format_args!("{}: {added} declared, {known} known already", arguments.application))?;
        if !declared.changed.is_empty() {
            output.line(format_args!("more is known of: {}", joined(&declared.changed)))?;
        }
        if !declared.added.is_empty() {
            output.line(format_args!("{}; the next activation needs a document for each", joined(&declared.added)))?;
        }
        Ok(())
    })
    .await
}

async fn list(arguments: &List, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let types = atlas.catalog().types_list(&arguments.application)?;
        let rows = types.iter().map(|known| Row {
            event_type: &known.declaration.event_type,
            description: known.declaration.description.as_deref(),
            declared_at: Timestamp::from_micros(known.declared_at),
            retired_at: known.retired_at.map(Timestamp::from_micros),
            schema: known.declaration.schema.as_ref(),
            upcast: known.declaration.upcast.as_ref(),
        });
        if output.json {
            return output.json_array(rows.map(Ok));
        }
        let columns =
            [Column::Text("TYPE"), Column::Text("STANDING"), Column::Text("HAS"), Column::Text("DESCRIPTION")];
        let mut table = Table::new(columns);
        for row in rows {
            let standing = if row.retired_at.is_some() { "retired" } else { "declared" };
            let description = row.description.unwrap_or_default().to_owned();
            let has = [row.schema.map(|_| "schema"), row.upcast.map(|_| "upcast")];
            let has = joined(has.into_iter().flatten());
            table.row(output, [row.event_type.to_string(), standing.to_owned(), has, description])?;
        }
        if table.end(output)? == 0 {
            message(format_args!("{}: no types are declared", arguments.application));
        }
        Ok(())
    })
    .await
}

async fn retire(arguments: &Retire, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let event_type: EventType = arguments.event_type.parse()?;
        let changed = atlas.catalog().types_retire(&arguments.application, &event_type)?;
        if output.json {
            return output.json_line(&Retired { event_type: &event_type, repeated: !changed });
        }
        let already = if changed { "" } else { " already" };
        output.line(format_args!("{}: {event_type} is retired{already}", arguments.application))
    })
    .await
}
