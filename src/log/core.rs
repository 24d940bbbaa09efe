//! The log at work: the current view, the queue, the one committer, sealing behind it.

mod closing;
mod packing;
mod sealing;

use std::sync::Arc;

use super::beside::Beside;
use super::durable::Durable;
use super::lock_file::LockFile;
use super::prepare::{self, Ids};
use super::prepared::Prepared;
use super::queue::{Closed, CommitQueue, Queued, Role};
use super::spare::Spare;
use super::ticket::Ticket;
use super::view::{CurrentView, SealedSegments, View};
use super::writer::{Batch, Committed, Failure, Space, Writer, extent};
use super::{Address, Append, AppendError, Durability, Options, ReadError, Receipt};
use crate::event::Scope;
use crate::planted::{Bug, planted};
use crate::storage::{Environment, Fence, Lane, Process};
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, RwLock};

/// Segments that may wait to be indexed behind; a committer that would add another indexes one itself, and refuses
/// appends at twice as many.
const MAX_UNSEALED: usize = 3;

type Answer = Result<(Committed, bool), AppendError>;

/// One append in the queue.
pub(crate) struct Request {
    prepared: Box<Prepared>,
    ticket: Ticket<Answer>,
}

impl Queued for Request {
    fn size(&self) -> usize {
        self.prepared.size
    }

    fn alone(&self) -> bool {
        self.prepared.as_recorded.is_some()
    }
}

/// What all handles of a store share.
pub(crate) struct Core {
    pub(crate) environment: Environment,
    pub(crate) options: Options,
    pub(crate) view: CurrentView,
    pub(crate) sealed: Arc<SealedSegments>,
    pub(crate) durable: Durable,
    pub(crate) queue: CommitQueue<Request>,
    opened_by: Process,
    pub(crate) open_us: u64,
    /// `None` of a store that is open for reading only.
    writer: Option<Mutex<Writer>>,
    /// Of a store that is open for reading only.
    pub(crate) beside: Option<Beside>,
    lock: Mutex<Option<LockFile>>,
    poison: Mutex<Option<AppendError>>,
    /// Serialises what changes the sealed part of the view.
    sealing: Mutex<()>,
    /// Up to which segment all were packed, or looked at and left.
    packed: AtomicU32,
    closing: AtomicBool,
    /// How the first close ended; held while it goes on.
    closed: Mutex<Option<Result<(), AppendError>>>,
    /// Shut before the directory is let go.
    pub(crate) fence: Fence,
    /// Whether a close has anything to write.
    changed: AtomicBool,
    spare: Spare,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStore").field("durable_end", &self.durable.end()).finish_non_exhaustive()
    }
}

/// What [`open`](super::open) found, to begin with.
pub(crate) struct Opened {
    pub(crate) environment: Environment,
    pub(crate) options: Options,
    pub(crate) view: View,
    pub(crate) writer: Option<Writer>,
    pub(crate) lock: Option<LockFile>,
    pub(crate) beside: Option<Beside>,
    pub(crate) end: Address,
    pub(crate) position: u64,
    pub(crate) open_us: u64,
}

/// An append on its way.
pub(crate) enum Submitted {
    /// Answered without being queued.
    Done(Receipt),
    /// The answer, once what it speaks of is durable.
    AfterSync(Receipt),
    /// To be queued once there is room.
    Queue(Box<Prepared>),
}

impl Core {
    pub(crate) fn new(opened: Opened) -> Arc<Self> {
        let Opened { environment, options, view, writer, lock, beside, end, position, open_us } = opened;
        Arc::new(Self {
            queue: CommitQueue::new(options.max_queue, options.max_commit),
            sealed: view.sealed.clone(),
            view: RwLock::new(Arc::new(view)),
            durable: Durable::new(end, position),
            opened_by: Process::current(),
            open_us,
            // What was recovered is written down as closed at the next close.
            changed: AtomicBool::new(writer.as_ref().is_some_and(|writer| !writer.is_closed())),
            writer: writer.map(Mutex::new),
            beside,
            lock: Mutex::new(lock),
            poison: Mutex::new(None),
            sealing: Mutex::new(()),
            spare: Spare::default(),
            packed: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            closed: Mutex::new(None),
            fence: Fence::default(),
            environment,
            options,
        })
    }

    /// The log as it is now.
    pub(crate) fn current(&self) -> Result<Arc<View>, ReadError> {
        self.look()?;
        Ok(self.view.read().clone())
    }

    /// Makes visible what became durable: of a store that is open for reading only, what another process has made durable.
    pub(crate) fn look(&self) -> Result<(), ReadError> {
        if !self.opened_by.is_current() {
            return Err(ReadError::Forked { opened_by: self.opened_by.id() });
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(ReadError::Closed);
        }
        self.beside.as_ref().map_or(Ok(()), |beside| beside.look(self))
    }

    /// Blocks until the durable end is beyond `end`.
    pub(crate) fn wait_beyond(self: &Arc<Self>, end: Address) -> Result<(), ReadError> {
        while let Some(ticket) = self.wait_ticket(end)? {
            ticket.wait();
        }
        Ok(())
    }

    /// Waits until the durable end is beyond `end`.
    pub(crate) async fn beyond(self: &Arc<Self>, end: Address) -> Result<(), ReadError> {
        while let Some(ticket) = self.wait_ticket(end)? {
            ticket.await;
        }
        Ok(())
    }

    /// A ticket that is set with the next advance, or when there is another reason to look; `None` where the end is beyond
    /// `end` already.
    fn wait_ticket(self: &Arc<Self>, end: Address) -> Result<Option<Ticket<()>>, ReadError> {
        self.look()?;
        let ticket = self.durable.ticket(end)?;
        if let (Some(beside), Some(_)) = (&self.beside, &ticket) {
            beside.look_later(self);
        }
        Ok(ticket)
    }

    fn may_append(&self) -> Result<(), AppendError> {
        if !self.opened_by.is_current() {
            return Err(AppendError::Forked { opened_by: self.opened_by.id() });
        }
        if self.writer.is_none() {
            return Err(AppendError::ReadOnly);
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        match &*self.poison.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Checks, looks up and encodes an append.
    pub(crate) fn submit(&self, append: &Append) -> Result<Submitted, AppendError> {
        self.may_append()?;
        let view = self.view.read().clone();
        let (limits, max_commit) = (&self.options.limits, self.options.max_commit);
        let spare = self.spare.take();
        match prepare::prepare(append, &view, limits, max_commit, &self.environment, spare)? {
            Ids::New(prepared) => Ok(Submitted::Queue(prepared)),
            Ids::Known(events) => {
                let durable = self.durable.position();
                let undurable = events.iter().any(|event| event.position > durable);
                let sync = undurable && append.durability == Durability::Sync;
                if planted(Bug::RepeatNotDurable) {
                    return Ok(Submitted::Done(Receipt { durable: !undurable || sync, repeated: true, events }));
                }
                let receipt = Receipt { durable: !undurable || sync, repeated: true, events };
                Ok(if sync { Submitted::AfterSync(receipt) } else { Submitted::Done(receipt) })
            }
        }
    }

    /// Blocks until an append is answered.
    pub(crate) fn append(self: &Arc<Self>, append: &Append) -> Result<Receipt, AppendError> {
        loop {
            match self.submit(append)? {
                Submitted::Done(receipt) => return Ok(receipt),
                Submitted::AfterSync(receipt) => return self.sync().map(|()| receipt),
                Submitted::Queue(prepared) => {
                    if let Some(receipt) = receipt(self.commit(prepared)?) {
                        return Ok(receipt);
                    }
                }
            }
        }
    }

    /// As [`append`](Self::append), without blocking.
    pub(crate) async fn append_async(self: &Arc<Self>, append: &Append) -> Result<Receipt, AppendError> {
        loop {
            match self.submit(append)? {
                Submitted::Done(receipt) => return Ok(receipt),
                Submitted::AfterSync(receipt) => {
                    return self.commit_async(self.nothing()?).await.map(|_| receipt);
                }
                Submitted::Queue(prepared) => {
                    if let Some(receipt) = receipt(self.commit_async(prepared).await?) {
                        return Ok(receipt);
                    }
                }
            }
        }
    }

    /// An append of nothing: committing it makes durable what was appended before.
    pub(crate) fn nothing(&self) -> Result<Box<Prepared>, AppendError> {
        self.may_append()?;
        Ok(Prepared::new(None, Durability::Sync, &self.view.read()))
    }

    /// Makes everything that was appended durable.
    pub(crate) fn sync(self: &Arc<Self>) -> Result<(), AppendError> {
        self.commit(self.nothing()?).map(drop)
    }

    /// Queues a prepared append of a caller that [may append](Self::may_append), commits it where nobody else does, and
    /// blocks until it is answered.
    pub(crate) fn commit(self: &Arc<Self>, prepared: Box<Prepared>) -> Answer {
        if let Some(room) = self.queue.enter(prepared.size) {
            room.wait();
        }
        let ticket = Ticket::new();
        match self.queue.push(Request { prepared, ticket: ticket.clone() }) {
            Ok(Role::Committer) => {
                if let Some(batch) = self.queue.next_batch() {
                    self.commit_batch(batch);
                }
                // What came in meanwhile is committed by a thread that serves everyone.
                if !self.queue.is_done() {
                    self.commit_behind();
                }
            }
            Ok(Role::Waiter) => {}
            Err(Closed) => return Err(AppendError::Closed),
        }
        ticket.wait()
    }

    /// As [`commit`](Self::commit), without blocking.
    pub(crate) async fn commit_async(self: &Arc<Self>, prepared: Box<Prepared>) -> Answer {
        let size = prepared.size;
        if let Some(ticket) = self.queue.enter(size) {
            let mut door = Door { core: self, size, ticket: ticket.clone(), used: false };
            ticket.await;
            door.used = true;
        }
        let ticket = Ticket::new();
        match self.queue.push(Request { prepared, ticket: ticket.clone() }) {
            Ok(Role::Committer) => self.commit_behind(),
            Ok(Role::Waiter) => {}
            Err(Closed) => return Err(AppendError::Closed),
        }
        ticket.await
    }

    fn commit_behind(self: &Arc<Self>) {
        let core = self.clone();
        let job = move || {
            while let Some(batch) = core.queue.next_batch() {
                core.commit_batch(batch);
            }
        };
        self.environment.scheduler.submit(Lane::Commit, Box::new(job));
    }

    fn commit_batch(self: &Arc<Self>, batch: Vec<Request>) {
        let (prepared, tickets): (Vec<_>, Vec<_>) = batch.into_iter().map(|r| (r.prepared, r.ticket)).unzip();
        let durable_end = self.durable.end();
        let written = self.write(&prepared);
        // Only now, as whoever is woken may drop the last handle, which needs the writer.
        if self.durable.end() != durable_end {
            self.durable.wake();
        }
        match written {
            Ok((results, durable)) => {
                for (ticket, result) in tickets.iter().zip(results) {
                    ticket.set(result.map(|committed| (committed, durable)));
                }
            }
            Err(error) => {
                for ticket in tickets {
                    ticket.set(Err(error.clone()));
                }
            }
        }
        self.spare.keep(prepared);
    }

    /// Writes a batch as one frame, syncs it where somebody asks for that, and publishes it.
    fn write(
        self: &Arc<Self>,
        batch: &[Box<Prepared>],
    ) -> Result<(Vec<Result<Committed, AppendError>>, bool), AppendError> {
        let writer = self.writer.as_ref().ok_or(AppendError::ReadOnly)?;
        let mut writer = writer.lock();
        if let Some(error) = &*self.poison.lock() {
            return Err(error.clone());
        }
        // Under the writer's lock, as a close gives the directory up under it.
        self.check_held()?;
        let space = self.make_space(&mut writer, batch)?;
        let before = self.view.read().before_tail();
        let durable_events = {
            let index = writer.part.index.read();
            let durable = (self.durable.position() + 1).saturating_sub(index.first_position);
            u32::try_from(durable).unwrap_or(u32::MAX)
        };
        let written = writer.write_batch(batch, &space, &before, &self.environment, durable_events);
        let Batch { results, must_sync } = written.map_err(|failure| self.fail(failure))?;
        let undurable = writer.synced_to != Address::new(writer.part.segment.number(), writer.offset);
        if must_sync && undurable {
            self.sync_writer(&mut writer)?;
        }
        Ok((results, must_sync || !undurable))
    }

    /// Makes room for a batch in the active segment, or in the next one where that is full.
    fn make_space(self: &Arc<Self>, writer: &mut Writer, batch: &[Box<Prepared>]) -> Result<Space, AppendError> {
        let (size, events) = extent(batch);
        if size == 0 {
            return Ok(Space::ForAll);
        }
        let segment_size = self.options.segment_size;
        let mut no_next = None;
        if writer.is_full(size, events, segment_size) {
            match self.rotate(writer) {
                // What is small enough may still go where the last segment ends.
                Err(AppendError::NoSpace { source, .. }) => no_next = Some(source),
                rotated => rotated?,
            }
        }
        // Even where all that follows is refused, a close gives back what was filled.
        self.changed.store(true, Ordering::Release);
        writer.make_space(batch, segment_size, no_next).map_err(|failure| self.fail(failure))
    }

    fn sync_writer(&self, writer: &mut Writer) -> Result<(), AppendError> {
        let written = Address::new(writer.part.segment.number(), writer.offset);
        if planted(Bug::PublishBeforeSync) {
            self.publish(writer, written)?;
        }
        if planted(Bug::LockBeforeSync)
            && let Some(lock) = &*self.lock.lock()
        {
            let _ = lock.set_durable(written);
        }
        let end = writer.sync().map_err(|failure| self.fail(failure))?;
        self.publish(writer, end)
    }

    /// That the directory is still this store's: before it is written to, and again before that is acknowledged.
    pub(super) fn check_held(&self) -> Result<(), AppendError> {
        let in_place = match &*self.lock.lock() {
            Some(lock) => lock.is_in_place(),
            None => return Err(AppendError::Closed),
        };
        match in_place {
            Ok(true) => Ok(()),
            Ok(false) => {
                tracing::error!("LOCK was removed or replaced; the log is left alone from here on");
                *self.poison.lock() = Some(AppendError::LockLost);
                // Neither indexes nor databases: the directory may be another's.
                self.sealed.derived.release();
                self.fence.close();
                Err(AppendError::LockLost)
            }
            Err(source) => Err(AppendError::Read(ReadError::io("LOCK")(source))),
        }
    }

    /// Makes what is durable visible: first to other processes, then to readers. Those who wait are woken later.
    fn publish(&self, writer: &Writer, end: Address) -> Result<(), AppendError> {
        match self.check_held() {
            Err(AppendError::Read(ReadError::Io { source, .. })) => {
                let source = std::io::Error::new(source.kind(), source);
                return Err(self.fail(Failure::Poisoned { operation: "look at LOCK", source }));
            }
            held => held?,
        }
        if let Some(lock) = &*self.lock.lock() {
            lock.set_durable(end).map_err(|source| self.fail(Failure::Poisoned { operation: "write", source }))?;
        }
        writer.part.publish();
        let position = writer.part.index.read().next_position().saturating_sub(1);
        self.durable.set(end, position);
        Ok(())
    }

    fn fail(&self, failure: Failure) -> AppendError {
        match failure {
            Failure::Refused(AppendError::NoSpace { source, .. }) if planted(Bug::EnospcPoisons) => {
                let error = AppendError::Poisoned { operation: "write", source };
                *self.poison.lock() = Some(error.clone());
                error
            }
            Failure::Refused(error) => error,
            Failure::Poisoned { operation, source } => {
                tracing::error!(%source, operation, "the log is poisoned");
                let error = AppendError::Poisoned { operation, source: Arc::new(source) };
                if operation != "sync" || !planted(Bug::FailedSyncForgiven) {
                    *self.poison.lock() = Some(error.clone());
                }
                error
            }
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.writer.is_none()
    }

    /// The position of the newest event, durable or not.
    pub(crate) fn written_position(&self) -> u64 {
        let writer = self.writer.as_ref().map(|writer| writer.lock().part.clone());
        writer.map_or(0, |part| part.index.read().next_position().saturating_sub(1))
    }

    /// When the newest frame was recorded.
    pub(crate) fn last_recorded(&self) -> i64 {
        self.writer.as_ref().map_or(i64::MIN, |writer| writer.lock().last_recorded)
    }

    /// Queues a keyframe, not to be synced for its own sake.
    pub(crate) fn append_keyframe(
        self: &Arc<Self>,
        scope: &Scope,
        stream: &str,
        version: u64,
        body: Vec<u8>,
    ) -> Result<(), AppendError> {
        self.may_append()?;
        let view = self.view.read().clone();
        let mut prepared = Prepared::new(Some(scope), Durability::Deferred, &view);
        prepared.keyframe(&view, stream, version, body)?;
        prepared.check_size(self.options.max_commit)?;
        self.commit(prepared).map(drop)
    }
}

/// Room that was asked for, given back unless it is used.
struct Door<'a> {
    core: &'a Core,
    size: usize,
    ticket: Ticket<()>,
    used: bool,
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.core.queue.turn_away(&self.ticket, self.size);
        }
    }
}

/// The receipt of what was committed; `None` says that the append is to be prepared again.
pub(crate) fn receipt((committed, durable): (Committed, bool)) -> Option<Receipt> {
    match committed {
        Committed::Written(events) => Some(Receipt { events, durable, repeated: false }),
        Committed::Again => None,
    }
}
