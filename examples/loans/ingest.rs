//! How the events get in: many tasks at once, the order within each stream kept.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use atlas::event::Envelope;
use atlas::{Event, ScopeHandle};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::{APPLICATION, Failure, TENANT};

/// How many events may wait for one task, before the reader of the log waits for it.
const WAITING_PER_TASK: usize = 64;

/// Lines of NDJSON, read one at a time.
pub(crate) type Lines = Box<dyn Iterator<Item = io::Result<String>> + Send>;

/// The lines of a file, plain or compressed with gzip.
pub(crate) fn lines_of(path: &Path) -> io::Result<Lines> {
    let mut file = BufReader::new(File::open(path)?);
    let zipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read + Send> = if zipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Box::new(BufReader::new(plain).lines()))
}

/// Ingests each line by itself: `tasks` tasks, each with the events of its share of the streams, each awaiting one
/// event before the next. That many events are on their way at any time and share their commits.
pub(crate) async fn one_by_one(
    loans: &ScopeHandle,
    lines: Lines,
    tasks: usize,
    bar: ProgressBar,
) -> Result<u64, Failure> {
    let mut workers = JoinSet::new();
    let mut senders = Vec::new();
    for _ in 0..tasks {
        let (sender, mut events) = mpsc::channel::<Event>(WAITING_PER_TASK);
        senders.push(sender);
        let (loans, bar) = (loans.clone(), bar.clone());
        workers.spawn(async move {
            let mut ingested = 0;
            while let Some(event) = events.recv().await {
                loans.ingest(event).await?;
                bar.inc(1);
                ingested += 1;
            }
            Ok::<u64, Failure>(ingested)
        });
    }
    let reader = tokio::task::spawn_blocking(move || share_out(lines, &senders));
    let mut ingested = 0;
    while let Some(worker) = workers.join_next().await {
        ingested += worker??;
    }
    reader.await??;
    Ok(ingested)
}

/// Ingests lines in batches, one after the other: each batch is one atomic append.
pub(crate) async fn in_batches(
    loans: &ScopeHandle,
    lines: Lines,
    size: usize,
    bar: ProgressBar,
) -> Result<u64, Failure> {
    let (mut batch, mut ingested) = (Vec::with_capacity(size), 0);
    let mut lines = lines.zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        batch.push(event(&line?, number)?);
        if batch.len() == size || lines.peek().is_none() {
            let receipts = loans.ingest_all(std::mem::take(&mut batch)).await?;
            ingested += receipts.len() as u64;
            bar.inc(receipts.len() as u64);
        }
    }
    Ok(ingested)
}

/// Gives each line to the task that its stream belongs to. Blocks while that task has enough to do.
fn share_out(lines: Lines, tasks: &[mpsc::Sender<Event>]) -> Result<(), Failure> {
    for (line, number) in lines.zip(1..) {
        let event = event(&line?, number)?;
        let mut hasher = DefaultHasher::new();
        event.stream().hash(&mut hasher);
        let Some(task) = tasks.get(hasher.finish() as usize % tasks.len()) else { break };
        if task.blocking_send(event).is_err() {
            break; // The task has failed; whoever awaits it gets the reason.
        }
    }
    Ok(())
}

/// The event of a line, which must be one of this example's scope.
fn event(line: &str, number: u64) -> Result<Event, Failure> {
    let read = || {
        let envelope = Envelope::from_json(line.as_bytes())?;
        let scope = envelope.scope()?;
        if (scope.tenant().as_str(), scope.application().as_str()) != (TENANT, APPLICATION) {
            return Err(format!("it belongs to {scope}; expected {TENANT}/{APPLICATION}").into());
        }
        Ok(envelope.to_event()?)
    };
    read().map_err(|why: Failure| format!("line {number}: {why}").into())
}
