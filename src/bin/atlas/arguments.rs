//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    cascade, config, deliveries, explain, export, get, import, queue, rebuild, state, stats, status, stream, streams,
    timer, trail, types, verify, what_if,
};

/// Atlas: an embedded event store and orchestration engine.
///
/// Events come in, a configuration tree says what each means for its tenant and application, they are durable in one
/// log, reach their handlers in order of weight, and each stream's state can be had at any version or time.
#[derive(Debug, Parser)]
#[command(name = "atlas", verbatim_doc_comment, version, arg_required_else_help = true, after_help = FIRST_STEPS)]
pub(crate) struct Arguments {
    /// The data directory
    ///
    /// Made by `config import`, `config watch`, `types declare` and `import --as-recorded`; all other commands need one that exists.
    #[arg(long, global = true, value_name = "DIR", default_value = "atlas-data", help_heading = "Global options")]
    pub(crate) dir: PathBuf,

    /// Print results as JSON, for machines
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const FIRST_STEPS: &str = "\
First steps, from a file of events:
  atlas config init tree --from events.ndjson      write a tree with a document for each type in the file
  $EDITOR tree/1/...                                add handlers where something shall happen
  atlas config import tree --scope bank/loans --activate
  atlas import events.ndjson
  atlas queue list                                  what waits for workers
  atlas state bank/loans loan-1                     what a stream has come to

SCOPE is TENANT/APPLICATION, such as bank/loans; a tree may also be of a variant, bank/loans/pilot, or of the
default tenant, _/loans. Results are on stdout, messages on stderr; the exit code is 0 for done, 1 for refused
or failed, 2 for wrong usage.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(import::Arguments),
    Export(export::Arguments),
    Streams(streams::Arguments),
    Stream(stream::Arguments),
    State(state::Arguments),
    Get(get::Arguments),
    Status(status::Arguments),
    Trail(trail::Arguments),
    Cascade(cascade::Arguments),
    #[command(subcommand)]
    Types(types::Command),
    #[command(subcommand)]
    Queue(queue::Command),
    #[command(subcommand)]
    Timer(timer::Command),
    #[command(subcommand)]
    Config(config::Command),
    Explain(explain::Arguments),
    WhatIf(what_if::Arguments),
    Deliveries(deliveries::Arguments),
    Release(deliveries::release::Arguments),
    Drop(deliveries::drop::Arguments),
    Stats(stats::Arguments),
    Verify(verify::Arguments),
    Rebuild(rebuild::Arguments),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
