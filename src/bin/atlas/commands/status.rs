//! `atlas status`: what has become of one event.

use std::path::Path;

use atlas::dispatch::{DeliveryStatus, EventStatus, Outcome as Result, Phase};
use atlas::{Scope, Uuid};

use crate::commands::get::the_event;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, Paint};
use crate::table::{Column, Table};

/// Show what has become of an event: its deliveries and what was skipped
///
/// Pending, InProcess, Complete; Success or Failure once it is Complete, with all that it caused. A Pending delivery
/// that is parked is out of attempts and waits for `release` or `drop`.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = "\
Examples:
  atlas status 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e
  atlas --json status 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e | jq '.deliveries[] | select(.parked)'")]
pub(crate) struct Arguments {
    /// The event's id
    #[arg(value_name = "EVENT-ID")]
    id: Uuid,
    /// The event's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let event = the_event(atlas.store(), arguments.id, arguments.scope.as_ref())?;
        let scope = event.scope();
        let status = atlas.scope(scope.tenant().as_str(), scope.application().as_str()).status(arguments.id).await?;
        if output.json { output.json_line(&status) } else { text(&status, output) }
    })
    .await
}

fn text(status: &EventStatus, output: &mut Output) -> Outcome {
    let paint = output.paint;
    let revision = status.revision.map(|revision| format!(", routed by revision {revision}")).unwrap_or_default();
    output.line(format_args!("{} {}{revision}", status.id, phase(status.phase, status.outcome, paint)))?;
    let mut table = Table::new([
        Column::Text("HANDLER"),
        Column::Text("PHASE"),
        Column::Text("OUTCOME"),
        Column::Number("ATTEMPTS"),
        Column::Text("NOTE"),
    ]);
    for delivery in &status.deliveries {
        let outcome = delivery.outcome.map(|outcome| format!("{outcome:?}")).unwrap_or_default();
        let row = [
            delivery.handler.to_string(),
            format!("{:?}", delivery.phase),
            outcome,
            delivery.attempts.to_string(),
            note(delivery),
        ];
        table.row(output, row)?;
    }
    table.end(output)?;
    for handler in &status.skipped {
        output.line(format_args!("skipped: {handler}"))?;
    }
    Ok(())
}

/// What is to be said about a delivery besides its phase and outcome.
pub(crate) fn note(delivery: &DeliveryStatus) -> String {
    let parked = delivery.parked.then_some("parked");
    parked.into_iter().chain(delivery.error.as_deref()).collect::<Vec<_>>().join(": ")
}

/// A phase with its outcome, in its colour.
pub(crate) fn phase(phase: Phase, outcome: Option<Result>, paint: Paint) -> String {
    match outcome {
        Some(Result::Success) => paint.good("Complete, Success"),
        Some(Result::Failure) => paint.bad("Complete, Failure"),
        None => paint.waiting(format_args!("{phase:?}")),
    }
}
