//! The handle of dispatch: starting and stopping it, questions, and what operators do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::cascade::{self, Cascade};
use super::context::Context;
use super::database::Plans;
use super::delivery::Functions;
use super::driver::{Driver, Filter, Message, OpenEntry, Question, Reply};
use super::lanes::Start;
use super::mailbox::Mailbox;
use super::prepare::with_stopped;
use super::record::{DeliveryRecord, delivery_key};
use super::state::Stage;
use super::status::{self, DeliveryId, DeliveryStatus, EventStatus, Phase, StatusReader};
use super::{DispatchError, HistoryImport, Obstacle, Options, history};
use crate::config::Catalog;
use crate::event::{Name, Scope, Timestamp};
use crate::log::{Append, AppendError, EventStore, RecordKind, RecordedEvent};
use crate::routing::Router;

/// Serves the deliveries of a store. Cheap to clone; the last clone that is dropped stops it without waiting for
/// handlers.
#[derive(Clone, Debug)]
pub struct Dispatcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Context>,
    runtime: Handle,
    serves: bool,
    thread: Arc<Mutex<Thread>>,
}

/// The rooms that dispatch works with.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(crate) store: EventStore,
    pub(crate) catalog: Catalog,
    pub(crate) router: Router,
}

/// The thread of dispatch. Where deliveries aren't served it starts with the first question that it has to answer.
#[derive(Debug)]
enum Thread {
    Idle,
    Running,
    Ended(DispatchError),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.context.mailbox.send(Message::Stop);
    }
}

/// What is left when nothing goes on by itself any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// By handler and obstacle.
    pub handlers: Vec<RemainingOf>,
}

/// Deliveries of one handler that have the same obstacle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemainingOf {
    /// The scope.
    pub scope: Scope,
    /// The handler.
    pub handler: Name,
    /// What keeps them from going on; `None` where nothing does but that deliveries aren't served.
    pub obstacle: Option<Obstacle>,
    /// How many.
    pub count: u64,
}

impl Remaining {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// How many deliveries are left.
    pub fn total(&self) -> u64 {
        self.handlers.iter().map(|of| of.count).sum()
    }

    /// How many of them have an obstacle.
    pub fn count(&self, obstacle: Obstacle) -> u64 {
        self.handlers.iter().filter(|of| of.obstacle == Some(obstacle)).map(|of| of.count).sum()
    }
}

impl fmt::Display for Remaining {
    /// On one line, such as `12 of score in dutch-bank/loans: unbound`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (number, RemainingOf { scope, handler, obstacle, count }) in self.handlers.iter().enumerate() {
            let why = obstacle.map_or("not served", Obstacle::as_str);
            write!(f, "{}{count} of {handler} in {scope}: {why}", if number == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Which open deliveries are listed.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    /// Those of one scope; default all.
    pub scope: Option<Scope>,
    /// Those that are parked; default all that are open.
    pub parked: bool,
    /// At most so many. Default 1,000.
    pub limit: usize,
}

impl Default for DeliveryFilter {
    fn default() -> Self {
        Self { scope: None, parked: false, limit: 1_000 }
    }
}

/// A delivery that isn't complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDelivery {
    /// Where it stands.
    #[serde(flatten)]
    pub delivery: DeliveryStatus,
    /// The scope.
    pub scope: Scope,
    /// The event's stream.
    pub stream: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What keeps it from going on.
    pub obstacle: Option<Obstacle>,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
}

/// Runs what may block where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, DispatchError> + Send + 'static,
) -> Result<T, DispatchError> {
    runtime.spawn_blocking(work).await.map_err(|_| DispatchError::RuntimeGone)?
}

impl Dispatcher {
    /// Starts dispatch over a store, with handlers on `runtime`. Where it doesn't serve, deliveries stay Pending, and
    /// questions and operators' acts are all it does.
    ///
    /// # Errors
    /// [`DispatchError`] where `dispatch.redb` can't be opened or the log can't be read.
    pub(crate) fn start(
        rooms: Rooms,
        functions: Functions,
        options: Options,
        runtime: Handle,
        serves: bool,
    ) -> Result<Self, DispatchError> {
        let Rooms { store, catalog, router } = rooms;
        history::end_unfinished(&store)?;
        let imported = Arc::new(AtomicU64::new(history::imported(&store)?));
        let plans = Plans { router, functions: Arc::new(functions) };
        let context = Context {
            store,
            plans,
            catalog,
            options,
            mailbox: Arc::new(Mailbox::default()),
            imported,
            in_process: Mutex::default(),
        };
        let thread = Arc::new(Mutex::new(Thread::Idle));
        let dispatcher = Self(Arc::new(Inner { context: Arc::new(context), runtime, serves, thread }));
        if serves {
            dispatcher.start_thread()?;
        }
        Ok(dispatcher)
    }

    fn start_thread(&self) -> Result<(), DispatchError> {
        let mut state = self.0.thread.lock();
        match &*state {
            Thread::Running => return Ok(()),
            Thread::Ended(error) => return Err(error.clone()),
            Thread::Idle => {}
        }
        if self.0.context.store.is_read_only() {
            return Err(AppendError::ReadOnly.into());
        }
        let context = self.0.context.clone();
        let runtime = self.0.serves.then(|| self.0.runtime.clone());
        let mut driver = Driver::new(context, runtime)?;
        let (mailbox, thread) = (self.0.context.mailbox.clone(), self.0.thread.clone());
        let work = move || {
            let ended = driver.run();
            if let Err(error) = &ended {
                tracing::error!(%error, "dispatch has stopped");
            }
            let closed = driver.take_close_reply().filter(|_| ended.is_ok());
            *thread.lock() = Thread::Ended(ended.err().unwrap_or(DispatchError::Stopped));
            // Whoever waits for an answer learns from its end that there will be none, and then asks why.
            mailbox.close();
            // Closes the database, so before anybody is told that all is closed.
            drop(driver);
            if let Some(closed) = closed {
                let _ = closed.send(Ok(()));
            }
        };
        std::thread::Builder::new()
            .name("atlas-dispatch".to_owned())
            .spawn(work)
            .map_err(|error| DispatchError::Thread(Arc::new(error)))?;
        *state = Thread::Running;
        Ok(())
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    pub(super) fn is_serving(&self) -> bool {
        self.0.serves
    }

    pub(super) fn tell(&self, message: Message) {
        self.0.context.mailbox.send(message);
    }

    /// Asks the thread of dispatch, which is started where it isn't running yet.
    pub(super) async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, DispatchError> {
        if matches!(*self.0.thread.lock(), Thread::Idle) {
            let dispatcher = self.clone();
            blocking(self.runtime(), move || dispatcher.start_thread()).await?;
        }
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply));
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.why_ended()),
        }
    }

    fn why_ended(&self) -> DispatchError {
        match &*self.0.thread.lock() {
            Thread::Ended(error) => error.clone(),
            Thread::Idle | Thread::Running => DispatchError::Stopped,
        }
    }

    /// What became of an event and all that it caused, read from the log. `scope` may be left out where only one scope
    /// has an event of that id.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Ambiguous`], [`DispatchError::CascadeTooLarge`],
    /// [`DispatchError::Read`].
    pub async fn status(&self, scope: Option<&Scope>, id: Uuid) -> Result<EventStatus, DispatchError> {
        let event = self.find_event(scope, id).await?;
        self.status_of(event).await
    }

    pub(super) async fn status_of(&self, event: RecordedEvent) -> Result<EventStatus, DispatchError> {
        self.read(move |reader| reader.status(&event)).await
    }

    pub(super) async fn find_event(&self, scope: Option<&Scope>, id: Uuid) -> Result<RecordedEvent, DispatchError> {
        let scope = scope.cloned();
        self.read(move |reader| reader.event(scope.as_ref(), id)).await
    }

    /// Reads what became of something from the log, where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StatusReader<'_>) -> Result<T, DispatchError> + Send + 'static,
    ) -> Result<T, DispatchError> {
        let context = self.context().clone();
        blocking(self.runtime(), move || {
            let runs = |position, handler: &Name| context.in_process.lock().contains(&(position, handler.clone()));
            let imported = context.imported.load(Ordering::Acquire);
            read(&StatusReader { store: &context.store, router: &context.plans.router, imported, runs: &runs })
        })
        .await
    }

    /// All events of a cascade with their deliveries, as a tree. Where no scope is given, the correlation id must be the
    /// id of the cascade's first event, as it is by default.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Ambiguous`], [`DispatchError::CascadeTooLarge`],
    /// [`DispatchError::Read`].
    pub async fn cascade(&self, scope: Option<&Scope>, correlation: Uuid) -> Result<Cascade, DispatchError> {
        let (store, scope) = (self.context().store.clone(), scope.cloned());
        self.read(move |reader| {
            let scope = match scope {
                Some(scope) => scope,
                None => cascade::scope_of(&store, correlation)?,
            };
            cascade::read(&store, reader, &scope, correlation)
        })
        .await
    }

    /// Begins an import of history: see [`Atlas::import_as_recorded`](crate::Atlas::import_as_recorded).
    pub(crate) async fn import_as_recorded(&self) -> Result<HistoryImport, DispatchError> {
        let (store, imported) = (self.context().store.clone(), self.context().imported.clone());
        let import = blocking(self.runtime(), move || HistoryImport::begin(store, imported)).await?;
        // The thread must know before the first event comes.
        self.ask(|reply| Message::History { reply }).await?;
        Ok(import)
    }

    /// Waits until all deliveries that can be served are, and tells what is left. Where deliveries aren't served it
    /// tells what is open at once.
    ///
    /// # Errors
    /// What made dispatch stop.
    pub async fn settled(&self) -> Result<Remaining, DispatchError> {
        self.ask(|reply| Message::Ask(Question::Settled(reply))).await
    }

    /// Deliveries that aren't complete, by scope and position.
    ///
    /// # Errors
    /// What made dispatch stop; [`DispatchError::Read`].
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<OpenDelivery>, DispatchError> {
        let DeliveryFilter { scope, parked, limit } = filter;
        let filter = Filter { scope, parked, limit };
        let entries = self.ask(|reply| Message::Ask(Question::Open(filter, reply))).await?;
        let store = self.context().store.clone();
        let open = move || entries.into_iter().map(|entry| open_delivery(&store, entry)).collect();
        blocking(self.runtime(), open).await
    }

    /// Has a parked delivery tried again, with attempts from nought. Durable when this returns.
    ///
    /// # Errors
    /// [`DispatchError::NotParked`], [`DispatchError::NoSuchDelivery`], [`DispatchError::NoSuchEvent`],
    /// [`DispatchError::Append`].
    pub async fn release(&self, scope: Option<&Scope>, id: &DeliveryId) -> Result<(), DispatchError> {
        let (event, deliveries) = self.deliveries_of(scope, id).await?;
        let delivery = pick(&deliveries, id)?;
        if !delivery.parked {
            let found = delivery.phase.to_string();
            return Err(DispatchError::NotParked { delivery: id.to_string(), found });
        }
        let append = append_of(&event, id, &DeliveryRecord::Released);
        self.context().store.append_async(append).await?;
        Ok(())
    }

    /// Gives a delivery that isn't complete up: Complete, Failure, with `reason` as its error. What it stops on failure is
    /// stopped. Durable when this returns.
    ///
    /// # Errors
    /// [`DispatchError::NotDroppable`] where it is complete or runs, [`DispatchError::NoSuchDelivery`],
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Append`].
    pub async fn drop_delivery(
        &self,
        scope: Option<&Scope>,
        id: &DeliveryId,
        reason: &str,
    ) -> Result<(), DispatchError> {
        let (event, deliveries) = self.deliveries_of(scope, id).await?;
        let delivery = pick(&deliveries, id)?;
        let refused = |found: Phase| DispatchError::NotDroppable { delivery: id.to_string(), found: found.to_string() };
        if delivery.phase != Phase::Pending {
            return Err(refused(delivery.phase));
        }
        let position = event.position();
        let start = if self.is_serving() {
            let handler = id.handler.clone();
            let reserved = self.ask(|reply| Message::Reserve { position, handler, reply }).await?;
            Some(reserved.ok_or_else(|| refused(Phase::InProcess))?)
        } else {
            None
        };
        let mut reservation = Reservation { dispatcher: self, start };
        let reason = super::prepare::cut(reason.to_owned(), self.context().options.max_error);
        let mut append = append_of(&event, id, &DeliveryRecord::Dropped { reason });
        let stopped = self.stopped_by(&event, &deliveries, &id.handler).await?;
        append = with_stopped(append, &event, id.handler.as_str(), stopped.iter().map(Name::as_str));
        self.context().store.append_async(append).await?;
        reservation.start = None;
        Ok(())
    }

    /// The handlers of an event that are stopped when `handler` fails.
    async fn stopped_by(
        &self,
        event: &RecordedEvent,
        deliveries: &[DeliveryStatus],
        handler: &Name,
    ) -> Result<Vec<Name>, DispatchError> {
        let (of, name) = (event.clone(), handler.clone());
        let plan = self.read(move |reader| reader.plan(&of)).await?;
        let stops = plan.is_some_and(|plan| plan.handlers.iter().any(|of| of.name == name && of.stop_on_failure));
        let later = deliveries.iter().skip_while(|delivery| delivery.handler != *handler).skip(1);
        let open = later.filter(|delivery| stops && delivery.phase != Phase::Complete);
        Ok(open.map(|delivery| delivery.handler.clone()).collect())
    }

    async fn deliveries_of(
        &self,
        scope: Option<&Scope>,
        id: &DeliveryId,
    ) -> Result<(RecordedEvent, Vec<DeliveryStatus>), DispatchError> {
        let event = self.find_event(scope, id.event).await?;
        let of = event.clone();
        let deliveries = self.read(move |reader| reader.deliveries(&of)).await?;
        Ok((event, deliveries))
    }

    /// Stops dispatch: nothing more starts, what runs may end for `within`, and what is open is kept. Does nothing where
    /// dispatch has stopped already.
    ///
    /// # Errors
    /// What made dispatch stop before.
    pub async fn close(&self, within: Duration) -> Result<(), DispatchError> {
        if !matches!(*self.0.thread.lock(), Thread::Running) {
            return Ok(());
        }
        let until = self.context().after(within);
        match self.ask(|reply| Message::Close { until, reply: Some(reply) }).await {
            Err(DispatchError::Stopped) => Ok(()),
            other => other,
        }
    }
}

/// A delivery that is kept from starting until its drop is on record.
struct Reservation<'a> {
    dispatcher: &'a Dispatcher,
    start: Option<Start>,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            self.dispatcher.tell(Message::GiveBack { starts: vec![start], at: i64::MIN });
        }
    }
}

fn append_of(event: &RecordedEvent, id: &DeliveryId, record: &DeliveryRecord) -> Append {
    let key = delivery_key(event.scope(), event.id(), id.handler.as_str());
    Append::of_records().record(RecordKind::Delivery, key, record.encode(event.position()))
}

fn pick<'d>(deliveries: &'d [DeliveryStatus], id: &DeliveryId) -> Result<&'d DeliveryStatus, DispatchError> {
    deliveries.iter().find(|delivery| delivery.handler == id.handler).ok_or_else(|| DispatchError::NoSuchDelivery {
        event: id.event,
        handler: id.handler.to_string(),
        deliveries: deliveries.iter().map(|delivery| delivery.handler.to_string()).collect(),
    })
}

fn open_delivery(store: &EventStore, entry: OpenEntry) -> Result<OpenDelivery, DispatchError> {
    let records = status::delivery_records(store, &entry.scope, entry.event, &entry.handler)?;
    let id = DeliveryId { event: entry.event, handler: entry.handler };
    Ok(OpenDelivery {
        delivery: status::delivery_status(id, &records, entry.runs),
        scope: entry.scope,
        stream: entry.stream,
        event_type: entry.event_type,
        obstacle: entry.obstacle,
        next_attempt: match entry.state.stage {
            Stage::Waiting(until) => Some(Timestamp::from_micros(until)),
            _ => None,
        },
    })
}
