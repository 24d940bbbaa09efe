//! `atlas status`: what has become of one event.

use std::path::Path;

use atlas::dispatch::{DeliveryStatus, EventStatus, Outcome as Ended, Phase};

use crate::commands::get::EventArguments;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, Paint};
use crate::table::{Column, Table, counted, joined};

/// Show what has become of an event: its deliveries and what was skipped
///
/// Pending, InProcess, Complete; Success or Failure once it is Complete, with all that it caused. A Pending delivery
/// that is parked is out of attempts and waits for `release` or `drop`.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas status 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e
  atlas --json status 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e | jq '.deliveries[] | select(.parked)'"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    event: EventArguments,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Look, async |atlas| {
        let event = arguments.event.find(atlas.store())?;
        let status = atlas.dispatcher().status(Some(event.scope()), event.id()).await?;
        if output.json { output.json_line(&status) } else { text(&status, output) }
    })
    .await
}

fn text(status: &EventStatus, output: &mut Output) -> Outcome {
    let how = match (status.imported, status.revision) {
        (true, _) => ", imported as recorded history".to_owned(),
        (false, Some(revision)) => format!(", routed by revision {revision} in {}", status.scope),
        (false, None) => format!(", not routed, in {}", status.scope),
    };
    output.line(format_args!("{}: {}{how}", status.id, standing(status.phase, status.outcome, output.paint)))?;
    let mut table = Table::new([Column::Text("HANDLER"), Column::Number("ATTEMPTS"), Column::Text("STANDING")]);
    for delivery in &status.deliveries {
        let row =
            [delivery.handler.to_string(), delivery.attempts.to_string(), delivery_standing(delivery, output.paint)];
        table.row(output, row)?;
    }
    table.end(output)?;
    if !status.skipped.is_empty() {
        output.line(format_args!("skipped, as their guards say no: {}", joined(&status.skipped)))?;
    }
    if status.caused > 0 {
        let caused = counted(status.caused, "event", "events");
        output.line(format_args!("it caused {caused}; `atlas cascade` shows them"))?;
    }
    Ok(())
}

/// Where a delivery stands, with what is to be said about it, in its colour.
pub(crate) fn delivery_standing(delivery: &DeliveryStatus, paint: Paint) -> String {
    let standing = match delivery.parked {
        true => paint.bad("parked"),
        false => standing(delivery.phase, delivery.outcome, paint),
    };
    match &delivery.error {
        Some(error) => format!("{standing}: {error}"),
        None => standing,
    }
}

/// A phase with its outcome, in its colour.
fn standing(phase: Phase, outcome: Option<Ended>, paint: Paint) -> String {
    match (phase, outcome) {
        (_, Some(Ended::Success)) => paint.good("Complete, Success"),
        (_, Some(Ended::Failure)) => paint.bad("Complete, Failure"),
        (Phase::Pending, None) => paint.waiting("Pending"),
        (Phase::InProcess, None) => paint.waiting("InProcess"),
        (Phase::Complete, None) => paint.good("Complete"),
    }
}
