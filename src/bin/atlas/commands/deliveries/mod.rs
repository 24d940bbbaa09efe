//! `atlas deliveries`, `release` and `drop`: what waits, and what operators do about it.

pub(crate) mod drop;
pub(crate) mod release;

use std::path::Path;

use atlas::dispatch::{DeliveryFilter, DeliveryId, Dispatcher, HandlerLag, Obstacle, OpenDelivery};
use atlas::event::Name;
use atlas::{Atlas, Scope};

use crate::commands::get::the_event;
use crate::commands::status::delivery_standing;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, message};
use crate::table::{Column, Table, thousands};

/// List deliveries that are not complete
///
/// A delivery is one event for one handler. One that is parked is out of attempts: it waits for `release` or `drop`,
/// and later deliveries of the same handler and stream wait behind it. One to a function waits for a host that has it.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas deliveries
  atlas deliveries --parked --scope bank/loans
  atlas deliveries --lag
  atlas --json deliveries --parked | jq -r '.[].id'"
)]
pub(crate) struct Arguments {
    /// Only those that are parked
    #[arg(long)]
    parked: bool,
    /// Only those of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Only those of this handler
    #[arg(long, value_name = "HANDLER", value_parser = handler)]
    handler: Option<Name>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// How far each handler is behind, instead: in deliveries and in time
    #[arg(long, conflicts_with_all = ["parked", "handler", "limit"])]
    lag: bool,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        if arguments.lag {
            return lag(&atlas.dispatcher().lag(arguments.scope.as_ref()).await?, output);
        }
        let limit = arguments.limit;
        let Arguments { parked, scope, handler, .. } = arguments;
        let filter = DeliveryFilter { scope, handler, parked, limit: limit.saturating_add(1) };
        let mut deliveries = atlas.dispatcher().deliveries(filter).await?;
        let more = deliveries.len() > limit;
        deliveries.truncate(limit);
        if output.json {
            output.json_array(deliveries.iter().map(Ok))?;
        } else {
            table(&deliveries, output)?;
        }
        if more {
            output.flush()?;
            message(format_args!("there are more than these {}; see --limit", thousands(limit as u64)));
        } else if deliveries.is_empty() && !output.json {
            message(if parked { "nothing is parked" } else { "no delivery is open, of those asked for" });
        }
        Ok(())
    })
    .await
}

fn lag(handlers: &[HandlerLag], output: &mut Output) -> Outcome {
    if output.json {
        return output.json_array(handlers.iter().map(Ok));
    }
    let columns = [
        Column::Text("SCOPE"),
        Column::Text("HANDLER"),
        Column::Number("OPEN"),
        Column::Number("PARKED"),
        Column::Text("OLDEST"),
        Column::Number("SECONDS BEHIND"),
    ];
    let mut table = Table::new(columns);
    for HandlerLag { scope, handler, open, parked, oldest, lag_micros } in handlers {
        let seconds = format!("{:.1}", *lag_micros as f64 / 1e6);
        let row =
            [scope.to_string(), handler.to_string(), thousands(*open), thousands(*parked), oldest.to_string(), seconds];
        table.row(output, row)?;
    }
    if table.end(output)? == 0 {
        message("no delivery is open, of those asked for");
    }
    Ok(())
}

fn table(deliveries: &[OpenDelivery], output: &mut Output) -> Outcome {
    let columns = [
        Column::Text("SCOPE"),
        Column::Text("EVENT/HANDLER"),
        Column::Text("TYPE"),
        Column::Text("STREAM"),
        Column::Number("ATTEMPTS"),
        Column::Text("STANDING"),
    ];
    let mut table = Table::new(columns);
    for open in deliveries {
        let mut standing = delivery_standing(&open.delivery, output.paint);
        if let Some(why) = open.obstacle.and_then(obstacle) {
            standing = format!("{standing}, {why}");
        }
        if let Some(next) = open.next_attempt {
            standing = format!("{standing}, next attempt {next}");
        }
        let row = [
            open.scope.to_string(),
            open.delivery.id.to_string(),
            open.event_type.clone(),
            open.stream.clone(),
            open.delivery.attempts.to_string(),
            standing,
        ];
        table.row(output, row)?;
    }
    table.end(output)?;
    Ok(())
}

/// What keeps a delivery from going on, where its standing doesn't say it already.
pub(crate) fn obstacle(obstacle: Obstacle) -> Option<&'static str> {
    match obstacle {
        Obstacle::Unbound => Some("unbound: waits for a host that calls its target"),
        Obstacle::QueueFull => Some("its queue is full"),
        Obstacle::Behind => Some("behind an earlier one"),
        _ => None,
    }
}

/// The name of a handler, from the command line.
fn handler(text: &str) -> Result<Name, String> {
    Name::parse("handler", text).map_err(|error| error.to_string())
}

/// Dispatch, with who acts where that is said.
pub(crate) fn acting(atlas: &Atlas, actor: Option<&str>) -> Dispatcher {
    actor.map_or_else(|| atlas.dispatcher().clone(), |actor| atlas.dispatcher().with_actor(actor))
}

/// The scope of a delivery's event.
fn scope_of(atlas: &Atlas, delivery: &DeliveryId, scope: Option<&Scope>) -> Outcome<Scope> {
    Ok(the_event(atlas.store(), delivery.event, scope)?.scope().clone())
}
