//! `atlas queue put`: messages from a file into a queue.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use atlas::dispatch::{DispatchError, Dispatcher, NewMessage};
use atlas::event::Name;
use atlas::{Atlas, Scope, Uuid};

use super::act::Acting;
use super::queue;
use crate::failure::{Failure, Outcome};
use crate::lines::{Input, Line, MAX_LINE_BYTES};
use crate::output::{Output, message};
use crate::progress::Progress;
use crate::table::counted;

/// Messages that are put in one piece, and from how many bytes on.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Put messages into a queue: each line of the input is one, of JSON
///
/// Up to 256 lines are put in one piece, all or none; what was put is printed, and durable. Of an input queue ("ingest":
/// true) each line is an event as `import` reads it, but tenant and application may be left out; whoever serves the store
/// ingests it. A message whose id is known with the same data is not put again.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  echo '{\"loan\": \"loan-1\"}' | atlas queue put mail --scope bank/loans
  atlas queue put inbox --scope bank/loans events.ndjson"
)]
pub(crate) struct Put {
    /// The queue
    #[arg(value_parser = queue)]
    queue: Name,
    /// The queue's scope
    #[arg(long, value_name = "SCOPE")]
    scope: Scope,
    /// The lines: a file, a .gz, or - for stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The message's id, where there is one line; default: of an input queue that of the event, otherwise a new one
    #[arg(long, value_name = "MESSAGE-ID")]
    id: Option<Uuid>,
    /// The stream that the messages are of: an ordered queue gives them out in order. Default: of an input queue that
    /// of the event, otherwise none
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

pub(super) async fn put(atlas: &Atlas, arguments: Put, output: &mut Output) -> Outcome {
    let dispatcher = arguments.acting.dispatcher(atlas);
    let mut input = Input::open(&arguments.file)?;
    let progress = Progress::bytes("put", input.length);
    let (mut count, mut told) = (0, Ok(()));
    loop {
        let (batch, failure) = batch(&mut input, &arguments);
        let (is_last, length) = (batch.is_empty() || arguments.id.is_some(), batch.len() as u64);
        let put = put_batch(&dispatcher, &arguments, (&input.name, batch)).await;
        let ids = put.map_err(|failure| so_far(count, failure))?;
        count += length;
        // Whoever reads it may go away: what was asked for is done all the same.
        told = told.and_then(|()| tell(&ids, output));
        if let Some(failure) = failure {
            return Err(so_far(count, failure));
        }
        progress.set(input.read.load(Ordering::Relaxed));
        if is_last {
            drop(progress);
            output.flush().and(told)?;
            message(format_args!("{} in {}", counted(count, "message is", "messages are"), arguments.queue));
            return Ok(());
        }
    }
}

/// A failure after so many messages were put.
fn so_far(count: u64, failure: Failure) -> Failure {
    match count {
        0 => failure,
        count => failure.and(format_args!("{} put before", counted(count, "message is", "messages are"))),
    }
}

fn tell(ids: &[Uuid], output: &mut Output) -> Outcome {
    for id in ids {
        if output.json {
            output.json_line(&serde_json::json!({ "id": id, "put": true }))?;
        } else {
            output.line(format_args!("{id} is put"))?;
        }
    }
    Ok(())
}

/// Messages with the numbers of their lines, and what is wrong with the line behind them.
fn batch(input: &mut Input, arguments: &Put) -> (Vec<(u64, NewMessage)>, Option<Failure>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let (number, line) = match input.next_line() {
            Ok(Some((number, Line::Whole(line)))) => (number, line),
            Ok(Some((number, Line::TooLong))) => {
                let what = format!("the line is longer than {MAX_LINE_BYTES} bytes; expected a shorter one");
                return (batch, Some(Failure::at(format_args!("{}:{number}", input.name), what)));
            }
            Ok(None) => return (batch, None),
            Err(failure) => return (batch, Some(failure)),
        };
        if arguments.id.is_some() && !batch.is_empty() {
            let what = "there is a second line; expected one message for --id";
            return (Vec::new(), Some(Failure::at(format_args!("{}:{number}", input.name), what)));
        }
        bytes += line.len();
        let mut message = NewMessage::json(line);
        if let Some(id) = arguments.id {
            message = message.id(id);
        }
        if let Some(stream) = &arguments.stream {
            message = message.stream(stream);
        }
        batch.push((number, message));
        let is_whole = batch.len() >= BATCH || bytes >= BATCH_BYTES || !input.has_buffered_line();
        if is_whole && arguments.id.is_none() {
            return (batch, None);
        }
    }
}

async fn put_batch(
    dispatcher: &Dispatcher,
    arguments: &Put,
    (file, batch): (&str, Vec<(u64, NewMessage)>),
) -> Outcome<Vec<Uuid>> {
    let (lines, messages): (Vec<u64>, Vec<NewMessage>) = batch.into_iter().unzip();
    let put = dispatcher.put(&arguments.scope, &arguments.queue, messages).await;
    put.map_err(|error| {
        let (DispatchError::Put { number, .. } | DispatchError::MessageIdReused { number, .. }) = &error else {
            return error.into();
        };
        let line = lines.get(number.saturating_sub(1)).copied().unwrap_or_default();
        Failure::at(format_args!("{file}:{line}"), error)
    })
}
