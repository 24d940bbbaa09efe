//! `atlas queue`: named queues, from which workers take messages.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use atlas::dispatch::QueueMessage;
use atlas::event::Name;
use atlas::{Atlas, Scope, TreeScope, Uuid};
use serde::Serialize;

use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::sizes;
use crate::table::{Column, Table, clipped, joined};

/// Named queues: what handlers with a queue as target have put there for workers
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(List),
    Peek(Peek),
    Take(Take),
    Ack(Ack),
}

/// List queues with their depth and how many messages are leased
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only queues of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

/// Show the first messages of a queue and leave them there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas queue peek mail --scope bank/loans --max 3")]
pub(crate) struct Peek {
    /// The queue
    #[arg(value_parser = queue)]
    queue: Name,
    /// The queue's scope
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    /// At most so many messages
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
}

/// Take messages from a queue under a lease
///
/// A message that is taken is hidden from others until its lease ends. `ack` it when its work is done; otherwise it
/// can be taken again after that.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas --json queue take mail --scope bank/loans --max 1 --lease 5m | jq -r '.[].id'
  atlas queue ack MESSAGE-ID"
)]
pub(crate) struct Take {
    /// The queue
    #[arg(value_parser = queue)]
    queue: Name,
    /// The queue's scope
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    /// At most so many messages
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// How long they are hidden from others
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = sizes::some_duration)]
    lease: Duration,
}

/// Acknowledge a message: its work is done, and it leaves its queue
#[derive(Debug, clap::Args)]
pub(crate) struct Ack {
    /// The message's id, as `take` shows it
    #[arg(value_name = "MESSAGE-ID")]
    id: Uuid,
    /// The queue's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

fn queue(text: &str) -> Result<Name, String> {
    Name::parse("queue", text).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Row<'a> {
    scope: &'a Scope,
    name: &'a Name,
    depth: u64,
    leased: u64,
}

/// How much of a message's data a table shows, in characters.
const DATA_SHOWN: usize = 100;

pub(crate) async fn run(command: Command, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| match command {
        Command::List(arguments) => list(atlas, &arguments, output).await,
        Command::Peek(Peek { queue, scope, max }) => {
            let messages = atlas.dispatcher().peek(&scope, &queue, max as usize).await?;
            show(atlas, &scope, &queue, &messages, output)
        }
        Command::Take(Take { queue, scope, max, lease }) => {
            let messages = atlas.dispatcher().take(&scope, &queue, max as usize, lease).await?;
            show(atlas, &scope, &queue, &messages, output)
        }
        Command::Ack(arguments) => {
            atlas.dispatcher().acknowledge(arguments.scope.as_ref(), arguments.id).await?;
            if output.json {
                return output.json_line(&serde_json::json!({ "id": arguments.id, "acknowledged": true }));
            }
            output.line(format_args!("{} is acknowledged", arguments.id))
        }
    })
    .await
}

/// Queues that trees in use configure, also empty ones, and all that hold messages.
async fn list(atlas: &Atlas, arguments: &List, output: &mut Output) -> Outcome {
    let mut queues: BTreeMap<(Scope, Name), (u64, u64)> = BTreeMap::new();
    let trees = atlas.catalog().trees()?;
    let scopes = trees.iter().filter_map(|known| TreeScope::scope(&known.tree)).chain(arguments.scope.clone());
    for scope in scopes.filter(|scope| arguments.scope.as_ref().is_none_or(|wanted| wanted == scope)) {
        for name in atlas.catalog().queues(&scope).into_keys() {
            queues.insert((scope.clone(), name), (0, 0));
        }
    }
    for info in atlas.dispatcher().queues(arguments.scope.as_ref()).await? {
        queues.insert((info.scope, info.name), (info.depth, info.leased));
    }
    let rows =
        queues.iter().map(|((scope, name), (depth, leased))| Row { scope, name, depth: *depth, leased: *leased });
    if output.json {
        return output.json_array(rows.map(Ok));
    }
    let columns = [Column::Text("SCOPE"), Column::Text("QUEUE"), Column::Number("DEPTH"), Column::Number("LEASED")];
    let mut table = Table::new(columns);
    for row in rows {
        table.row(
            output,
            [row.scope.to_string(), row.name.to_string(), row.depth.to_string(), row.leased.to_string()],
        )?;
    }
    if table.end(output)? == 0 {
        message("there are no queues");
    }
    Ok(())
}

fn show(atlas: &Atlas, scope: &Scope, queue: &Name, messages: &[QueueMessage], output: &mut Output) -> Outcome {
    if messages.is_empty() {
        let known = atlas.catalog().queues(scope);
        if !known.contains_key(queue) {
            let expected = match known.is_empty() {
                true => "a queue of an active tree, and no tree in use gives it any".to_owned(),
                false => format!("one of its queues: {}", joined(known.keys())),
            };
            return Err(Failure::new(format!("{scope} has no queue {queue}; expected {expected}")));
        }
    }
    if output.json {
        return output.json_array(messages.iter().map(Ok));
    }
    let columns = [
        Column::Text("MESSAGE"),
        Column::Text("RECORDED"),
        Column::Text("LEASED UNTIL"),
        Column::Text("HANDLER"),
        Column::Text("DATA"),
    ];
    let mut table = Table::new(columns);
    for found in messages {
        let leased = found.leased_until.map(|until| until.to_string()).unwrap_or_default();
        let data = clipped(found.data.get(), DATA_SHOWN);
        table.row(
            output,
            [found.id.to_string(), found.recorded_at.to_string(), leased, found.handler.to_string(), data],
        )?;
    }
    if table.end(output)? == 0 {
        message(format_args!("queue {queue} of {scope} has no message to give"));
    }
    Ok(())
}
