//! The lines of a file on their way into the log: submitted in order, their outcomes taken in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas::log::AppendError;
use atlas::routing::RouteError;
use atlas::{Atlas, Error, Scope, ScopeHandle};

use super::Counts;
use super::reader::{self, ParsedLine};
use crate::failure::{Failure, Outcome};
use crate::lines::Input;
use crate::output::{Output, message};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::table::{counted, thousands};

/// What became of a line.
type LineOutcome = Result<Done, Refusal>;

/// The line's event is durable.
struct Done {
    /// Its version in its stream.
    version: u64,
    /// The id was known.
    repeated: bool,
}

/// The line was not taken.
enum Refusal {
    /// The line is bad; what is wrong with it and what was expected.
    Line(String),
    /// The store takes no line.
    Store(String),
}

/// One import under way.
pub(super) struct Appending<'a> {
    atlas: &'a Atlas,
    output: &'a mut Output,
    ack_every: Option<u64>,
    skip_bad: bool,
    file: String,
    read: Arc<AtomicU64>,
    progress: Progress,
    scopes: HashMap<Scope, ScopeHandle>,
    pipeline: Pipeline<LineOutcome>,
    counts: Counts,
    /// No line is submitted any more: one failed, or is going to be found bad when its turn comes.
    stopped: bool,
    /// The first failure.
    failed: Option<Failure>,
    /// Why the file can be read no further.
    unread: Option<Failure>,
    /// Lines after the one that failed which had been submitted and are durable.
    durable_after: u64,
}

impl<'a> Appending<'a> {
    pub(super) fn new(atlas: &'a Atlas, input: &Input, arguments: &super::Arguments, output: &'a mut Output) -> Self {
        Self {
            atlas,
            output,
            ack_every: arguments.ack_every,
            skip_bad: arguments.skip_bad,
            file: input.name.clone(),
            read: input.read.clone(),
            progress: Progress::bytes("importing", input.length),
            scopes: HashMap::new(),
            pipeline: Pipeline::new(),
            counts: Counts::default(),
            stopped: false,
            failed: None,
            unread: None,
            durable_after: 0,
        }
    }

    /// Appends all lines, or those before the first failure.
    pub(super) async fn run(mut self, input: Input) -> Outcome<Counts> {
        let mut batches = reader::start(input)?;
        while !self.stopped {
            tokio::select! {
                biased;
                Some((number, outcome)) = self.pipeline.next() => self.take(number, outcome)?,
                batch = batches.recv() => match batch {
                    Some(Ok(lines)) => self.submit_all(lines).await?,
                    // The file ends, well or not; what was submitted is awaited below.
                    Some(Err(failure)) => {
                        self.unread = Some(failure);
                        break;
                    }
                    None => break,
                },
            }
        }
        while let Some((number, outcome)) = self.pipeline.next().await {
            self.take(number, outcome)?;
        }
        let Some(failure) = self.failed.or(self.unread) else {
            return Ok(self.counts);
        };
        let before = counted(self.counts.durable, "line before it is durable", "lines before it are durable");
        match self.durable_after {
            0 => Err(failure.and(before)),
            after => Err(failure.and(format_args!("{before}, and {} after it", thousands(after)))),
        }
    }

    /// Submits lines, in order, as far as nothing fails.
    async fn submit_all(&mut self, lines: Vec<ParsedLine>) -> Outcome {
        for line in lines {
            if self.stopped {
                break;
            }
            self.submit(line).await?;
        }
        self.progress.set(self.read.load(Ordering::Relaxed));
        self.progress.say(counted(self.counts.durable, "line", "lines"));
        Ok(())
    }

    /// Submits one line.
    async fn submit(&mut self, line: ParsedLine) -> Outcome {
        let (scope, event) = match line.event {
            Ok(parts) => parts,
            Err(what) => {
                self.pipeline.settle(line.number, Err(Refusal::Line(what)));
                self.stopped = !self.skip_bad;
                return Ok(());
            }
        };
        let id = event.stated_id().map(|id| (scope.clone(), id));
        while !self.pipeline.has_room(line.bytes, id.as_ref()) {
            if let Some((number, outcome)) = self.pipeline.next().await {
                self.take(number, outcome)?;
            }
            if self.stopped {
                return Ok(());
            }
        }
        let atlas = self.atlas;
        let of = |scope: &Scope| atlas.scope(scope.tenant().as_str(), scope.application().as_str());
        let ingesting = self.scopes.entry(scope).or_insert_with_key(of).ingest(event);
        let appending = Box::pin(async move {
            match ingesting.await {
                Ok(receipt) => Ok(Done { version: receipt.version, repeated: receipt.repeated }),
                Err(error) => Err(refusal(&error)),
            }
        });
        let at_once = self.pipeline.submit(line.number, line.bytes, id, appending).await;
        if at_once.is_some_and(Result::is_err) {
            self.stopped = !self.skip_bad;
        }
        Ok(())
    }

    /// Takes the outcome of the oldest line in flight.
    fn take(&mut self, number: u64, outcome: LineOutcome) -> Outcome {
        let place = format!("{}:{number}", self.file);
        match outcome {
            Ok(_) if self.failed.is_some() => self.durable_after += 1,
            Ok(done) => return self.durable(&done),
            Err(_) if self.failed.is_some() => {}
            Err(Refusal::Line(what)) if self.skip_bad => {
                self.counts.skipped += 1;
                self.progress.aside(|| message(format_args!("{place}: {what}; skipped")));
            }
            Err(Refusal::Line(what) | Refusal::Store(what)) => {
                self.stopped = true;
                self.failed = Some(Failure::at(place, what));
            }
        }
        Ok(())
    }

    /// Counts a line that is durable, and says so where that is asked for.
    fn durable(&mut self, done: &Done) -> Outcome {
        self.counts.durable += 1;
        if done.repeated {
            self.counts.repeated += 1;
        } else if done.version == 1 {
            self.counts.new_streams += 1;
        }
        let lines = self.counts.durable;
        if !self.ack_every.is_some_and(|every| lines.is_multiple_of(every)) {
            return Ok(());
        }
        let output = &mut *self.output;
        let said = self.progress.aside(|| output.line(format_args!("acked {lines}")).and_then(|()| output.flush()));
        match said {
            // Nobody listens any more: the import goes on all the same.
            Err(Failure::BrokenPipe) => self.ack_every = None,
            other => other?,
        }
        Ok(())
    }
}

/// Whether an error is about the line or about the store, and what it says.
fn refusal(error: &Error) -> Refusal {
    match error {
        // A line is an append of its own: which event of it is of no interest.
        Error::Append(AppendError::Event { source, .. }) => Refusal::Line(source.to_string()),
        Error::Append(AppendError::IdReused { .. } | AppendError::TooLarge { .. }) => Refusal::Line(error.to_string()),
        Error::Route(RouteError::NoTree { .. } | RouteError::NoDocument { .. } | RouteError::Retired { .. }) => {
            Refusal::Line(error.to_string())
        }
        Error::Route(RouteError::Vocabulary(_) | RouteError::Schema { .. }) => Refusal::Line(error.to_string()),
        _ => Refusal::Store(error.to_string()),
    }
}
