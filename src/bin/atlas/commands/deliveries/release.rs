//! `atlas release`: a parked delivery may be tried again.

use std::path::Path;

use atlas::Scope;
use atlas::dispatch::DeliveryId;

use super::scope_of;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::Output;

/// Let a parked delivery be tried again: Pending, attempts counted from nought
///
/// Later deliveries of the same handler and stream, which waited behind it, follow. The host serves them, or the next
/// `import`, as far as they go to queues.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas release 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e/tell-customer"
)]
pub(crate) struct Arguments {
    /// The delivery's id, as `deliveries` shows it
    #[arg(value_name = "EVENT-ID/HANDLER")]
    delivery: DeliveryId,
    /// The event's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let scope = scope_of(atlas, &arguments.delivery, arguments.scope.as_ref())?;
        atlas.dispatcher().release(Some(&scope), &arguments.delivery).await?;
        if output.json {
            return output.json_line(&serde_json::json!({ "id": arguments.delivery, "released": true }));
        }
        output.line(format_args!("{} is Pending again", arguments.delivery))
    })
    .await
}
