//! The thread of dispatch: follows the log, folds it into the scheduler and the queues, starts what may run, and answers
//! questions about what is open. It alone owns that state, so there are no locks; it never waits for a handler.
//!
//! State changes through the log only: an attempt appends how it ended, and the thread learns it when it follows that
//! record. So what a restart works out from the log is what the thread had before.

mod answers;
mod fold;
mod inputs;
mod messages;
mod observe;
mod queues;
mod rooms;
mod schedules;
mod start;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hashbrown::HashMap as FastMap;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::by_position::ByPosition;
use super::context::Context;
use super::database::{DispatchDatabase, Reflects};
use super::history::Gate;
use super::hold::Hold;
use super::lanes::{Bounds, Class, Lanes};
use super::mailbox::Mailbox;
use super::record::{PROGRESS_KEY, Progress};
use super::{DispatchError, history};
use crate::event::{Name, Scope};
use crate::log::{Address, Append, AppendError, Durability, Follow, ReadError, RecordKind};
use crate::storage::Disk;

use messages::Watch;
pub(super) use messages::{Filter, Message, OpenEntry, OpenPage, Place, Question, Reply};
pub(super) use queues::{HeldPage, QueueQuestion, Taken};

/// How many entries of the log are followed before messages are looked at again.
const FOLD_AT_ONCE: usize = 1_024;

/// The longest sleep while a time is waited for: the wall clock may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// An attempt that was handed out and whose end hasn't been followed yet.
#[derive(Debug)]
struct Running {
    /// Which of all attempts since the thread began.
    number: u64,
    handler: Name,
    /// The queue, where its target is one.
    queue: Option<(Scope, Name)>,
    deadline: i64,
    time_is_up: Option<oneshot::Sender<()>>,
    task: Option<AbortHandle>,
}

type Beyond = Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send>>;

/// See the head of this file.
pub(super) struct Driver {
    /// Closed before the store is, which holds the directory: fields are dropped in this order.
    lanes: Lanes<DispatchDatabase>,
    context: Arc<Context>,
    mailbox: Arc<Mailbox<Message>>,
    /// Where handlers run; `None` serves no deliveries.
    runtime: Option<Handle>,
    queues: rooms::Rooms,
    firing: timers::Firing,
    schedules: schedules::Calendar,
    inputs: inputs::Inputs,
    follow: Follow,
    /// Resolves when the log has grown.
    beyond: Option<Beyond>,
    /// Everything before this was on record when the thread started: nothing runs before it is folded.
    history: Address,
    /// The last position of that.
    history_position: u64,
    serving: bool,
    /// Up to this position events are history without deliveries.
    imported: u64,
    /// Who wants to import history: one at a time, as the gate says.
    importer: Option<(Gate, Reply<Hold>)>,
    /// Of the import that is under way.
    gate: Option<Gate>,
    running: ByPosition<(u64, usize), Running>,
    /// Attempts that were handed out.
    started: u64,
    /// Whether the log says already who makes attempts here.
    worker_is_recorded: bool,
    batches: usize,
    deadlines: BTreeSet<(i64, u64, usize)>,
    sleepers: BTreeMap<(i64, u64), oneshot::Sender<()>>,
    sleeper_number: u64,
    /// Deliveries that are handed out again at a time.
    given_back: BTreeSet<(i64, u64, usize)>,
    watches: FastMap<u64, Vec<Watch>>,
    /// Watched events to look at.
    touched: BTreeSet<u64>,
    /// Something has changed since all watches were last looked at.
    moved: bool,
    /// With the durable end when they were asked: they are answered once the log is followed up to there.
    questions: Vec<(Address, Question)>,
    closing: Option<Closing>,
    stored: Option<Reflects>,
    /// Whether the database was made anew at this open.
    is_anew: bool,
    folded: u64,
    followed_events: u64,
    /// The generation of the configuration that queues' limits were last looked at for.
    generation: u64,
}

#[derive(Debug)]
struct Closing {
    until: i64,
    replies: Vec<Reply<()>>,
}

enum Next {
    Again,
    Sleep(Option<i64>),
    Stop,
}

impl Driver {
    pub(super) fn new(context: Arc<Context>, runtime: Option<Handle>) -> Result<Self, DispatchError> {
        let waiting = context.clone();
        let fence = context.store.fence().waiting_for_room(move || waiting.wait_for_room());
        let database = DispatchDatabase::open(&context.store, &fence, &context.options, context.plans.clone())?;
        Self::over(database, context, runtime)
    }

    /// As [`new`](Self::new), with the database on a disk that isn't the store's, and serving nothing.
    pub(super) fn on(disk: &dyn Disk, context: Arc<Context>) -> Result<Self, DispatchError> {
        let database = DispatchDatabase::open_on(disk, &context.options, context.plans.clone())?;
        Self::over(database, context, None)
    }

    fn over(
        mut database: DispatchDatabase,
        context: Arc<Context>,
        runtime: Option<Handle>,
    ) -> Result<Self, DispatchError> {
        let store = &context.store;
        let stored = database.reflects()?;
        let (history, history_position) = (store.durable_end(), store.last_position());
        let from = match stored {
            Some(reflects) => Address::from_u64(reflects.address),
            None => Self::rebuild_from(&context)?,
        };
        if from > history {
            return Err(DispatchError::AheadOfLog { reflects: from, end: history });
        }
        // Asking the log looks into each of its segments.
        let imported = match database.imported()? {
            Some(imported) => imported,
            None => history::imported(store)?,
        };
        let options = &context.options;
        let bounds = Bounds {
            events: options.max_open_events.max(1),
            events_per_scope: options.max_open_events_per_scope.max(1),
            running_per_handler: options.max_in_flight_per_handler.max(1),
            running_per_scope: options.max_in_flight_per_scope.max(1),
        };
        let queues = rooms::Rooms::new(database.counts()?);
        let position = stored.map_or(0, |reflects| reflects.position);
        Ok(Self {
            mailbox: context.mailbox.clone(),
            runtime,
            lanes: Lanes::new(database, bounds, position)?,
            queues,
            firing: timers::Firing::default(),
            schedules: schedules::Calendar::default(),
            inputs: inputs::Inputs::default(),
            follow: store.follow(from)?,
            beyond: None,
            history,
            history_position,
            serving: false,
            imported,
            importer: None,
            gate: None,
            running: ByPosition::default(),
            started: 0,
            worker_is_recorded: false,
            batches: 0,
            deadlines: BTreeSet::new(),
            sleepers: BTreeMap::new(),
            sleeper_number: 0,
            given_back: BTreeSet::new(),
            watches: FastMap::new(),
            touched: BTreeSet::new(),
            moved: false,
            questions: Vec::new(),
            closing: None,
            stored,
            is_anew: stored.is_none(),
            folded: 0,
            followed_events: 0,
            generation: context.catalog.generation(),
            context,
        })
    }

    /// Where a new file begins: what is before was complete when dispatch last said so in the log.
    fn rebuild_from(context: &Context) -> Result<Address, DispatchError> {
        match context.store.records_with_key(RecordKind::Delivery, PROGRESS_KEY)?.last() {
            Some(found) => Progress::decode(&found.body)
                .map(|progress| progress.open_from)
                .ok_or(DispatchError::Record { address: found.address }),
            None => Ok(Address::START),
        }
    }

    /// Up to this position events are history without deliveries.
    pub(super) fn imported(&self) -> u64 {
        self.imported
    }

    /// Follows the log to its end, and puts everything into the database, which is not committed; `progress` is told
    /// addresses.
    pub(super) fn fold_all(
        &mut self,
        mut progress: impl FnMut(Address),
    ) -> Result<&mut DispatchDatabase, DispatchError> {
        while self.fold()? {
            progress(self.follow.position());
        }
        self.lanes.put_all()?;
        Ok(self.lanes.shelf())
    }

    /// Works until it is told to stop, or can't go on.
    pub(super) fn run(&mut self) -> Result<(), DispatchError> {
        loop {
            match self.step()? {
                Next::Again => {}
                Next::Sleep(until) => {
                    let now = self.context.now();
                    let wait = until.map(|until| u64::try_from(until.saturating_sub(now)).unwrap_or_default());
                    self.mailbox.sleep(wait.map(|wait| Duration::from_micros(wait).min(LONGEST_SLEEP)));
                }
                Next::Stop => return Ok(()),
            }
        }
    }

    fn step(&mut self) -> Result<Next, DispatchError> {
        for message in self.mailbox.take() {
            if self.receive(message)?.is_break() {
                return Ok(Next::Stop);
            }
        }
        let followed = self.follow.position();
        let more = self.fold()?;
        self.moved |= self.follow.position() != followed;
        self.inputs.followed(self.follow.position());
        if !self.serving && self.runtime.is_some() && self.follow.position() >= self.history {
            self.serving = true;
            self.moved = true;
            self.lanes.serve();
        }
        if self.folded >= self.context.options.checkpoint_every.max(1) {
            self.checkpoint()?;
        }
        let now = self.context.now();
        self.time_passes(now)?;
        self.tell_watches()?;
        let mut busy = more;
        if self.serving && self.closing.is_none() {
            busy |= self.start_all()?;
            if self.may_bring_events() {
                busy |= self.fire_timers(now)?;
                busy |= self.occur(now)?;
                busy |= self.ingest_inputs(now)?;
            }
            busy |= self.lanes.refill(!busy)?;
            self.moved |= busy;
        }
        self.answer(now)?;
        self.answer_importer();
        if self.has_closed(now)? {
            return Ok(Next::Stop);
        }
        if busy {
            return Ok(Next::Again);
        }
        // What has moved may have left another event blocked of which there is no record of its own: one that came in
        // from overflow, or became the head of its lane.
        if std::mem::take(&mut self.moved) {
            self.touched.extend(self.watches.keys());
        }
        self.tell_watches()?;
        if self.has_grown()? { Ok(Next::Again) } else { Ok(Next::Sleep(self.next_time()?)) }
    }

    /// Whether timers, schedules and input queues may bring events: not while history is imported, or somebody is about to.
    fn may_bring_events(&self) -> bool {
        self.imported != u64::MAX && self.importer.is_none()
    }

    /// Once nothing brings events, and nobody ingests any, what comes is history; unless there are events already.
    fn answer_importer(&mut self) {
        if self.is_firing() || self.follow.position() < self.context.store.durable_end() {
            return;
        }
        let Some((gate, importer)) = self.importer.take() else { return };
        let answer = match self.context.store.import_as_recorded() {
            Ok(_) => {
                self.imported = u64::MAX;
                self.gate = Some(gate);
                Ok(Hold::new(&self.context, Message::NoHistory))
            }
            Err(error) => Err(error.into()),
        };
        let _ = importer.send(answer);
    }

    /// Whether the log has grown since it was followed to its end; if not, the mailbox is woken when it does.
    fn has_grown(&mut self) -> Result<bool, DispatchError> {
        let from = self.follow.position();
        let store = &self.context.store;
        let beyond = self.beyond.get_or_insert_with(|| Box::pin(store.beyond(from)));
        let waker = Waker::from(self.mailbox.clone());
        match beyond.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(grown) => {
                self.beyond = None;
                grown?;
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Does what is due by the clock.
    fn time_passes(&mut self, now: i64) -> Result<(), DispatchError> {
        self.moved |= self.lanes.due(now)?;
        while let Some((at, position, slot)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.remove(&(at, position, slot));
            if let Some(running) = self.running.get_mut(&(position, slot))
                && let Some(time_is_up) = running.time_is_up.take()
            {
                // An error says that the attempt has just ended.
                let _ = time_is_up.send(());
            }
        }
        while let Some(entry) = self.sleepers.first_entry()
            && entry.key().0 <= now
        {
            let _ = entry.remove().send(());
        }
        while let Some((at, position, slot)) = self.given_back.first().copied()
            && at <= now
        {
            self.given_back.remove(&(at, position, slot));
            self.moved = true;
            self.give_back(position, slot)?;
        }
        // An activation wakes the thread.
        self.look_at_limits()?;
        Ok(())
    }

    /// When [`time_passes`](Self::time_passes) has something to do next.
    fn next_time(&mut self) -> Result<Option<i64>, DispatchError> {
        let retry = if self.serving && self.closing.is_none() { self.lanes.next_due()? } else { None };
        let (timer, occurrence, input) = match self.serving && self.closing.is_none() && self.may_bring_events() {
            true => (self.next_timer()?, self.next_occurrence(), self.inputs.next_time()),
            false => (None, None, None),
        };
        let times = [
            retry,
            timer,
            occurrence,
            self.deadlines.first().map(|(at, ..)| *at),
            self.sleepers.first_key_value().map(|((at, _), _)| *at),
            self.given_back.first().map(|(at, ..)| *at),
            self.closing.as_ref().map(|closing| closing.until),
            input,
        ];
        Ok(times.into_iter().flatten().min())
    }

    /// Commits `dispatch.redb`, and says in the log how far dispatch has come.
    pub(super) fn checkpoint(&mut self) -> Result<(), DispatchError> {
        self.folded = 0;
        let reflects = Reflects { address: self.follow.position().to_u64(), position: self.lanes.last() };
        if self.stored == Some(reflects) {
            return Ok(());
        }
        self.lanes.put_all()?;
        let followed = self.follow.position();
        let open_from = self.lanes.shelf().open_from(followed)?;
        let log = self.context.store.fingerprint_at(followed)?;
        self.lanes.shelf().commit(reflects, log, self.imported)?;
        self.stored = Some(reflects);
        // Only after events, or this record would be a reason for the next one.
        if self.serving && self.followed_events >= self.context.options.checkpoint_every {
            let progress = Progress { followed, open_from };
            let append = Append::of_records().record(RecordKind::Delivery, PROGRESS_KEY, progress.encode());
            match self.context.store.append(append.durability(Durability::Deferred)) {
                Ok(_) => self.followed_events = 0,
                // It only saves following the log from further back: the next checkpoint tries again.
                Err(AppendError::NoSpace { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether a close that was asked for is done.
    fn has_closed(&mut self, now: i64) -> Result<bool, DispatchError> {
        let is_firing = self.is_firing();
        let Some(closing) = &mut self.closing else { return Ok(false) };
        let running = self.lanes.running(Class::Function) + self.lanes.running(Class::Http) + self.lanes.returned();
        let idle = running == 0 && self.batches == 0 && !is_firing;
        if !idle && now < closing.until {
            return Ok(false);
        }
        if !idle {
            tracing::warn!(
                running = self.running.len(),
                "closing while handlers run; they are tried again after the next open"
            );
        }
        match self.checkpoint() {
            // The next open follows the log from further back.
            Err(error) if error.is_full_disk() => tracing::warn!(%error, "closing on a full disk"),
            other => other?,
        }
        Ok(true)
    }

    /// Who is to be told once all is closed.
    pub(super) fn take_close_replies(&mut self) -> Vec<Reply<()>> {
        self.closing.take().map(|closing| closing.replies).unwrap_or_default()
    }
}

impl Drop for Driver {
    /// Whatever runs is abandoned; it is tried again after the next open.
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            if let Some(task) = running.task.take() {
                task.abort();
            }
        }
        self.context.http.shut_down();
        self.context.in_process.lock().clear();
    }
}
