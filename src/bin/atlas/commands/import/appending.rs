//! The lines of a file on their way into the log: submitted in order, their outcomes taken in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas::log::AppendError;
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
    /// The first failure: no line is submitted any more.
    failed: Option<Failure>,
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
            failed: None,
            durable_after: 0,
        }
    }

    /// Appends all lines, or those before the first failure.
    pub(super) async fn run(mut self, input: Input) -> Outcome<Counts> {
        let mut batches = reader::start(input)?;
        while self.failed.is_none() {
            tokio::select! {
                biased;
                Some((number, outcome)) = self.pipeline.next() => self.take(number, outcome)?,
                batch = batches.recv() => match batch {
                    Some(Ok(lines)) => self.submit_all(lines).await?,
                    Some(Err(failure)) => self.failed = Some(failure),
                    None => break,
                },
            }
        }
        while let Some((number, outcome)) = self.pipeline.next().await {
            self.take(number, outcome)?;
        }
        let Some(failure) = self.failed else {
            return Ok(self.counts);
        };
        let mut durable = counted(self.counts.durable, "line before it is", "lines before it are");
        if self.durable_after > 0 {
            durable.push_str(&format!(", and {} after it", thousands(self.durable_after)));
        }
        Err(failure.and(format_args!("{durable} durable")))
    }

    /// Submits lines, in order, as far as nothing fails.
    async fn submit_all(&mut self, lines: Vec<ParsedLine>) -> Outcome {
        for line in lines {
            if self.failed.is_some() || !self.submit(line).await? {
                break;
            }
        }
        self.progress.set(self.read.load(Ordering::Relaxed));
        self.progress.say(counted(self.counts.durable, "line", "lines"));
        Ok(())
    }

    /// Submits one line; `false` where none may follow it.
    async fn submit(&mut self, line: ParsedLine) -> Outcome<bool> {
        let (scope, event) = match line.event {
            Ok(parts) => parts,
            Err(what) => {
                self.pipeline.settle(line.number, Err(Refusal::Line(what)));
                return Ok(self.skip_bad);
            }
        };
        let id = event.stated_id().map(|id| (scope.clone(), id));
        while !self.pipeline.has_room(line.bytes, id.as_ref()) {
            if let Some((number, outcome)) = self.pipeline.next().await {
                self.take(number, outcome)?;
            }
            if self.failed.is_some() {
                return Ok(false);
            }
        }
        let atlas = self.atlas;
        let handle = self.scopes.entry(scope).or_insert_with_key(|s| atlas.scope(s.tenant().as_str(), s.application().as_str()));
        let ingesting = handle.submit(event);
        let appending = Box::pin(async move {
            match ingesting.await {
                Ok(receipt) => Ok(Done { version: receipt.version, repeated: receipt.repeated }),
                Err(error) => Err(refusal(&error)),
            }
        });
        let refused_at_once = self.pipeline.submit(line.number, line.bytes, id, appending).await.is_some_and(Result::is_err);
        Ok(self.skip_bad || !refused_at_once)
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
            Err(Refusal::Line(what) | Refusal::Store(what)) => self.failed = Some(Failure::at(place, what)),
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
        Error::A(AppendError::Event { source, .. }) => Refusal::Line(source.to_string()),
        Error::A(AppendError::IdReused { .. } | AppendError::TooLarge { .. }) => Refusal::Line(error.to_string()),
        _ => Refusal::Store(error.to_string()),
    }
}
