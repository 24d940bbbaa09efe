//! `atlas cascade`: all that one request set off, as a tree.

use std::path::Path;

use atlas::{Scope, Uuid};

use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::Output;

/// Show all that one request set off, as a tree
///
/// A cascade is all events with one correlation id, each under the event that caused it, with its deliveries. An event
/// that nothing caused has its own id as correlation id.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = "\
Example:
  atlas cascade 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e")]
pub(crate) struct Arguments {
    /// The correlation id
    #[arg(value_name = "CORRELATION-ID")]
    id: Uuid,
    /// The scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}
