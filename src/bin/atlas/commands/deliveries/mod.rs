//! `atlas deliveries`, `release` and `drop`: what waits, and what operators do about it.

pub(crate) mod drop;
pub(crate) mod release;

use std::path::Path;

use atlas::Scope;

use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, message};
use crate::table::{Column, Table};

/// List deliveries that are not complete
///
/// A delivery is one event for one handler. One that is parked is out of attempts: it waits for `release` or `drop`,
/// and later deliveries of the same handler and stream wait behind it. One to a function waits for a host that has it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = "\
Examples:
  atlas deliveries
  atlas deliveries --parked --scope bank/loans
  atlas --json deliveries --parked | jq -r '.[].id'")]
pub(crate) struct Arguments {
    /// Only those that are parked
    #[arg(long)]
    parked: bool,
    /// Only those of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}
