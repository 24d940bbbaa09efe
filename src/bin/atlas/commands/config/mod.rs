//! `atlas config`: configuration trees.

mod init;
mod plan;
mod revisions;
mod schema;
mod stage;
mod watch;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use atlas::TreeScope;
use atlas::config::{ActivateOptions, Catalog, ConfigError, Target, TreeFileKind, Unbound};
use atlas::event::Name;

use super::types::application;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::table::{counted, joined};

/// Configuration trees: which handlers each event type has, for a tenant and application
///
/// On disk a tree is a folder with a JSON document for each event type,
/// VERSION/TYPE/FLOW/OPERATION/RESULT.json, such as 1/loan/offer/sent/complete.json. Importing it stages a revision;
/// activating a revision makes it the one that routes, at once and as a whole.
#[derive(Debug, clap::Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum Command {
    Init(Init),
    Import(Import),
    Check(Check),
    Plan(Plan),
    Activate(Activate),
    Rollback(Rollback),
    Show(Show),
    History(History),
    Export(Export),
    Schema(Schema),
    Watch(Watch),
}

/// Write a first tree: a document with no handlers for each type in a file of events, or of a catalogue
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas config init tree --from events.ndjson.gz          and types.json, which declares them
  atlas config init tree --application loans              the types that `atlas types list` lists")]
pub(crate) struct Init {
    /// The folder to write; must be empty or not be there
    folder: PathBuf,
    /// The file of events, NDJSON or gzipped, of one application; or - for stdin
    #[arg(long, value_name = "FILE", required_unless_present = "application")]
    from: Option<PathBuf>,
    /// The application whose catalogue of types to take
    #[arg(long, value_name = "A", value_parser = application, conflicts_with = "from")]
    application: Option<Name>,
}

/// Stage a tree as a revision; equal content is the same revision. Creates the data directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas config import tree --scope bank/loans --activate
  atlas config import pilot --scope bank/loans/pilot      a variant's tree
  atlas config import base --scope _/loans                serves all tenants without a tree of their own")]
pub(crate) struct Import {
    /// The folder of the tree
    folder: PathBuf,
    /// Whose tree it is: TENANT/APPLICATION or TENANT/APPLICATION/VARIANT, where TENANT may be _
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
    /// Activate it as well, if it is complete
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    why: Why,
}

/// Who does it, and why: recorded in the history.
#[derive(Clone, Debug, clap::Args)]
struct Why {
    /// Who does it, for the history
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Why {
    /// The catalog that records it.
    fn of(&self, catalog: &Catalog) -> Catalog {
        let catalog = self.actor.as_deref().map_or_else(|| catalog.clone(), |actor| catalog.with_actor(actor));
        self.reason.as_deref().map_or_else(|| catalog.clone(), |reason| catalog.with_reason(reason))
    }
}

/// Show what activating a revision, or a folder, would change; write nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 0 whether anything would change or not.

Examples:
  atlas config plan --scope bank/loans                    the newest revision against the active one
  atlas config plan --scope bank/loans --revision 3
  atlas config plan tree --scope bank/loans               a folder against the active revision")]
pub(crate) struct Plan {
    /// The folder of a tree
    folder: Option<PathBuf>,
    /// Whose tree
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
    /// A revision of it, instead of the newest
    #[arg(long, value_name = "REVISION", conflicts_with = "folder")]
    revision: Option<u32>,
}

/// Check a tree and write nothing; with --scope also whether it could be activated
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All faults are listed, each with its file, line and column and what was expected.

Examples:
  atlas config check tree
  atlas config check tree --scope bank/loans")]
pub(crate) struct Check {
    /// The folder of the tree
    folder: PathBuf,
    /// Whose tree it would be; its form alone is checked without, and no data directory is needed
    #[arg(long, value_name = "SCOPE")]
    scope: Option<TreeScope>,
}

/// Show the active tree of a scope: each type with its handlers
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Whose tree
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
}

/// Activate staged revisions: all of them at once, or none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas config activate bank/loans@3
  atlas config activate bank/loans@3 other/loans@4        a new type enters both at once
  atlas config activate bank/loans@3 --expect bank/loans@2
  atlas config activate _/loans@7 --dependents            and all trees that extend it, made anew from it")]
pub(crate) struct Activate {
    /// Which revision of which tree, SCOPE@REVISION
    #[arg(required = true, value_name = "SCOPE@REVISION")]
    trees: Vec<Staged>,
    #[command(flatten)]
    how: How,
}

/// How revisions are activated.
#[derive(Debug, clap::Args)]
struct How {
    /// Refuse unless this revision of a tree is the active one, SCOPE@REVISION; SCOPE@0: unless none is
    #[arg(long, value_name = "SCOPE@REVISION")]
    expect: Vec<Staged>,
    /// Make trees that extend one of these anew from it, and activate them as well
    #[arg(long)]
    dependents: bool,
    #[command(flatten)]
    why: Why,
}

impl How {
    fn options(&self) -> ActivateOptions {
        let expected = |staged: &Staged| (staged.tree.clone(), Some(staged.revision).filter(|revision| *revision > 0));
        ActivateOptions { expected: self.expect.iter().map(expected).collect(), dependents: self.dependents }
    }
}

/// Activate the revision of a tree that was active before
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas config rollback --scope bank/loans
  atlas config rollback --scope bank/loans --to 2 --reason \"3 sends letters twice\"")]
pub(crate) struct Rollback {
    /// Whose tree
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
    /// One that was active at some time, instead of the last before the active one
    #[arg(long, value_name = "REVISION")]
    to: Option<u32>,
    #[command(flatten)]
    how: How,
}

/// Write a revision into a folder, byte for byte as it was imported
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The folder to write; must be empty or not be there
    folder: PathBuf,
    /// Whose tree
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
    /// A revision of it, instead of the active one
    #[arg(long, value_name = "REVISION")]
    revision: Option<u32>,
}

/// List the revisions of a tree, and when each was staged and activated
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Whose tree
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
}

/// Print the JSON Schema of a file of a tree, for editors
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas config schema > document.schema.json
  atlas config schema types")]
pub(crate) struct Schema {
    /// Which: document, types, queues, constants or tree
    #[arg(value_name = "FILE", default_value = "document", value_parser = schema::kind)]
    kind: TreeFileKind,
}

/// For development: check a folder on each save, and activate it when it is whole. Creates the data directory
///
/// The directory is held only while the folder is imported. Ends with Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas config watch tree --scope bank/loans"
)]
pub(crate) struct Watch {
    /// The folder of the tree
    folder: PathBuf,
    /// Whose tree it is
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
    #[command(flatten)]
    why: Why,
}

#[derive(Clone, Debug)]
struct Staged {
    tree: TreeScope,
    revision: u32,
}

impl FromStr for Staged {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} names no revision; expected SCOPE@REVISION, such as bank/loans@3");
        let (tree, revision) = text.rsplit_once('@').ok_or_else(wrong)?;
        Ok(Self { tree: tree.parse().map_err(|_| wrong())?, revision: revision.parse().map_err(|_| wrong())? })
    }
}

pub(crate) async fn run(command: Command, dir: &Path, output: &mut Output) -> Outcome {
    match command {
        Command::Init(arguments) => init::run(&arguments, dir, output).await,
        Command::Import(arguments) => stage::import(&arguments, dir, output).await,
        Command::Check(arguments) => stage::check(&arguments, dir, output).await,
        Command::Plan(arguments) => plan::run(&arguments, dir, output).await,
        Command::Activate(arguments) => stage::activate(&arguments, dir, output).await,
        Command::Rollback(arguments) => stage::rollback(&arguments, dir, output).await,
        Command::Export(arguments) => revisions::export(&arguments, dir, output).await,
        Command::Schema(arguments) => schema::run(&arguments, output),
        Command::Watch(arguments) => watch::run(&arguments, dir, output).await,
        Command::Show(arguments) => revisions::show(&arguments, dir, output).await,
        Command::History(arguments) => revisions::history(&arguments, dir, output).await,
    }
}

/// An error about the tree in `folder`: each fault begins with a path that an editor can open.
pub(crate) fn about_tree(folder: &Path, error: ConfigError) -> Failure {
    let ConfigError::Faults(faults) = &error else {
        return error.into();
    };
    let lines: Vec<String> = faults.iter().map(|fault| folder.join(fault.to_string()).display().to_string()).collect();
    Failure::Located(lines.join("\n"))
}

/// Says on stderr which targets only a host calls.
fn say_unbound(unbound: &[Unbound], output: &mut Output) -> Outcome {
    output.flush()?;
    for Unbound { target, types } in unbound {
        let types = counted(types.len() as u64, "type", "types");
        let host = match target {
            Target::Http(_) => "a host that calls http (feature http-client)",
            _ => "a host with it",
        };
        message(format_args!("unbound: {target}, called for {types}; its deliveries wait for {host}"));
    }
    Ok(())
}

fn say_warnings(warnings: &[String], output: &mut Output) -> Outcome {
    output.flush()?;
    for warning in warnings {
        message(format_args!("warning: {warning}"));
    }
    Ok(())
}

/// The types that enter the catalogue, in words.
fn added(types: &[atlas::EventType]) -> String {
    match types {
        [] => "no new types".to_owned(),
        types => format!("{}: {}", counted(types.len() as u64, "new type", "new types"), joined(types)),
    }
}
