//! [`EventStore`]: the log as its users see it.

mod rooms;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::beside;
use super::core::Core;
use super::fold::{Fold, MergeFold};
use super::follow::Subscription;
use super::import::Import;
use super::lock_file::{LockFile, LockState};
use super::open::{self, OpenMode};
use super::part::{Cursor, Horizon, Part};
use super::read::{Direction, Events, Query, StreamReader};
use super::recorded::RecordedEvent;
use super::salvage;
use super::state::{At, State};
use super::{Append, AppendError, Loss, OpenError, Options, ReadError, Receipt};
use crate::event::{Scope, check_stream_id};
use crate::storage::{Environment, MemoryDisk, RealDisk};

/// The log of one directory: append, read, subscribe. Cheap to clone; all clones are one store. One store at a time may
/// hold a directory. Once the last clone is dropped the directory is free again, but only [`close`](Self::close) ends
/// the log so that the next open need not look for its end.
///
/// Calls block the thread for as long as the disk takes, but for those that end in `_async`, which need no particular
/// runtime.
///
/// ```
/// use atlas::{Event, Scope, log::{Append, EventStore}};
/// let store = EventStore::in_memory()?;
/// let scope: Scope = "dutch-bank/loans".parse()?;
/// let receipt = store.append(Append::to(&scope).event(Event::new("LOAN_OFFER_SENT_COMPLETE_1", "loan-1")))?;
/// assert!(receipt.durable);
/// assert_eq!(store.version(&scope, "loan-1")?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventStore {
    core: Arc<Handle>,
}

/// The shared store; its last drop lets the directory go without a clean close.
#[derive(Debug)]
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A stream and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its scope.
    pub scope: Scope,
    /// Its id.
    pub stream: String,
    /// The version of its newest event.
    pub version: u64,
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Durable events.
    pub events: u64,
    /// Streams.
    pub streams: u64,
    /// Segments, the active one included.
    pub segments: u64,
    /// Segments that are sealed and indexed.
    pub sealed: u64,
    /// Bytes of the active segment that are in use.
    pub tail_bytes: u64,
    /// How long opening took, in microseconds.
    pub open_us: u64,
}

/// Streams, one after the other.
pub type StreamIter = Box<dyn Iterator<Item = Result<StreamInfo, ReadError>> + Send>;

impl EventStore {
    /// Opens the store in `dir` with default options, created where there is none.
    ///
    /// # Errors
    /// [`OpenError`]: held by another process, damaged, of a newer format, or what the system says.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_options(dir, Options::default())
    }

    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`OpenError::Option`] where an option is out of range; [`OpenError::NotFound`] where
    /// there is no store and [`Options::create`] is false.
    pub fn open_options(dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let disk = real_disk(dir.as_ref(), options.create)?;
        Self::open_with(Environment::new(disk), options).map_err(|error| error.in_dir(dir.as_ref()))
    }

    /// Opens the store in a world of the caller's making.
    ///
    /// # Errors
    /// As [`open_options`](Self::open_options).
    pub fn open_with(environment: Environment, options: Options) -> Result<Self, OpenError> {
        Self::open_with_mode(environment, options, OpenMode::Write)
    }

    /// Opens the store in `dir` to write, to read or to salvage.
    ///
    /// # Errors
    /// As [`open_options`](Self::open_options). [`OpenMode::Salvage`] knows no damage, but what is not there can't be
    /// opened either.
    pub fn open_mode(dir: impl AsRef<Path>, options: Options, mode: OpenMode) -> Result<Self, OpenError> {
        let disk = real_disk(dir.as_ref(), options.create && mode == OpenMode::Write)?;
        Self::open_with_mode(Environment::new(disk), options, mode).map_err(|error| error.in_dir(dir.as_ref()))
    }

    /// As [`open_mode`](Self::open_mode), in a world of the caller's making.
    ///
    /// # Errors
    /// As [`open_mode`](Self::open_mode).
    pub fn open_with_mode(environment: Environment, options: Options, mode: OpenMode) -> Result<Self, OpenError> {
        let core = match mode {
            OpenMode::Write => open::open(environment, options),
            OpenMode::Read => beside::open(environment, options),
            OpenMode::Salvage => salvage::open(environment, options),
        }?;
        Ok(Self { core: Arc::new(Handle(core)) })
    }

    /// Opens the store in `dir` for reading, also while another process of this machine holds it. Takes no lock and writes
    /// nothing. Each call sees what is durable by then, and subscriptions go on with what the other process appends; an
    /// iterator keeps to what it began with. Where no process holds the directory since a power loss, the newest events may
    /// not be seen before one opens it for writing, which recovers them.
    ///
    /// # Errors
    /// As [`open_options`](Self::open_options), but for being held.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_mode(dir, Options::default(), OpenMode::Read)
    }

    /// The store whose lock was taken before.
    pub(crate) fn open_locked(
        environment: Environment,
        options: Options,
        lock: LockFile,
        state: LockState,
    ) -> Result<Self, OpenError> {
        let core = open::open_locked(environment, options, lock, state)?;
        Ok(Self { core: Arc::new(Handle(core)) })
    }

    /// An empty store in memory, for tests: the same code on another disk. Gone with its last clone.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::open_with(Environment::new(MemoryDisk::new()), Options::default())
    }

    pub(super) fn inner(&self) -> &Arc<Core> {
        &self.core.0
    }

    /// Appends, and blocks until it is answered.
    ///
    /// # Errors
    /// [`AppendError`]: says what was refused or failed. Nothing is written but where it says so.
    pub fn append(&self, append: Append) -> Result<Receipt, AppendError> {
        self.inner().append(&append)
    }

    /// Appends. The append takes its place when the future is first polled, in order of the polls, and goes on where the
    /// future is dropped after that: its outcome is then learnt by repeating its ids.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_async(&self, append: Append) -> impl Future<Output = Result<Receipt, AppendError>> + Send + 'static {
        let store = self.clone();
        async move { store.inner().append_async(&append).await }
    }

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] where the sync fails; the store takes no more appends then.
    pub fn sync(&self) -> Result<(), AppendError> {
        self.inner().sync()
    }

    /// As [`sync`](Self::sync), without blocking the thread.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn sync_async(&self) -> impl Future<Output = Result<(), AppendError>> + Send + 'static {
        let store = self.clone();
        async move {
            let core = store.inner();
            core.commit_async(core.nothing()?).await.map(drop)
        }
    }

    /// Starts writing history as it was recorded elsewhere: positions, versions and times as given. The store must be
    /// empty.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] where it isn't.
    pub fn import_as_recorded(&self) -> Result<Import, AppendError> {
        Import::new(self.inner().clone())
    }

    /// The version of a stream's newest durable event; 0 of a stream without events.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn version(&self, scope: &Scope, stream: &str) -> Result<u64, ReadError> {
        check_stream_id(stream, &self.inner().options.limits)?;
        Ok(self.inner().current()?.head(scope, stream, Horizon::Durable)?.0)
    }

    /// The events of a stream from a version on, upwards or downwards; downwards [`u64::MAX`] begins with the newest. Ends
    /// with what was durable when it was called, however late it is read.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read; so may each item.
    pub fn read_stream(
        &self,
        scope: &Scope,
        stream: &str,
        from: u64,
        direction: Direction,
    ) -> Result<Events, ReadError> {
        check_stream_id(stream, &self.inner().options.limits)?;
        let view = self.inner().current()?;
        let until = self.inner().durable.position();
        Ok(Events::of_stream(StreamReader::new(view, scope, stream, from, direction, until)?))
    }

    /// The events of the log that a query wants, of those that were durable when it was called, however late they are
    /// read.
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    pub fn read(&self, query: Query) -> Result<Events, ReadError> {
        let view = self.inner().current()?;
        Events::wanted(view, query.until(self.inner().durable.position()))
    }

    /// The events that a query wants, from after a position on (0: from the first), and then each new one. The query's
    /// own order and position don't matter.
    pub fn subscribe(&self, query: Query, after: u64) -> Subscription {
        Subscription::new(self.inner().clone(), query, after)
    }

    /// The event of a scope with an id.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn event(&self, scope: &Scope, id: Uuid) -> Result<Option<RecordedEvent>, ReadError> {
        Ok(self.find(Some(scope), id)?.pop())
    }

    /// The events with an id, one for each scope that has one.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn events_with_id(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        self.find(None, id)
    }

    fn find(&self, scope: Option<&Scope>, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        let found = self.inner().current()?.find_id(scope, id, Horizon::Durable)?;
        found.into_iter().map(|(part, ordinal)| part.event(ordinal, &mut Cursor::default())).collect()
    }

    /// The event at a position.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn event_at(&self, position: u64) -> Result<Option<RecordedEvent>, ReadError> {
        let view = self.inner().current()?;
        let Some(part) = view.part(view.part_at_position(position)?)? else { return Ok(None) };
        let ordinal = position.checked_sub(part.first_position()).and_then(|ordinal| u32::try_from(ordinal).ok());
        match ordinal.filter(|ordinal| *ordinal < part.events(Horizon::Durable)) {
            Some(ordinal) => part.event(ordinal, &mut Cursor::default()).map(Some),
            None => view.losses.iter().find(|loss| loss.holds(position)).map_or(Ok(None), |loss| Err(loss.error())),
        }
    }

    /// What a store that was opened with [`OpenMode::Salvage`] could not give back, in log order. Every position from 1 to
    /// [`last_position`](Self::last_position) can be read or is in one of them. Empty of a store opened otherwise.
    pub fn losses(&self) -> Arc<[Loss]> {
        self.inner().view.read().losses.clone()
    }

    /// All events of a cascade, by position: the event with that id and those with that correlation id.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn correlated(&self, scope: &Scope, correlation_id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        let view = self.inner().current()?;
        let hash = view.hash().correlation(correlation_id);
        let mut events = self.keyed(scope, hash, |part| part.correlated(hash, correlation_id))?;
        events.extend(self.event(scope, correlation_id)?);
        events.retain(|event| event.correlation_id() == correlation_id);
        events.sort_by_key(RecordedEvent::position);
        Ok(events)
    }

    /// The events that an event caused directly, by position.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn caused_by(&self, scope: &Scope, causation_id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        let view = self.inner().current()?;
        let hash = view.hash().causation(causation_id);
        let mut events = self.keyed(scope, hash, |part| part.caused_by(hash, causation_id))?;
        events.retain(|event| event.causation_id() == Some(causation_id));
        Ok(events)
    }

    fn keyed(
        &self,
        scope: &Scope,
        hash: u64,
        ordinals: impl Fn(&Part) -> Result<Vec<u32>, ReadError>,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut events = Vec::new();
        let mut cursor = Cursor::default();
        for part in self.inner().current()?.keyed_parts(hash)? {
            for ordinal in ordinals(&part)? {
                let event = part.event(ordinal, &mut cursor)?;
                if event.scope() == scope {
                    events.push(event);
                }
            }
        }
        Ok(events)
    }

    /// The streams whose id begins with `prefix`, of one scope or of all, in order of their first event.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read; so may each item.
    pub fn streams(&self, scope: Option<&Scope>, prefix: &str) -> Result<StreamIter, ReadError> {
        let view = self.inner().current()?;
        let (scope, prefix) = (scope.cloned(), prefix.to_owned());
        let mut number = 0;
        let mut streams = 0..0;
        let mut current: Option<Part> = None;
        // Where parts of the log are lost, a stream's first naming may be as well.
        let whole = view.losses.is_empty();
        let mut named = HashSet::new();
        let step = move || -> Result<Option<StreamInfo>, ReadError> {
            loop {
                let Some((part, stream)) = current.as_ref().and_then(|part| Some((part, streams.next()?))) else {
                    let Some(part) = view.part(number)? else { return Ok(None) };
                    number += 1;
                    streams = 0..part.stream_count();
                    current = Some(part);
                    continue;
                };
                let Some((of, id)) = part.named_stream(stream, whole)? else { continue };
                if !whole && !named.insert((of.clone(), id.clone())) {
                    continue;
                }
                let wanted = scope.as_ref().is_none_or(|scope| *scope == *of) && id.starts_with(&*prefix);
                let version = if wanted { view.head(&of, &id, Horizon::Durable)?.0 } else { 0 };
                if version > 0 {
                    return Ok(Some(StreamInfo { scope: (*of).clone(), stream: id.to_string(), version }));
                }
            }
        };
        Ok(Box::new(until_error(step)))
    }

    /// A stream's state by [`MergeFold`]. Starts at the newest keyframe that fits, unless told not to use any.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn state(
        &self,
        scope: &Scope,
        stream: &str,
        at: At,
        use_keyframes: bool,
    ) -> Result<State<serde_json::Value>, ReadError> {
        self.fold(scope, stream, &MergeFold, at, use_keyframes)
    }

    /// A stream's state by a fold. Starts at the newest keyframe that fits, unless told not to use any, and leaves
    /// keyframes as [`Options::keyframes`] says.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn fold<F: Fold>(
        &self,
        scope: &Scope,
        stream: &str,
        fold: &F,
        at: At,
        use_keyframes: bool,
    ) -> Result<State<F::State>, ReadError> {
        check_stream_id(stream, &self.inner().options.limits)?;
        self.inner().fold(scope, stream, fold, at, use_keyframes)
    }

    /// Figures of the store.
    ///
    /// # Errors
    /// [`ReadError`] where the log can't be read.
    pub fn stats(&self) -> Result<Stats, ReadError> {
        let core = self.inner();
        let view = core.current()?;
        let mut streams = view.directory.new_streams()?;
        for part in view.recent.iter().filter(|_| view.losses.is_empty()) {
            for number in 0..part.stream_count() {
                streams += u64::from(part.new_stream(number)?.is_some());
            }
        }
        if !view.losses.is_empty() {
            streams = self.streams(None, "")?.map(|stream| stream.map(|_| 1)).sum::<Result<u64, _>>()?;
        }
        Ok(Stats {
            events: core.durable.position(),
            streams,
            segments: u64::from(view.tail()),
            sealed: u64::from(view.directory.last()),
            tail_bytes: u64::from(core.durable.end().offset()),
            open_us: core.open_us,
        })
    }

    /// The position of the newest durable event; 0 of an empty log.
    pub fn last_position(&self) -> u64 {
        // What keeps it from looking is told by the calls that read.
        let _ = self.inner().look();
        self.inner().durable.position()
    }

    /// Closes the store for all its clones: commits what is queued, ends the log cleanly, stops its threads, frees the
    /// directory. The second time it does nothing but wait for the first to end. Must not be called from a job of the store's scheduler.
    ///
    /// # Errors
    /// [`AppendError`] where the log can't be ended cleanly, also the second time; the next open then recovers it. The
    /// directory is free all the same.
    pub fn close(&self) -> Result<(), AppendError> {
        self.inner().close()
    }
}

/// What `step` gives, up to its end or its first error.
fn until_error<T>(
    mut step: impl FnMut() -> Result<Option<T>, ReadError>,
) -> impl Iterator<Item = Result<T, ReadError>> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let item = step().transpose();
        done = !matches!(item, Some(Ok(_)));
        item
    })
}

fn real_disk(dir: &Path, create: bool) -> Result<RealDisk, OpenError> {
    if create {
        return RealDisk::create(dir).map_err(|error| ReadError::io(dir.display().to_string())(error).into());
    }
    if dir.is_dir() { Ok(RealDisk::new(dir)) } else { Err(OpenError::NotFound { dir: dir.display().to_string() }) }
}

impl OpenError {
    /// Names the directory where the store itself can't know it.
    fn in_dir(self, dir: &Path) -> Self {
        match self {
            Self::NotFound { .. } => Self::NotFound { dir: dir.display().to_string() },
            other => other,
        }
    }
}
