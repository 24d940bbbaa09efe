//! `atlas what-if`: recorded history through a tree that isn't active, with no effect.

use std::path::{Path, PathBuf};

use atlas::routing::{Against, Attempted, Compared, Differing, RouteError, WhatIf, WhatIfOutcome};
use atlas::{Scope, Timestamp, TreeScope};
use serde::Serialize;

use super::config::about_tree;
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::table::{Column, Table, clipped, counted, thousands};

/// Run recorded history through a tree, with no effect: what would be routed otherwise
///
/// Each event that the tree would serve is routed by it, guards and transforms included, and by what it was routed by (or
/// with --against active, by what is active now). Events that differ are told one a line; then, by handler, for how many
/// events it was and would be called. With --json, one JSON object a line: events that differ, then the outcome.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas what-if tree --scope bank/loans
  atlas what-if tree --scope bank/loans --type LOAN_OFFER_ --full 3
  atlas what-if tree --scope bank/loans --from 2026-01-01T00:00:00Z --quiet"
)]
pub(crate) struct Arguments {
    /// The folder of the tree
    folder: PathBuf,
    /// Whose tree it would be
    #[arg(long, value_name = "SCOPE")]
    scope: TreeScope,
    /// Only events after this position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// Only events up to this position
    #[arg(long, value_name = "POSITION")]
    up_to: Option<u64>,
    /// Only events of this scope, where the tree serves several
    #[arg(long, value_name = "SCOPE")]
    only: Option<Scope>,
    /// Only events whose type begins so, such as LOAN_OFFER_
    #[arg(long = "type", value_name = "PREFIX")]
    type_prefix: Option<String>,
    /// Only events recorded at or after this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only events recorded before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,
    /// What the tree is held against
    #[arg(long, value_enum, default_value_t = Than::Recorded)]
    against: Than,
    /// Tell so many of the events that differ in full, with the data of calls
    #[arg(long, value_name = "N", default_value_t = 0)]
    full: usize,
    /// Tell the counts alone
    #[arg(long)]
    quiet: bool,
    /// How many threads read; as many as there are processors where absent
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Than {
    /// The revision that each event was routed by; what is active for those that were routed by none
    Recorded,
    /// What is active now
    Active,
}

#[derive(Serialize)]
struct Told<'a> {
    outcome: &'a WhatIfOutcome,
}

/// Why a run ended early.
enum Ended {
    Routing(RouteError),
    Telling(Failure),
}

impl From<RouteError> for Ended {
    fn from(error: RouteError) -> Self {
        Self::Routing(error)
    }
}

pub(crate) async fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Look, async |atlas| {
        let options = WhatIf {
            after: arguments.after,
            up_to: arguments.up_to,
            scope: arguments.only.clone(),
            type_prefix: arguments.type_prefix.clone(),
            from: arguments.from.map(Timestamp::micros),
            before: arguments.before.map(Timestamp::micros),
            against: match arguments.against {
                Than::Recorded => Against::Recorded,
                Than::Active => Against::Active,
            },
            in_full: arguments.full,
            threads: arguments.threads,
        };
        let last = arguments.up_to.unwrap_or(u64::MAX).min(atlas.store().last_position());
        let progress = Progress::items("what if", last.saturating_sub(arguments.after));
        let each = |differing: Differing| -> Result<(), Ended> {
            if arguments.quiet {
                return Ok(());
            }
            let told =
                progress.aside(|| if output.json { output.json_line(&differing) } else { line(&differing, output) });
            told.map_err(Ended::Telling)
        };
        let outcome =
            atlas.router().what_if(atlas.store(), &arguments.folder, &arguments.scope, &options, each, |done, _| {
                progress.set(done)
            });
        drop(progress);
        let outcome = outcome.map_err(|ended| match ended {
            // Faults of the folder, each with a path that an editor can open.
            Ended::Routing(RouteError::Config(error)) => about_tree(&arguments.folder, error),
            Ended::Routing(error) => error.into(),
            Ended::Telling(failure) => failure,
        })?;
        if output.json { output.json_line(&Told { outcome: &outcome }) } else { summary(&outcome, output) }
    })
    .await
}

fn line(differing: &Differing, output: &mut Output) -> Outcome {
    let Differing { position, id, stream, event_type, handlers, routed, .. } = differing;
    let said = |attempted: &Option<Attempted>| match attempted {
        Some(attempted) => format!("{} ({})", attempted.what, attempted.target),
        None => "not there".to_owned(),
    };
    let mut what: Vec<String> = handlers
        .iter()
        .map(|handler| match (&handler.before, &handler.after) {
            (Some(before), Some(after)) if before.target == after.target && before.what == after.what => {
                format!("{}: {} with other data", handler.name, said(&handler.after))
            }
            (before, after) => format!("{}: {} -> {}", handler.name, said(before), said(after)),
        })
        .collect();
    match routed {
        (true, false) => what.push("the type has no document any more".to_owned()),
        (false, true) => what.push("the type had no document".to_owned()),
        _ => {}
    }
    let what = what.join("; ");
    output.line(format_args!("{position} {id} {event_type} {} {what}", clipped(stream, 40)))?;
    for handler in handlers {
        for (when, attempted) in [("before", &handler.before), ("after", &handler.after)] {
            if let Some(trial) = attempted.as_ref().and_then(|attempted| attempted.trial.as_ref()) {
                output.line(format_args!("    {} {when}: {}", handler.name, serde_json::to_string(trial)?))?;
            }
        }
    }
    Ok(())
}

fn summary(outcome: &WhatIfOutcome, output: &mut Output) -> Outcome {
    let WhatIfOutcome { events, differing, unrouted_before, unrouted_after, handlers } = outcome;
    let mut table = Table::new([
        Column::Text("HANDLER"),
        Column::Number("EVENTS"),
        Column::Number("THEN"),
        Column::Number("CALLS"),
        Column::Number("THEN"),
        Column::Number("SKIPPED"),
        Column::Number("THEN"),
        Column::Number("FAILED"),
        Column::Number("THEN"),
    ]);
    for (name, Compared { before, after }) in handlers {
        let pair = |of: fn(&atlas::routing::Counts) -> u64| [thousands(of(before)), thousands(of(after))];
        let [events, calls] = [pair(|counts| counts.events), pair(|counts| counts.calls)];
        let [skipped, failed] = [pair(|counts| counts.skipped), pair(|counts| counts.failed)];
        let mut row = vec![name.to_string()];
        row.extend([events, calls, skipped, failed].into_iter().flatten());
        if let Ok(row) = row.try_into() {
            table.row(output, row)?;
        }
    }
    table.end(output)?;
    let (events, differing) = (counted(*events, "event", "events"), thousands(*differing));
    if outcome.events == 0 {
        let why = "no event of the range would be served by this tree: its scope has none, or a tree that is looked for first";
        return output.line(why);
    }
    output.line(format_args!("{events}, {differing} would be routed otherwise"))?;
    for (count, when) in [(unrouted_before, "now"), (unrouted_after, "then")] {
        if *count > 0 {
            output.line(format_args!("{} without a document for their type {when}", thousands(*count)))?;
        }
    }
    Ok(())
}
