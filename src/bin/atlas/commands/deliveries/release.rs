//! `atlas release`: a parked delivery may be tried again.

use std::path::Path;

use atlas::Scope;

use super::Which;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, message};

/// Let a parked delivery be tried again: Pending, attempts counted from nought
///
/// Later deliveries of the same handler and stream, which waited behind it, follow. The host serves them, or the next
/// `import`, as far as they go to queues.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = "\
Example:
  atlas release 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e/tell-customer")]
pub(crate) struct Arguments {
    /// The delivery's id, as `deliveries` shows it
    #[arg(value_name = "EVENT-ID/HANDLER")]
    delivery: Which,
    /// The event's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}
