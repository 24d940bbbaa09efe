//! `atlas queue peek`, `take` and `dead`: messages, with or without taking them.

use std::time::Duration;

use atlas::Atlas;
use atlas::dispatch::{MessageState, QueueMessage};
use atlas::event::Name;

use super::{OfQueue, is_known};
use crate::failure::Outcome;
use crate::output::{Output, message};
use crate::sizes;
use crate::table::{Column, Table, clipped};

/// Show the first messages of a queue and leave them there
///
/// In the order in which they were put, whatever they wait for; STATE tells that.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas queue peek mail --scope bank/loans --max 3"
)]
pub(crate) struct Peek {
    #[command(flatten)]
    of: OfQueue,
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
  atlas --json queue take mail --scope bank/loans --max 1 --lease 5m | jq -r '.[] | \"\\(.id) \\(.receipt)\"'
  atlas queue ack MESSAGE-ID --receipt RECEIPT"
)]
pub(crate) struct Take {
    #[command(flatten)]
    of: OfQueue,
    /// At most so many messages; no more than 1000
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// How long they are hidden from others; at most 12h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = sizes::some_duration)]
    lease: Duration,
}

/// Show the dead letters of a queue: taken as often as its max_receives says, and not acknowledged
///
/// In an ordered queue each is followed by those that stand behind it in its stream. `requeue` has them given out
/// again, `drop` removes one.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Example:
  atlas queue dead mail --scope bank/loans"
)]
pub(crate) struct Dead {
    #[command(flatten)]
    of: OfQueue,
    /// At most so many messages
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
}

pub(super) async fn peek(atlas: &Atlas, arguments: &Peek, output: &mut Output) -> Outcome {
    let OfQueue { queue, scope, of } = &arguments.of;
    let messages = atlas.dispatcher().peek(scope, queue, of.group.as_deref(), arguments.max as usize).await?;
    show(atlas, &arguments.of, &messages, output)
}

pub(super) async fn take(atlas: &Atlas, arguments: &Take, output: &mut Output) -> Outcome {
    let (OfQueue { queue, scope, of }, Take { max, lease, .. }) = (&arguments.of, arguments);
    let messages = atlas.dispatcher().take(scope, queue, of.group.as_deref(), *max as usize, *lease).await?;
    show(atlas, &arguments.of, &messages, output)
}

/// A state in one word.
fn word(state: MessageState) -> &'static str {
    match state {
        MessageState::Ready => "ready",
        MessageState::Leased => "leased",
        MessageState::Delayed => "delayed",
        MessageState::Behind => "behind",
        MessageState::Dead => "dead",
    }
}

fn show(atlas: &Atlas, of: &OfQueue, messages: &[QueueMessage], output: &mut Output) -> Outcome {
    if messages.is_empty() {
        is_known(atlas, &of.scope, &of.queue)?;
    }
    if output.json {
        return output.json_array(messages.iter().map(Ok));
    }
    let columns = [
        Column::Text("MESSAGE"),
        Column::Number("RECEIPT"),
        Column::Text("RECORDED"),
        Column::Text("STATE"),
        Column::Text("UNTIL"),
        Column::Text("HANDLER"),
        Column::Text("DATA"),
    ];
    let mut table = Table::new(columns);
    for found in messages {
        let until = found.leased_until.or(found.delayed_until).map(|until| until.to_string()).unwrap_or_default();
        let row = [
            found.id.to_string(),
            found.receipt.map(|receipt| receipt.to_string()).unwrap_or_default(),
            found.recorded_at.to_string(),
            word(found.state).to_owned(),
            until,
            found.handler.as_ref().map_or("", Name::as_str).to_owned(),
            clipped(found.data.get(), DATA_SHOWN),
        ];
        table.row(output, row)?;
    }
    if table.end(output)? == 0 {
        message(format_args!("queue {} of {} has no message to give", of.queue, of.scope));
    }
    Ok(())
}

/// How much of a message's data, or of a reason, a table shows, in characters.
const DATA_SHOWN: usize = 100;

pub(super) async fn dead(atlas: &Atlas, arguments: &Dead, output: &mut Output) -> Outcome {
    let OfQueue { queue, scope, of } = &arguments.of;
    let dead = atlas.dispatcher().dead_letters(scope, queue, of.group.as_deref(), arguments.max as usize).await?;
    if dead.is_empty() {
        is_known(atlas, scope, queue)?;
    }
    if output.json {
        return output.json_array(dead.iter().map(Ok));
    }
    let columns = [
        Column::Text("MESSAGE"),
        Column::Text("RECORDED"),
        Column::Text("STATE"),
        Column::Number("RECEIVES"),
        Column::Text("REASON"),
        Column::Text("DATA"),
    ];
    let mut table = Table::new(columns);
    for found in &dead {
        let row = [
            found.id.to_string(),
            found.recorded_at.to_string(),
            word(found.state).to_owned(),
            found.receives.to_string(),
            clipped(found.reason.as_deref().unwrap_or_default(), DATA_SHOWN),
            clipped(found.data.get(), DATA_SHOWN),
        ];
        table.row(output, row)?;
    }
    if table.end(output)? == 0 {
        message(format_args!("queue {queue} of {scope} has no dead letters"));
    }
    Ok(())
}
