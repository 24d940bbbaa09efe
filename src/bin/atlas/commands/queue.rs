//! `atlas queue`: named queues, from which workers take messages.

use std::path::Path;
use std::time::Duration;

use atlas::event::Name;
use atlas::{Scope, Uuid};

use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::sizes;
use crate::table::{Column, Table, clipped};

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
    #[arg(long, value_name = "N", default_value_t = 10)]
    max: usize,
}

/// Take messages from a queue under a lease
///
/// A message that is taken is hidden from others until its lease ends. `ack` it when its work is done; otherwise it
/// can be taken again after that.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = "\
Example:
  atlas --json queue take mail --scope bank/loans --max 1 --lease 5m | jq -r '.[].id'
  atlas queue ack MESSAGE-ID")]
pub(crate) struct Take {
    /// The queue
    #[arg(value_parser = queue)]
    queue: Name,
    /// The queue's scope
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    /// At most so many messages
    #[arg(long, value_name = "N", default_value_t = 1)]
    max: usize,
    /// How long they are hidden from others
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = sizes::duration)]
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
