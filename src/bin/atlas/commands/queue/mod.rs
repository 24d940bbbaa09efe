//! `atlas queue`: named queues, from which workers take messages.

mod act;
mod list;
mod look;
mod put;

use std::path::Path;

use atlas::dispatch::DispatchError;
use atlas::event::Name;
use atlas::{Atlas, Scope};

use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::Output;

/// Named queues: messages for workers, put there by handlers or from outside; input queues, whose messages come in as events
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(list::Arguments),
    Put(put::Put),
    Peek(look::Peek),
    Take(look::Take),
    Ack(act::Ack),
    Nack(act::Nack),
    Extend(act::Extend),
    Dead(look::Dead),
    Requeue(act::Requeue),
    Drop(act::DropMessage),
}

/// Which queue.
#[derive(Debug, clap::Args)]
struct OfQueue {
    /// The queue
    #[arg(value_parser = queue)]
    queue: Name,
    /// The queue's scope
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    #[command(flatten)]
    of: OfGroup,
}

/// Which consumer group.
#[derive(Debug, clap::Args)]
struct OfGroup {
    /// The consumer group, where the queue has groups; "" for messages put before it had
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

fn queue(text: &str) -> Result<Name, String> {
    Name::parse("queue", text).map_err(|error| error.to_string())
}

pub(crate) async fn run(command: Command, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| match command {
        Command::List(arguments) => list::run(atlas, &arguments, output).await,
        Command::Put(arguments) => put::put(atlas, arguments, output).await,
        Command::Peek(arguments) => look::peek(atlas, &arguments, output).await,
        Command::Take(arguments) => look::take(atlas, &arguments, output).await,
        Command::Dead(arguments) => look::dead(atlas, &arguments, output).await,
        Command::Ack(arguments) => act::ack(atlas, arguments, output).await,
        Command::Nack(arguments) => act::nack(atlas, arguments, output).await,
        Command::Extend(arguments) => act::extend(atlas, arguments, output).await,
        Command::Requeue(arguments) => act::requeue(atlas, arguments, output).await,
        Command::Drop(arguments) => act::drop_message(atlas, arguments, output).await,
    })
    .await
}

/// A queue that nothing was found in is one that there is.
fn is_known(atlas: &Atlas, scope: &Scope, queue: &Name) -> Outcome {
    let known = atlas.catalog().queues(scope);
    if known.contains_key(queue) {
        return Ok(());
    }
    let queues = known.into_keys().collect();
    Err(DispatchError::NoSuchQueue { scope: scope.clone(), queue: queue.clone(), queues }.into())
}
