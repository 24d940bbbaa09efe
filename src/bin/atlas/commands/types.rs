//! `atlas types`: the catalogue of event types of an application.

use std::path::{Path, PathBuf};

use atlas::event::Name;

use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::table::{Column, Table, counted};

/// The catalogue of event types of an application
///
/// A tree can be active only if it has exactly one document for each type of its application's catalogue. Types enter
/// with the `types.json` of a tree that is activated, or ahead of it with `declare`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Declare(Declare),
    List(List),
    Retire(Retire),
}

/// Add types to a catalogue; binds the next activation. Creates the data directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is JSON, as types.json in a tree:
  [\"LOAN_OFFER_SENT_COMPLETE_1\", {\"type\": \"LOAN_OFFER_LOST_COMPLETE_1\", \"description\": \"...\"}]

Example:
  atlas types declare types.json --application loans")]
pub(crate) struct Declare {
    /// The file
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

fn application(text: &str) -> Result<Name, String> {
    Name::parse("application", text).map_err(|error| error.to_string())
}
