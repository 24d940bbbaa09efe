//! `atlas queue ack`, `nack`, `extend`, `requeue`, `drop`: what is done with messages.

use std::time::Duration;

use atlas::dispatch::{Dispatcher, MessageRef};
use atlas::event::Name;
use atlas::{Atlas, Scope, Uuid};

use super::{OfGroup, is_known, queue};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::sizes;
use crate::table::counted;

/// Which message.
#[derive(Debug, clap::Args)]
struct OfMessage {
    /// The message's id, as `take` shows it
    #[arg(value_name = "MESSAGE-ID")]
    id: Uuid,
    /// The queue's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    #[command(flatten)]
    of: OfGroup,
    /// What `take` gave it under: refused where somebody else has taken it since
    #[arg(long, value_name = "RECEIPT")]
    receipt: Option<u64>,
}

/// Who acts.
#[derive(Debug, clap::Args)]
pub(super) struct Acting {
    /// Who does it; kept in the log
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

impl Acting {
    pub(super) fn dispatcher(&self, atlas: &Atlas) -> Dispatcher {
        let dispatcher = atlas.dispatcher();
        self.actor.as_deref().map_or_else(|| dispatcher.clone(), |actor| dispatcher.with_actor(actor))
    }
}

/// Acknowledge a message: its work is done, and it leaves its queue
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas queue ack 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e --receipt 1")]
pub(crate) struct Ack {
    #[command(flatten)]
    message: OfMessage,
}

/// Give a message back: its lease ends now, and it can be taken again
///
/// One that was taken as often as its queue's max_receives says becomes a dead letter.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas queue nack 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e --delay 5m --reason \"the mail server is down\""
)]
pub(crate) struct Nack {
    #[command(flatten)]
    message: OfMessage,
    /// After which time it can be taken again; at most a year
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = sizes::duration)]
    delay: Duration,
    /// Why; kept in the log
    #[arg(long, value_name = "TEXT", default_value = "given back from the command line")]
    reason: String,
}

/// Extend a lease that still runs: it ends a time from now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas queue extend 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e --receipt 1 --lease 10m")]
pub(crate) struct Extend {
    #[command(flatten)]
    message: OfMessage,
    /// How long from now it is hidden from others; at most 12h
    #[arg(long, value_name = "DURATION", value_parser = sizes::some_duration)]
    lease: Duration,
}

/// Have dead letters given out again, with receives from nought
///
/// They come back at their places; in an ordered queue those that stand behind them follow.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas queue requeue 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e
  atlas queue requeue --all mail --scope bank/loans --reason \"the mail server is back\""
)]
pub(crate) struct Requeue {
    /// The message's id, as `dead` shows it
    #[arg(value_name = "MESSAGE-ID", required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,
    /// All dead letters of this queue, of --scope
    #[arg(long, value_name = "QUEUE", value_parser = queue, requires = "scope")]
    all: Option<Name>,
    /// The queue's scope, where several scopes know the id; with --all, needed
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    #[command(flatten)]
    of: OfGroup,
    /// Why; kept in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

/// Remove a message for good, whatever it waits for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas queue drop 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e --reason \"sent by hand\"
  atlas queue drop --all mail --scope bank/loans --group audit --reason \"the group is gone\"")]
pub(crate) struct DropMessage {
    /// The message's id
    #[arg(value_name = "MESSAGE-ID", required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,
    /// All messages of this queue, of --scope and --group
    #[arg(long, value_name = "QUEUE", value_parser = queue, requires = "scope")]
    all: Option<Name>,
    /// With --all: dead letters alone, without those behind them
    #[arg(long, requires = "all")]
    dead: bool,
    /// The queue's scope, where several scopes know the id; with --all, needed
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    #[command(flatten)]
    of: OfGroup,
    /// Why; kept in the log
    #[arg(long, value_name = "TEXT", default_value = "dropped from the command line")]
    reason: String,
    #[command(flatten)]
    acting: Acting,
}

impl From<OfMessage> for MessageRef {
    fn from(OfMessage { id, scope, of, receipt }: OfMessage) -> Self {
        Self { scope, group: of.group, receipt, ..Self::new(id) }
    }
}

/// Says that something was done with a message: as a flag of that name, or in words.
fn done(output: &mut Output, id: Uuid, flag: &str, words: &str) -> Outcome {
    if output.json {
        return output.json_line(&serde_json::json!({ "id": id, flag: true }));
    }
    output.line(format_args!("{id} {words}"))
}

pub(super) async fn ack(atlas: &Atlas, arguments: Ack, output: &mut Output) -> Outcome {
    let id = arguments.message.id;
    atlas.dispatcher().acknowledge(arguments.message).await?;
    done(output, id, "acknowledged", "is acknowledged")
}

pub(super) async fn nack(atlas: &Atlas, arguments: Nack, output: &mut Output) -> Outcome {
    let id = arguments.message.id;
    atlas.dispatcher().nack(arguments.message, arguments.delay, &arguments.reason).await?;
    done(output, id, "given_back", "is given back")
}

pub(super) async fn extend(atlas: &Atlas, arguments: Extend, output: &mut Output) -> Outcome {
    let id = arguments.message.id;
    atlas.dispatcher().extend(arguments.message, arguments.lease).await?;
    done(output, id, "extended", "is extended")
}

pub(super) async fn requeue(atlas: &Atlas, arguments: Requeue, output: &mut Output) -> Outcome {
    let Requeue { id, all, scope, of, reason, acting } = arguments;
    let (dispatcher, reason) = (acting.dispatcher(atlas), reason.as_deref());
    match (id, all, scope) {
        (Some(id), _, scope) => {
            dispatcher.requeue(MessageRef { scope, group: of.group, ..MessageRef::new(id) }, reason).await?;
            done(output, id, "requeued", "is requeued")
        }
        (None, Some(queue), Some(scope)) => {
            let count = dispatcher.requeue_all(&scope, &queue, of.group.as_deref(), reason).await?;
            if count == 0 {
                is_known(atlas, &scope, &queue)?;
            }
            if output.json {
                return output.json_line(&serde_json::json!({ "requeued": count }));
            }
            output.line(format_args!("{} requeued", counted(count, "dead letter is", "dead letters are")))
        }
        _ => Err(Failure::Usage("expected MESSAGE-ID, or --all QUEUE --scope SCOPE".to_owned())),
    }
}

pub(super) async fn drop_message(atlas: &Atlas, arguments: DropMessage, output: &mut Output) -> Outcome {
    let DropMessage { id, all, dead, scope, of, reason, acting } = arguments;
    let dispatcher = acting.dispatcher(atlas);
    match (id, all, scope) {
        (Some(id), _, scope) => {
            dispatcher.drop_message(MessageRef { scope, group: of.group, ..MessageRef::new(id) }, &reason).await?;
            done(output, id, "dropped", "is dropped")
        }
        (None, Some(queue), Some(scope)) => {
            let count = dispatcher.drop_messages(&scope, &queue, of.group.as_deref(), dead, &reason).await?;
            if count == 0 {
                is_known(atlas, &scope, &queue)?;
            }
            if output.json {
                return output.json_line(&serde_json::json!({ "dropped": count }));
            }
            output.line(format_args!("{} dropped", counted(count, "message is", "messages are")))
        }
        _ => Err(Failure::Usage("expected MESSAGE-ID, or --all QUEUE --scope SCOPE".to_owned())),
    }
}
