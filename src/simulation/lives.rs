//! One life of a simulated process: the store is open, tasks append, and at last it ends, one way or another.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::attempts::{Attempt, Habits};
use super::model::{Check, Model, ensure};
use super::readers::{Readers, is_explained};
use super::world::{SetClock, World};
use crate::log::{
    AppendError, Compress, Durability, EventStore, KeyframePolicy, OpenError, OpenMode, Options, ReadError, Receipt,
};
use crate::storage::simulated::{Fault, Rng, SimulatedDisk};

type Answer = Pin<Box<dyn Future<Output = Result<Option<Receipt>, AppendError>> + Send>>;

/// What a task is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To append attempt `.0`, for the first time or again.
    Append(usize),
    /// To append other content under an id that is known.
    ReuseId,
    /// To append an id that is known with one that isn't.
    MixIds,
    /// To make durable what was appended.
    Sync,
}

/// A task that waits for an answer.
pub(super) struct Task {
    pub(super) purpose: Purpose,
    durability: Durability,
    answer: Answer,
    /// Begun after a sync of the log had failed: it must not be told that anything is durable.
    too_late: bool,
    /// Begun when what it appends was known to be in the log.
    is_repeat: bool,
    /// Room was short while it was on its way.
    met_full_disk: bool,
}

/// A life.
pub(super) struct Life {
    pub(super) world: World,
    pub(super) store: EventStore,
    pub(super) tasks: Vec<Task>,
    pub(super) readers: Readers,
    /// The disk has little room.
    cramped: bool,
    /// A sync of a segment failed.
    pub(super) failed_sync: bool,
    closing: bool,
}

/// Options of a life.
pub(super) fn options(rng: &mut Rng) -> Options {
    let keyframes = match rng.below(4) {
        0 => KeyframePolicy::Adaptive(1),
        1 => KeyframePolicy::Events(1 + rng.below(6)),
        2 => KeyframePolicy::Bytes(200),
        _ => KeyframePolicy::Never,
    };
    Options {
        segment_size: 64 << 10,
        max_commit: 1 << 20,
        max_queue: 1 << 20,
        keyframes,
        keyframe_min_events: 2,
        max_open_segments: 8,
        fill_chunk: 4096 << rng.below(3),
        compress: if cfg!(feature = "compression") && rng.one_in(2) { Compress::All } else { Compress::None },
        ..Options::default()
    }
}

/// Opens the store of a disk in a world of its own.
pub(super) fn open(
    disk: &SimulatedDisk,
    clock: &Arc<SetClock>,
    rng: &mut Rng,
) -> Result<(World, EventStore), OpenError> {
    open_mode(disk, clock, rng, OpenMode::Write)
}

/// As [`open`], to write, to read or to salvage.
pub(super) fn open_mode(
    disk: &SimulatedDisk,
    clock: &Arc<SetClock>,
    rng: &mut Rng,
    mode: OpenMode,
) -> Result<(World, EventStore), OpenError> {
    let world = World::new(disk.clone(), clock.clone());
    let store = EventStore::open_with_mode(world.environment(rng.any()), options(rng), mode)?;
    Ok((world, store))
}

impl Life {
    pub(super) fn new(world: World, store: EventStore) -> Self {
        let readers = Readers::new(&store, &world.disk);
        Self { world, store, tasks: Vec::new(), readers, cramped: false, failed_sync: false, closing: false }
    }

    pub(super) fn is_cramped(&self) -> bool {
        self.cramped
    }

    /// Leaves room for so many bytes; [`u64::MAX`] for any number.
    pub(super) fn set_room(&mut self, bytes: u64) {
        self.world.disk.set_room(bytes);
        self.cramped = bytes != u64::MAX;
        self.tasks.iter_mut().for_each(|task| task.met_full_disk |= self.cramped);
    }

    fn task(&self, purpose: Purpose, durability: Durability, answer: Answer) -> Task {
        let (too_late, met_full_disk) = (self.failed_sync, self.cramped);
        Task { purpose, durability, answer, too_late, is_repeat: false, met_full_disk }
    }

    /// Whether the fault that an append failed of may have that consequence.
    pub(super) fn explains(&self, error: &AppendError, met_full_disk: bool) -> Check {
        let fault = Fault::told_by(error);
        match (error, fault) {
            (AppendError::NoSpace { .. }, Some(Fault::Full)) => ensure(met_full_disk, || "there is room".to_owned()),
            // Space can't be had, whatever the reason; nothing was begun.
            (AppendError::NoSpace { .. }, Some(_)) => Ok(()),
            // What was written may stand in part, or a name.
            (AppendError::Poisoned { .. }, Some(Fault::Write | Fault::Sync | Fault::Name | Fault::Power)) => Ok(()),
            (AppendError::Poisoned { .. }, Some(fault)) => Err(format!("{fault:?} must not poison")),
            (AppendError::Read(error), Some(_)) => ensure(is_explained(error), || "no fault explains that".to_owned()),
            (AppendError::Closed | AppendError::Read(ReadError::Closed), None) => {
                ensure(self.closing, || "it isn't closed".to_owned())
            }
            _ => Err("no fault explains that".to_owned()),
        }
    }

    /// A task begins that appends attempt `number`, with its ids where they are known.
    pub(super) fn begin(&mut self, model: &Model, number: usize, durability: Durability) -> Check {
        let attempt = model.attempt(number)?;
        let append = attempt.append(model.scope(attempt.scope)?, durability);
        let answer = self.store.append_async(append);
        let answer = Box::pin(async move { answer.await.map(Some) });
        let task = self.task(Purpose::Append(number), durability, answer);
        self.tasks.push(Task { is_repeat: model.first.contains_key(&number), ..task });
        Ok(())
    }

    /// A task begins whose append must be refused for its ids: `known` is a durable attempt.
    pub(super) fn begin_wrong(&mut self, model: &Model, known: &Attempt, fresh: &Attempt, mixes: bool) -> Check {
        let mut wrong = known.clone();
        wrong.expected.clear();
        wrong.records.clear();
        let purpose = if mixes {
            wrong.events.extend(fresh.events.iter().take(1).cloned());
            Purpose::MixIds
        } else {
            if let Some(event) = wrong.events.first_mut() {
                event.data = b"{\"a\":0,\"i\":0,\"other\":1}".to_vec();
            }
            Purpose::ReuseId
        };
        let answer = self.store.append_async(wrong.append(model.scope(wrong.scope)?, Durability::Sync));
        let answer = Box::pin(async move { answer.await.map(Some) });
        self.tasks.push(self.task(purpose, Durability::Sync, answer));
        Ok(())
    }

    pub(super) fn begin_sync(&mut self) {
        let answer = self.store.sync_async();
        let answer = Box::pin(async move { answer.await.map(|()| None) });
        self.tasks.push(self.task(Purpose::Sync, Durability::Sync, answer));
    }

    /// Polls a task; what it is told is held against the model.
    pub(super) fn poll(&mut self, number: usize, model: &mut Model) -> Check {
        let Some(task) = self.tasks.get_mut(number) else { return Ok(()) };
        match task.answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(()),
            Poll::Ready(answer) => {
                let task = self.tasks.swap_remove(number);
                self.judge(&task, answer, model)
            }
        }
    }

    fn judge(&self, task: &Task, answer: Result<Option<Receipt>, AppendError>, model: &mut Model) -> Check {
        let wrong = |what: &str| format!("{what}: {:?} is answered {answer:?}", task.purpose);
        let receipt = match (&answer, task.purpose) {
            (Ok(receipt), Purpose::Append(_)) => receipt.as_ref().ok_or_else(|| wrong("no receipt"))?,
            (Ok(_), Purpose::Sync) => return ensure(!task.too_late, || wrong("after a failed sync")),
            (Ok(_), _) => return Err(wrong("it must be refused")),
            (Err(error), _) => return self.judge_refusal(task, error, model).map_err(|what| wrong(&what)),
        };
        let Purpose::Append(number) = task.purpose else { return Ok(()) };
        let must_be_durable = task.durability == Durability::Sync;
        ensure(receipt.durable || !must_be_durable, || wrong("not durable"))?;
        let is_new = !receipt.repeated && receipt.durable;
        ensure(!(task.too_late && is_new), || wrong("after a failed sync"))?;
        model.acknowledged(number, receipt)?;
        let newest = receipt.events.iter().map(|written| written.position).max().unwrap_or(0);
        let is_visible = !receipt.durable || self.closing || self.store.last_position() >= newest;
        ensure(is_visible, || wrong("not visible yet"))
    }

    fn judge_refusal(&self, task: &Task, error: &AppendError, model: &mut Model) -> Check {
        match (error, task.purpose) {
            (AppendError::IdReused { .. }, Purpose::ReuseId) | (AppendError::MixedIds { .. }, Purpose::MixIds) => {
                return Ok(());
            }
            (AppendError::Conflict { stream, expected, actual }, Purpose::Append(number)) => {
                let attempt = model.attempt(number)?;
                let stated = attempt.expected.contains(&(stream.clone(), *expected));
                ensure(stated && !expected.allows(*actual), || "no conflict".to_owned())?;
                ensure(!task.is_repeat, || "it is in the log already".to_owned())?;
                // Nobody is told of a version that a crash could take back.
                match self.store.version(model.scope(attempt.scope)?, stream) {
                    Ok(version) => {
                        ensure(version >= *actual, || format!("only version {version} is durable"))?;
                    }
                    Err(error) => ensure(is_explained(&error) || self.closing, || error.to_string())?,
                }
            }
            (AppendError::Poisoned { .. }, _) => {
                // Whether it is in the log will be seen.
                if let Purpose::Append(number) = task.purpose {
                    model.unknown.insert(number);
                }
                return self.explains(error, task.met_full_disk);
            }
            _ => self.explains(error, task.met_full_disk)?,
        }
        let tries_again = |other: &Task| other.purpose == task.purpose;
        if let Purpose::Append(number) = task.purpose
            && !model.first.contains_key(&number)
            && !model.unknown.contains(&number)
            && !self.tasks.iter().any(tries_again)
        {
            model.refused.insert(number);
        }
        Ok(())
    }

    /// Closes the store, and asks every task how it ended.
    pub(super) fn close(&mut self, model: &mut Model) -> Check {
        self.world.scheduler.drain(crate::storage::Lane::Commit);
        let closed = self.store.close();
        self.closing = true;
        while let Some(last) = self.tasks.len().checked_sub(1) {
            self.poll(last, model)?;
            ensure(self.tasks.len() == last, || "a task waits for an answer after the close".to_owned())?;
        }
        match closed {
            Ok(()) => {
                // A clean close makes everything durable.
                let all: Vec<usize> = model.order.values().map(|placed| placed.attempt).collect();
                model.must.extend(all);
                model.durable = model.order.keys().next_back().copied().unwrap_or(0).max(model.durable);
                Ok(())
            }
            Err(error) => {
                self.explains(&error, self.cramped).map_err(|what| format!("{what}: a close failed: {error}"))
            }
        }
    }

    /// Lets go of the store: its last handles are dropped.
    pub(super) fn end(mut self) {
        self.readers.end();
        self.tasks.clear();
    }
}

/// What a driver does next, by its odds.
pub(super) fn fresh(rng: &mut Rng, habits: &Habits, model: &Model) -> Attempt {
    let causes: Vec<_> = (0..4)
        .filter_map(|_| {
            let placed = model.order.get(&(1 + rng.below(model.order.len() as u64)))?;
            model.attempts.get(placed.attempt)?.events.get(placed.index)?.id
        })
        .collect();
    Attempt::new(rng, habits, model.attempts.len(), &causes, |scope, stream| model.version(scope, stream))
}
