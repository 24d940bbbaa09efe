//! `atlas release`: parked deliveries may be tried again.

use std::path::Path;

use atlas::Scope;
use atlas::dispatch::DeliveryId;
use atlas::event::Name;

use super::{handler, scope_of};
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::counted;

/// Let parked deliveries be tried again: Pending, attempts counted from nought
///
/// Later deliveries of the same handler and stream, which waited behind, follow. The host serves them, or the next
/// `import`, as far as they go to queues.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas release 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e/tell-customer
  atlas release --all --handler tell-customer --reason \"the mail server is back\""
)]
pub(crate) struct Arguments {
    /// The delivery's id, as `deliveries` shows it
    #[arg(value_name = "EVENT-ID/HANDLER", required_unless_present = "all", conflicts_with = "all")]
    delivery: Option<DeliveryId>,
    /// All that are parked, of --handler and --scope where they are given
    #[arg(long)]
    all: bool,
    /// With --all: those of this handler
    #[arg(long, value_name = "HANDLER", value_parser = handler, requires = "all")]
    handler: Option<Name>,
    /// The event's scope, where several scopes know the id; with --all, those of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Why; kept in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who does it; kept in the log
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    let Arguments { delivery, all, handler, scope, reason, actor } = arguments;
    directory::work(dir, Opening::Existing, async |atlas| {
        let dispatcher = super::acting(atlas, actor.as_deref());
        match &delivery {
            Some(delivery) => {
                let scope = scope_of(atlas, delivery, scope.as_ref())?;
                dispatcher.release(Some(&scope), delivery, reason.as_deref()).await?;
                if output.json {
                    return output.json_line(&serde_json::json!({ "id": delivery, "released": true }));
                }
                output.line(format_args!("{delivery} is Pending again"))
            }
            None if all => {
                let released = dispatcher.release_all(scope.as_ref(), handler.as_ref(), reason.as_deref()).await?;
                if output.json {
                    return output.json_line(&serde_json::json!({ "released": released }));
                }
                output.line(format_args!("{} Pending again", counted(released, "delivery is", "deliveries are")))
            }
            None => Err(Failure::Usage("expected EVENT-ID/HANDLER or --all".to_owned())),
        }
    })
    .await
}
