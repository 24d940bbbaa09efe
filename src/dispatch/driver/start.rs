//! Handing attempts out, and how much room queues have.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Driver, Running};
use crate::config::Target;
use crate::dispatch::arrivals::LATER;
use crate::dispatch::context::Job;
use crate::dispatch::lanes::{Class, Start};
use crate::dispatch::prepare::cut;
use crate::dispatch::record::{WORKER_KEY, encode_worker};
use crate::dispatch::{DispatchError, attempt, batch};
use crate::event::{Name, Scope};
use crate::log::{Append, Durability, RecordKind};

/// Batches of messages that are written at once: one is encoded while another is synced.
const MAX_BATCHES: usize = 4;

/// Attempts of functions that have returned and whose ends aren't on record: what they emit is held in memory.
const MAX_RETURNED: usize = 1_024;

/// Attempts at functions that are started in one go.
const MAX_ROUND: usize = 64;

impl Driver {
    /// Starts what may start. Returns whether there was anything.
    pub(super) fn start_all(&mut self) -> Result<bool, DispatchError> {
        let mut any = false;
        loop {
            // Queues first: one that is full lets the functions behind it go ahead.
            let messages = self.start_batches()?;
            let functions = self.start_attempts(Class::Function, self.context.options.max_in_flight)?;
            let http = self.start_attempts(Class::Http, self.context.options.max_http_in_flight)?;
            if !messages && !functions && !http {
                return Ok(any);
            }
            any = true;
        }
    }

    fn next(&mut self, class: Class) -> Option<Start> {
        let (queues, catalog) = (&mut self.queues, &self.context.catalog);
        self.lanes.next(class, |scope, queue| {
            let has_room = queues.left(scope, queue, catalog) > 0;
            if has_room {
                queues.starts(scope, queue);
            }
            has_room
        })
    }

    /// Starts attempts at functions or endpoints, as long as fewer than `limit` run.
    fn start_attempts(&mut self, class: Class, limit: usize) -> Result<bool, DispatchError> {
        let Some(runtime) = self.runtime.clone() else { return Ok(false) };
        let mut any = false;
        let mut round = Vec::new();
        while self.lanes.running(class) < limit.max(1)
            && self.lanes.returned() < MAX_RETURNED
            && let Some(start) = self.next(class)
        {
            any = true;
            let job = self.job(start)?;
            let Some(handler) = job.handler() else { return Err(DispatchError::Stopped) };
            // An expression may take long: no other attempt waits for it. And what was tried before may have taken its
            // process down: should it again, no other attempt has been counted with it. A call by http may wait its turn.
            let waits = class == Class::Http;
            if handler.data.is_some() || job.guard_failed || job.state.attempts > 0 || waits {
                self.start_round(vec![job], &runtime)?;
                continue;
            }
            round.push(job);
            if round.len() == MAX_ROUND {
                self.start_round(std::mem::take(&mut round), &runtime)?;
            }
        }
        if !round.is_empty() {
            self.start_round(round, &runtime)?;
        }
        Ok(any)
    }

    /// Says in the log who makes the attempts from here on, before the first one starts. Returns whether that is there: not on a
    /// full disk.
    fn record_worker(&mut self) -> Result<bool, DispatchError> {
        if std::mem::replace(&mut self.worker_is_recorded, true) {
            return Ok(true);
        }
        let options = &self.context.options;
        let worker = encode_worker(&cut(options.worker.clone(), options.max_error));
        let append = Append::of_records().record(RecordKind::Delivery, WORKER_KEY, worker);
        match self.context.store.append(append.durability(Durability::Deferred)) {
            Err(error) if error.is_full_disk() => self.worker_is_recorded = false,
            other => _ = other?,
        }
        Ok(self.worker_is_recorded)
    }

    fn start_round(&mut self, jobs: Vec<Job>, runtime: &Handle) -> Result<(), DispatchError> {
        if !self.record_worker()? {
            let at = self.context.after(LATER);
            self.given_back.extend(jobs.into_iter().map(|job| (at, job.start.position, job.start.slot)));
            return Ok(());
        }
        let mut attempts = Vec::with_capacity(jobs.len());
        let mut started = Vec::with_capacity(jobs.len());
        for job in jobs {
            let Some(handler) = job.handler() else { continue };
            let (time_is_up, signal) = oneshot::channel();
            let deadline = match handler.target {
                // Its time begins with its turn.
                Target::Http(_) => i64::MAX,
                _ => self.context.after(handler.timeout),
            };
            let (time_is_up, handler) = (Some(time_is_up), handler.name.clone());
            let running = Running { number: job.number, handler, queue: None, deadline, time_is_up, task: None };
            started.push((job.start.clone(), running));
            attempts.push((job, signal));
        }
        let mut in_process = self.context.in_process.lock();
        in_process.extend(started.iter().map(|(start, running)| (start.position, running.handler.clone())));
        drop(in_process);
        let task = runtime.spawn(attempt::run_round(self.context.clone(), attempts, runtime.clone()));
        for (Start { position, slot }, running) in started {
            if running.deadline < i64::MAX {
                self.deadlines.insert((running.deadline, position, slot));
            }
            self.running.insert((position, slot), Running { task: Some(task.abort_handle()), ..running });
        }
        Ok(())
    }

    /// The turn of an attempt has come: its time begins.
    pub(super) fn turn_has_come(&mut self, Start { position, slot }: Start, number: u64, deadline: i64) {
        let running = self.running.get_mut(&(position, slot)).filter(|running| running.number == number);
        let Some(running) = running else { return };
        self.deadlines.remove(&(running.deadline, position, slot));
        running.deadline = deadline;
        self.deadlines.insert((deadline, position, slot));
    }

    fn start_batches(&mut self) -> Result<bool, DispatchError> {
        let Some(runtime) = self.runtime.clone() else { return Ok(false) };
        let mut any = false;
        while self.batches < MAX_BATCHES {
            let mut jobs = Vec::new();
            while jobs.len() < self.context.options.max_message_batch.max(1)
                && let Some(start) = self.next(Class::Queue)
            {
                let key = (start.position, start.slot);
                let job = self.job(start)?;
                let Some(handler) = job.handler() else { return Err(DispatchError::Stopped) };
                let queue = match &handler.target {
                    Target::Queue(queue) => Some((job.scope.clone(), queue.clone())),
                    Target::Function(_) | Target::Http(_) => None,
                };
                let handler = handler.name.clone();
                let (number, deadline) = (job.number, i64::MAX);
                self.running.insert(key, Running { number, handler, queue, deadline, time_is_up: None, task: None });
                jobs.push(job);
            }
            if jobs.is_empty() {
                break;
            }
            any = true;
            self.batches += 1;
            runtime.spawn_blocking(batch::work(self.context.clone(), jobs));
        }
        Ok(any)
    }

    fn job(&mut self, start: Start) -> Result<Job, DispatchError> {
        self.started += 1;
        let missing = DispatchError::Stopped;
        let Some(event) = self.lanes.event(start.position) else { return Err(missing) };
        let Some(slot) = event.slots.get(start.slot) else { return Err(missing) };
        let plan = self.context.plans.of(event.id, event.revision, &event.event_type)?;
        let handler = plan.handlers.iter().position(|handler| handler.name == slot.handler).ok_or(missing)?;
        let later = event.slots.iter().skip(start.slot + 1).filter(|later| slot.stop_on_failure && later.is_open());
        Ok(Job {
            scope: event.scope.clone(),
            handler,
            state: slot.state.clone(),
            guard_failed: slot.guard_failed,
            stops: later.map(|later| later.handler.clone()).collect(),
            plan,
            start,
            number: self.started,
        })
    }

    /// An attempt that was handed out has ended, or never took place.
    pub(super) fn ended(&mut self, position: u64, slot: usize) -> Result<(), DispatchError> {
        let Some(running) = self.running.remove(&(position, slot)) else { return Ok(()) };
        self.deadlines.remove(&(running.deadline, position, slot));
        match running.queue {
            Some((scope, queue)) => {
                self.queues.ended(&scope, &queue);
                self.offer_room(&scope, &queue)
            }
            None => {
                self.context.in_process.lock().remove(&(position, running.handler));
                Ok(())
            }
        }
    }

    pub(super) fn give_back(&mut self, position: u64, slot: usize) -> Result<(), DispatchError> {
        self.lanes.give_back(position, slot);
        self.ended(position, slot)
    }

    /// Offers the room that an activation may have made.
    pub(super) fn look_at_limits(&mut self) -> Result<(), DispatchError> {
        let generation = self.context.catalog.generation();
        if std::mem::replace(&mut self.generation, generation) == generation {
            return Ok(());
        }
        let queues: Vec<(Scope, Name)> = self.queues.all().cloned().collect();
        queues.into_iter().try_for_each(|(scope, queue)| self.offer_room(&scope, &queue))
    }

    /// Lets deliveries that found the queue full stand in line again, as far as it has room.
    pub(super) fn offer_room(&mut self, scope: &Scope, queue: &Name) -> Result<(), DispatchError> {
        let left = self.queues.left(scope, queue, &self.context.catalog);
        self.lanes.room(scope, queue, usize::try_from(left).unwrap_or(usize::MAX))
    }
}
