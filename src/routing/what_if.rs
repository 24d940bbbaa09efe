//! `what-if`: recorded history through another tree, with no effect; what would have been routed otherwise.
//!
//! The range is read in rounds: in each, every thread takes a stretch of positions of its own, and what they find is put
//! together in the order of the log. So memory is bounded by a round, and the answer is the same however many threads there
//! are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::expression::{Constants, Input};
use super::plan::{self, Handler};
use super::router::{RouteError, Router};
use super::trial::Trial;
use crate::config::Snapshot;
use crate::event::{Name, Scope, Timestamp, TreeScope};
use crate::log::{EventStore, Query, RecordedEvent};

/// How many positions a thread looks at in a round.
const STRETCH: u64 = 2048;

/// The most threads that read.
pub const MAX_THREADS: usize = 64;

/// What a tree is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Against {
    /// The revision that each event was routed by; what is active now where it was routed by none.
    #[default]
    Recorded,
    /// What is active now.
    Active,
}

/// Which events are looked at, and how.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// Only events after this position.
    pub after: u64,
    /// Only events up to this position; `None`: all.
    pub up_to: Option<u64>,
    /// Only events of this scope.
    pub scope: Option<Scope>,
    /// Only events whose type begins so.
    pub type_prefix: Option<String>,
    /// Only events recorded at or after this time, in microseconds since the Unix epoch.
    pub from: Option<i64>,
    /// Only events recorded before this time.
    pub before: Option<i64>,
    /// What the tree is held against.
    pub against: Against,
    /// How many differing events are told in full: with the data of calls.
    pub in_full: usize,
    /// How many threads read, at most [`MAX_THREADS`]; 0: as many as there are processors.
    pub threads: usize,
}

/// How often a handler was, and would be, called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events that it is called for.
    pub events: u64,
    /// Calls: one event may come to several.
    pub calls: u64,
    /// Events that its guard says no to.
    pub skipped: u64,
    /// Events on which its guard or transform fails.
    pub failed: u64,
}

/// Counts before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// As it is.
    pub before: Counts,
    /// By the other tree.
    pub after: Counts,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WhatIfOutcome {
    /// Events that the tree would serve.
    pub events: u64,
    /// Those among them that would be routed otherwise.
    pub differing: u64,
    /// Those whose type has no document before.
    pub unrouted_before: u64,
    /// Those whose type has no document in the other tree.
    pub unrouted_after: u64,
    /// By handler.
    pub handlers: BTreeMap<Name, Compared>,
}

/// An event that would be routed otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Differing {
    /// Its position.
    pub position: u64,
    /// Its id.
    pub id: Uuid,
    /// Its scope.
    pub scope: Scope,
    /// Its stream.
    pub stream: String,
    /// Its version.
    pub version: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What differs, by handler.
    pub handlers: Vec<DifferingHandler>,
    /// Whether its type has a document before and after.
    pub routed: (bool, bool),
}

/// A handler that would do something else with an event.
#[derive(Clone, Debug, Serialize)]
pub struct DifferingHandler {
    /// Its name.
    pub name: Name,
    /// What it does; `None` where there is no such handler.
    pub before: Option<Attempted>,
    /// What it would do.
    pub after: Option<Attempted>,
}

/// What a handler does with an event, in words, and in full where that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Attempted {
    /// What it calls.
    pub target: String,
    /// In words.
    pub what: String,
    /// In full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// A tree that isn't active: its handlers by type.
struct Other {
    tree: TreeScope,
    handlers: BTreeMap<String, Arc<[Handler]>>,
    constants: Constants,
}

/// What a round of one thread found.
#[derive(Default)]
struct Found {
    outcome: WhatIfOutcome,
    differing: Vec<Differing>,
}

impl Router {
    /// Routes recorded history by the tree in the folder `dir`, as if that were the active tree `tree`, with no effect.
    /// `each` is given the events that would be routed otherwise, in the order of the log; `progress` positions done and in
    /// all. Blocking.
    ///
    /// # Errors
    /// As an import of the folder for its files; an error of the store; what `each` fails with ends the run.
    pub fn what_if<E: From<RouteError>>(
        &self,
        store: &EventStore,
        dir: &Path,
        tree: &TreeScope,
        options: &WhatIf,
        mut each: impl FnMut(Differing) -> Result<(), E>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<WhatIfOutcome, E> {
        let other = self.other(dir, tree)?;
        let snapshot = self.catalog().snapshot();
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = match options.threads {
            0 => processors,
            n => n.min(MAX_THREADS),
        };
        let last = options.up_to.unwrap_or(u64::MAX).min(store.last_position());
        let (mut outcome, mut next, mut told) = (WhatIfOutcome::default(), options.after, 0);
        let all = last.saturating_sub(options.after);
        while next < last {
            let run = Run { router: self, store, other: &other, snapshot: &snapshot, options };
            let round: Vec<Result<Found, RouteError>> = std::thread::scope(|scope| {
                let stretch = |n: u64| {
                    let after = next.saturating_add(n * STRETCH);
                    let run = &run;
                    let work = move || run.stretch(after, after.saturating_add(STRETCH).min(last));
                    std::thread::Builder::new().name("atlas-what-if".to_owned()).spawn_scoped(scope, work)
                };
                let running: Vec<_> = (0..threads as u64).map(stretch).collect();
                let ended = |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, _>>| match thread {
                    Ok(thread) => thread.join().unwrap_or(Err(RouteError::Thread)),
                    Err(_) => Err(RouteError::Thread),
                };
                running.into_iter().map(ended).collect()
            });
            for found in round {
                let Found { outcome: part, differing } = found?;
                outcome.add(part);
                for mut differing in differing {
                    told += 1;
                    if told > options.in_full {
                        differing.shorten();
                    }
                    each(differing)?;
                }
            }
            next = next.saturating_add(threads as u64 * STRETCH).min(last);
            progress(next - options.after, all);
        }
        Ok(outcome)
    }

    fn other(&self, dir: &Path, tree: &TreeScope) -> Result<Other, RouteError> {
        let staged = self.catalog().read_staged(dir, tree)?;
        let mut handlers = BTreeMap::new();
        for (event_type, (id, document)) in staged.documents {
            let compiled = match document {
                Some(document) => {
                    let failed = |source| RouteError::Expression { document: id, source };
                    plan::compile(&document).map_err(failed)?.into()
                }
                None => self.compiled(id)?,
            };
            handlers.insert(event_type.as_str().to_owned(), compiled);
        }
        let constants = Constants::from_json(staged.constants.to_json().as_bytes())
            .map_err(|source| RouteError::Constants { revision: 0, source })?;
        Ok(Other { tree: tree.clone(), handlers, constants })
    }
}

/// One run, as its threads share it.
struct Run<'a> {
    router: &'a Router,
    store: &'a EventStore,
    other: &'a Other,
    snapshot: &'a Snapshot,
    options: &'a WhatIf,
}

/// What the handlers of one side do with an event.
type Side = Vec<(Name, String, Trial)>;

impl Run<'_> {
    /// Events after a position, up to another.
    fn stretch(&self, after: u64, up_to: u64) -> Result<Found, RouteError> {
        let mut found = Found::default();
        if after >= up_to {
            return Ok(found);
        }
        let mut query = Query::new().after(after).until(up_to).recorded(self.options.from, self.options.before);
        if let Some(scope) = &self.options.scope {
            query = query.scope(scope);
        }
        if let Some(prefix) = &self.options.type_prefix {
            query = query.type_prefix(prefix);
        }
        for event in self.store.read(query)? {
            let event = event?;
            if self.is_served(&event)? {
                self.compare(&event, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Whether the other tree, were it active, would serve an event: no tree that is looked for before it is active.
    fn is_served(&self, event: &RecordedEvent) -> Result<bool, RouteError> {
        if event.scope().application() != self.other.tree.application() {
            return Ok(false);
        }
        let variant = event.variant().map(|variant| Name::parse("variant", variant)).transpose()?;
        let first = TreeScope::candidates(event.scope(), variant.as_ref())
            .find(|tree| *tree == self.other.tree || self.snapshot.revision(tree).is_some());
        Ok(first.as_ref() == Some(&self.other.tree))
    }

    fn compare(&self, event: &RecordedEvent, found: &mut Found) -> Result<(), RouteError> {
        let before = self.before(event)?;
        let after = self.other.handlers.get(event.event_type()).map(|handlers| {
            let input = Input::of(event, &self.other.constants);
            side(handlers, &input)
        });
        let outcome = &mut found.outcome;
        outcome.events += 1;
        outcome.unrouted_before += u64::from(before.is_none());
        outcome.unrouted_after += u64::from(after.is_none());
        let routed = (before.is_some(), after.is_some());
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        for (name, _, trial) in &before {
            outcome.handlers.entry(name.clone()).or_default().before.count(trial);
        }
        for (name, _, trial) in &after {
            outcome.handlers.entry(name.clone()).or_default().after.count(trial);
        }
        let handlers = differing(before, after);
        if !handlers.is_empty() || routed.0 != routed.1 {
            outcome.differing += 1;
            let mut differing = Differing {
                position: event.position(),
                id: event.id(),
                scope: event.scope().clone(),
                stream: event.stream().to_owned(),
                version: event.version(),
                event_type: event.event_type().to_owned(),
                recorded_at: Timestamp::from_micros(event.recorded_at()),
                handlers,
                routed,
            };
            // Only so many can be told in full, even if this stretch has the first of all: the data of others go at once.
            if found.differing.len() >= self.options.in_full {
                differing.shorten();
            }
            found.differing.push(differing);
        }
        Ok(())
    }

    /// What is done with an event as it is; `None` where its type has no document.
    fn before(&self, event: &RecordedEvent) -> Result<Option<Side>, RouteError> {
        let plan = match event.revision().filter(|_| self.options.against == Against::Recorded) {
            Some(revision) => self.router.plan_of(revision, event.event_type()),
            None => self.router.look_up(self.snapshot, event.scope(), event.variant(), event.event_type()),
        };
        match plan {
            Ok(plan) => Ok(Some(side(&plan.handlers, &Input::of(event, &plan.constants)))),
            Err(RouteError::NoTree { .. } | RouteError::NoDocument { .. } | RouteError::Retired { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn side(handlers: &[Handler], input: &Result<Input, super::ExpressionError>) -> Side {
    let tried = |handler: &Handler| (handler.name.clone(), handler.target.to_string(), Trial::of(handler, input));
    handlers.iter().map(tried).collect()
}

/// The handlers that do something else: call another target, or with other data, or not at all.
fn differing(before: Side, after: Side) -> Vec<DifferingHandler> {
    let mut before: BTreeMap<Name, (String, Trial)> =
        before.into_iter().map(|(name, target, trial)| (name, (target, trial))).collect();
    let attempted =
        |(target, trial): (String, Trial)| Attempted { what: trial.to_string(), target, trial: Some(trial) };
    let mut found = Vec::new();
    for (name, target, trial) in after {
        let old = before.remove(&name);
        // A handler that is new or calls another, and whose guard says no, does nothing before and after.
        let same = match &old {
            Some((was, old)) => old.same_as(&trial) && (*was == target || matches!(trial, Trial::Skipped)),
            None => matches!(trial, Trial::Skipped),
        };
        if !same {
            let (before, after) = (old.map(attempted), Some(attempted((target, trial))));
            found.push(DifferingHandler { name, before, after });
        }
    }
    for (name, old) in before.into_iter().filter(|(_, (_, trial))| !matches!(trial, Trial::Skipped)) {
        found.push(DifferingHandler { name, before: Some(attempted(old)), after: None });
    }
    found
}

impl Counts {
    fn count(&mut self, trial: &Trial) {
        match trial {
            Trial::Skipped => self.skipped += 1,
            Trial::Failed { .. } => self.failed += 1,
            Trial::Called(_) => {
                self.events += 1;
                self.calls += trial.calls() as u64;
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.calls += other.calls;
        self.skipped += other.skipped;
        self.failed += other.failed;
    }
}

impl WhatIfOutcome {
    fn add(&mut self, part: Self) {
        self.events += part.events;
        self.differing += part.differing;
        self.unrouted_before += part.unrouted_before;
        self.unrouted_after += part.unrouted_after;
        for (name, Compared { before, after }) in part.handlers {
            let sum = self.handlers.entry(name).or_default();
            sum.before.add(before);
            sum.after.add(after);
        }
    }
}

impl Differing {
    /// Leaves the data of calls out.
    fn shorten(&mut self) {
        for handler in &mut self.handlers {
            for attempted in handler.before.iter_mut().chain(&mut handler.after) {
                attempted.trial = None;
            }
        }
    }
}
