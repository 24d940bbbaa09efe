//! `atlas explain`: why an event goes where it goes.

use std::path::Path;

use atlas::{Scope, Uuid};

use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Explain how a type, or a recorded event, is routed: tree, revision, document, handlers in their order
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas explain LOAN_OFFER_SENT_COMPLETE_1 --scope bank/loans
  atlas explain 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e")]
pub(crate) struct Arguments {
    /// An event type, or the id of a recorded event
    #[arg(value_name = "TYPE|EVENT-ID")]
    what: String,
    /// The scope, TENANT/APPLICATION or TENANT/APPLICATION/VARIANT; for a type it is needed
    #[arg(long, value_name = "SCOPE")]
    scope: Option<TreeScope>,
}
