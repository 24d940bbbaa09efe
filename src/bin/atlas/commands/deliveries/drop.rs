//! `atlas drop`: a delivery is given up.

use std::path::Path;

use atlas::Scope;
use atlas::dispatch::DeliveryId;

use super::scope_of;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::Output;

/// Give a delivery up: Complete, Failure, with a reason. This is final
///
/// Later deliveries of the same handler and stream, which waited behind it, follow.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas drop 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e/tell-customer --reason \"the customer called\""
)]
pub(crate) struct Arguments {
    /// The delivery's id, as `deliveries` shows it
    #[arg(value_name = "EVENT-ID/HANDLER")]
    delivery: DeliveryId,
    /// The event's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Why; kept in the log
    #[arg(long, value_name = "TEXT", default_value = "dropped from the command line")]
    reason: String,
    /// Who does it; kept in the log
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let scope = scope_of(atlas, &arguments.delivery, arguments.scope.as_ref())?;
        let dispatcher = super::acting(atlas, arguments.actor.as_deref());
        dispatcher.drop_delivery(Some(&scope), &arguments.delivery, &arguments.reason).await?;
        if output.json {
            return output.json_line(&serde_json::json!({ "id": arguments.delivery, "dropped": true }));
        }
        output.line(format_args!("{} is Complete, Failure: dropped", arguments.delivery))
    })
    .await
}
