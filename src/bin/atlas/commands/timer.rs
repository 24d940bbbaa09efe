//! `atlas timer`: events that are to come in at a time.

use std::path::Path;

use atlas::dispatch::TimerInfo;
use atlas::{Scope, Uuid};

use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, message};
use crate::table::{Column, Table, thousands};

/// Timers: events that are to come in at a time
///
/// A host sets them, or a handler; a host that serves the store fires them when they are due.
#[derive(Debug, clap::Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum Command {
    List(List),
    Cancel(Cancel),
    Schedules(Schedules),
}

/// List the timers that are set, by time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas timer list --scope bank/loans")]
pub(crate) struct List {
    /// Only those of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
}

/// Take a timer back: its event never comes in
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas timer cancel 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e --scope bank/loans --reason \"paid\"")]
pub(crate) struct Cancel {
    /// The timer's id, as `list` shows it
    #[arg(value_name = "TIMER-ID")]
    id: Uuid,
    /// Its scope
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    /// Why; kept in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who does it; kept in the log
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

/// List the schedules that hold, with when each occurs next
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas timer schedules --scope bank/loans")]
pub(crate) struct Schedules {
    /// Only those of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

pub(crate) async fn run(command: Command, dir: &Path, output: &mut Output) -> Outcome {
    match command {
        Command::List(arguments) => list(arguments, dir, output).await,
        Command::Cancel(arguments) => cancel(arguments, dir, output).await,
        Command::Schedules(arguments) => schedules(arguments, dir, output).await,
    }
}

async fn list(arguments: List, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let limit = arguments.limit;
        let mut timers = atlas.dispatcher().timers(arguments.scope.as_ref(), limit.saturating_add(1)).await?;
        let more = timers.len() > limit;
        timers.truncate(limit);
        if output.json {
            output.json_array(timers.iter().map(Ok))?;
        } else {
            table(&timers, output)?;
        }
        if more {
            output.flush()?;
            message(format_args!("there are more than these {}; see --limit", thousands(limit as u64)));
        } else if timers.is_empty() && !output.json {
            message("no timers are set");
        }
        Ok(())
    })
    .await
}

fn table(timers: &[TimerInfo], output: &mut Output) -> Outcome {
    let columns = ["DUE", "SCOPE", "TIMER", "TYPE", "STREAM"].map(Column::Text);
    let mut table = Table::new(columns);
    for TimerInfo { id, scope, due, event_type, stream, .. } in timers {
        table.row(output, [due.to_string(), scope.to_string(), id.to_string(), event_type.clone(), stream.clone()])?;
    }
    table.end(output)?;
    Ok(())
}

async fn cancel(arguments: Cancel, dir: &Path, output: &mut Output) -> Outcome {
    let Cancel { id, scope, reason, actor } = arguments;
    directory::work(dir, Opening::Existing, async |atlas| {
        let dispatcher = super::deliveries::acting(atlas, actor.as_deref());
        dispatcher.cancel_timer(&scope, id, reason.as_deref()).await?;
        if output.json {
            return output.json_line(&serde_json::json!({ "id": id, "cancelled": true }));
        }
        output.line(format_args!("{id} is cancelled"))
    })
    .await
}

async fn schedules(arguments: Schedules, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let schedules = atlas.dispatcher().schedules(arguments.scope.as_ref()).await?;
        if output.json {
            return output.json_array(schedules.iter().map(Ok));
        }
        let mut table = Table::new(["SCOPE", "SCHEDULE", "CRON", "TYPE", "STREAM", "NEXT"].map(Column::Text));
        for of in &schedules {
            let name = match &of.variant {
                Some(variant) => format!("{variant}/{}", of.name),
                None => of.name.to_string(),
            };
            let next = of.next.map_or_else(|| "never".to_owned(), |next| next.to_string());
            let cron = format!("{} {}", of.cron, of.time_zone);
            table.row(output, [of.scope.to_string(), name, cron, of.event_type.clone(), of.stream.clone(), next])?;
        }
        if table.end(output)? == 0 {
            message("no schedules hold");
        }
        Ok(())
    })
    .await
}
