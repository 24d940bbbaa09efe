//! The handle of dispatch: starting and stopping it, questions, and what operators do.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::cascade::{self, Cascade};
use super::context::Context;
use super::database::Plans;
use super::delivery::Functions;
use super::driver::{Driver, Message, Question, Reply};
use super::history::{Gate, Ingesting};
use super::http::Http;
use super::mailbox::Mailbox;
use super::status::EventStatus;
use super::status_reader::StatusReader;
use super::{DispatchError, HistoryImport, Observers, Options, Trail, history};
use crate::config::Catalog;
use crate::event::{Name, Scope};
use crate::log::{AppendError, EventStore, ReadError, RecordedEvent};
use crate::routing::Router;

/// Serves the deliveries of a store. Cheap to clone; the last clone that is dropped stops it without waiting for
/// handlers.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    inner: Arc<Inner>,
    /// Who acts through this handle.
    pub(super) actor: Option<Arc<str>>,
}

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

impl Rooms {
    /// What dispatch over these rooms works with.
    pub(super) fn context(
        self,
        functions: Functions,
        observers: Observers,
        options: Options,
    ) -> Result<Context, DispatchError> {
        let Self { store, catalog, router } = self;
        let http = Http::new(&options, store.environment().clock.clone())?;
        let mailbox = Arc::new(Mailbox::default());
        catalog.wake_on_change(mailbox.clone().into());
        Ok(Context {
            store,
            plans: Plans { router, functions: Arc::new(functions) },
            catalog,
            http,
            options,
            mailbox,
            imported: AtomicU64::new(0),
            claims: Arc::default(),
            waits_for_room_until: AtomicI64::new(i64::MIN),
            told_of_full_disk: AtomicI64::new(0),
            ingesting: AtomicUsize::new(0),
            ingested: Notify::new(),
            import_has_begun: AtomicBool::new(false),
            import_abandoned: AtomicBool::new(false),
            in_process: Mutex::default(),
            observers,
        })
    }
}

/// The thread of dispatch. Where deliveries aren't served it starts with the first question that it has to answer.
#[derive(Debug)]
enum Thread {
    Idle,
    Running,
    Ended(DispatchError),
}

/// Sees to it that nobody waits for a thread that has ended, however it has.
struct Ending {
    mailbox: Arc<Mailbox<Message>>,
    thread: Arc<Mutex<Thread>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut thread = self.thread.lock();
        if matches!(*thread, Thread::Running) {
            *thread = Thread::Ended(DispatchError::Panicked);
        }
        drop(thread);
        self.mailbox.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.context.waits_for_room_until.store(i64::MIN, Ordering::Release);
        self.context.mailbox.send(Message::Stop);
    }
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
        observers: Observers,
        options: Options,
        runtime: Handle,
        serves: bool,
    ) -> Result<Self, DispatchError> {
        history::end_unfinished(&rooms.store)?;
        let context = rooms.context(functions, observers, options)?;
        let thread = Arc::new(Mutex::new(Thread::Idle));
        let dispatcher =
            Self { inner: Arc::new(Inner { context: Arc::new(context), runtime, serves, thread }), actor: None };
        let of = Arc::downgrade(&dispatcher.inner);
        dispatcher.context().catalog.ask_for_queues_in_use(move || match of.upgrade() {
            Some(inner) => Self { inner, actor: None }.queues_in_use().map_err(|error| error.to_string()),
            None => Ok(Vec::new()),
        });
        if serves {
            dispatcher.start_thread()?;
        } else {
            let context = dispatcher.context();
            context.imported.store(history::imported(&context.store)?, Ordering::Release);
        }
        Ok(dispatcher)
    }

    /// The same dispatch for someone: what an operator does through it is on record with `actor`, of at most
    /// [`Options::max_error`] bytes.
    #[must_use]
    pub fn with_actor(&self, actor: &str) -> Self {
        Self { inner: self.inner.clone(), actor: Some(actor.into()) }
    }

    fn start_thread(&self) -> Result<(), DispatchError> {
        let mut state = self.inner.thread.lock();
        match &*state {
            Thread::Running => return Ok(()),
            Thread::Ended(error) => return Err(error.clone()),
            Thread::Idle => {}
        }
        if self.inner.context.store.is_read_only() {
            return Err(AppendError::ReadOnly.into());
        }
        let context = self.inner.context.clone();
        let runtime = self.inner.serves.then(|| self.inner.runtime.clone());
        let mut driver = Driver::new(context, runtime)?;
        if self.inner.serves {
            // It starts with the store: nothing is imported yet.
            self.inner.context.imported.store(driver.imported(), Ordering::Release);
        }
        let (mailbox, thread) = (self.inner.context.mailbox.clone(), self.inner.thread.clone());
        // Before it runs, so that a close that comes at once has the last word.
        self.inner.context.waits_for_room_until.store(i64::MAX, Ordering::Release);
        let fence = self.inner.context.store.fence().clone();
        let work = move || {
            let ending = Ending { mailbox: mailbox.clone(), thread: thread.clone() };
            let ended = driver.run().map_err(|error| match error {
                DispatchError::Database(_) if fence.is_closed() => ReadError::Closed.into(),
                other => other,
            });
            if let Err(error) = &ended {
                tracing::error!(%error, "dispatch has stopped");
            }
            let closed = driver.take_close_replies();
            let is_ok = ended.is_ok();
            *thread.lock() = Thread::Ended(ended.err().unwrap_or(DispatchError::Stopped));
            // Whoever waits for an answer learns from its end that there will be none, and then asks why.
            drop(ending);
            // Closes the database, so before anybody is told that all is closed.
            drop(driver);
            for closed in closed.into_iter().filter(|_| is_ok) {
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
        &self.inner.context
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    pub(super) fn is_serving(&self) -> bool {
        self.inner.serves
    }

    pub(super) fn tell(&self, message: Message) {
        self.inner.context.mailbox.send(message);
    }

    /// Asks the thread of dispatch, which is started where it isn't running yet.
    pub(super) async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, DispatchError> {
        if matches!(*self.inner.thread.lock(), Thread::Idle) {
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

    /// The queues that hold messages, dead letters included. Blocking.
    fn queues_in_use(&self) -> Result<Vec<(Scope, Name)>, DispatchError> {
        self.start_thread()?;
        let (reply, mut answer) = oneshot::channel();
        self.tell(Message::Ask(Question::QueuesInUse(reply)));
        // Also called from threads of a runtime, where tokio refuses to block.
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(std::thread::current())).into();
        loop {
            match Pin::new(&mut answer).poll(&mut std::task::Context::from_waker(&waker)) {
                Poll::Ready(answer) => return answer.unwrap_or_else(|_| Err(self.why_ended())),
                Poll::Pending => std::thread::park(),
            }
        }
    }

    fn why_ended(&self) -> DispatchError {
        match &*self.inner.thread.lock() {
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
    pub(super) async fn read<T: Send + 'static>(
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

    /// Everything that is known of an event: how it was routed, and every step that is on record.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Ambiguous`], [`DispatchError::Plan`], [`DispatchError::Read`].
    pub async fn trail(&self, scope: Option<&Scope>, id: Uuid) -> Result<Trail, DispatchError> {
        let event = self.find_event(scope, id).await?;
        self.read(move |reader| reader.trail(&event)).await
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
        let context = self.context().clone();
        self.end_abandoned_import().await?;
        if context.imported.load(Ordering::SeqCst) == u64::MAX {
            return Err(DispatchError::ImportUnderWay);
        }
        // Where there are events nothing is kept waiting to learn that.
        context.store.import_as_recorded()?;
        let gate = Gate::close(&context).await?;
        // The thread must know before the first event comes, and bring none itself.
        let hold = self.ask(|reply| Message::History { gate, reply }).await?;
        blocking(self.runtime(), move || HistoryImport::begin(context, hold)).await
    }

    /// Before an event is ingested: refused while an import of history is under way; one that was abandoned is ended first.
    /// None begins until what this gives is dropped.
    ///
    /// # Errors
    /// [`DispatchError::ImportUnderWay`].
    pub(crate) async fn may_ingest(&self) -> Result<Ingesting<'_>, DispatchError> {
        if let Some(ingesting) = Ingesting::begin(self.context()) {
            return Ok(ingesting);
        }
        self.end_abandoned_import().await?;
        Ingesting::begin(self.context()).ok_or(DispatchError::ImportUnderWay)
    }

    async fn end_abandoned_import(&self) -> Result<(), DispatchError> {
        if self.context().import_abandoned.load(Ordering::Acquire) {
            self.ask(|reply| Message::EndHistory { import: None, reply: Some(reply) }).await?;
        }
        Ok(())
    }

    /// Stops dispatch: nothing more starts, what runs may end for `within`, and what is open is kept. Does nothing where
    /// dispatch has stopped already.
    ///
    /// # Errors
    /// What made dispatch stop before.
    pub async fn close(&self, within: Duration) -> Result<(), DispatchError> {
        match &*self.inner.thread.lock() {
            Thread::Running => {}
            Thread::Idle | Thread::Ended(DispatchError::Stopped | DispatchError::Read(ReadError::Closed)) => {
                return Ok(());
            }
            Thread::Ended(error) => return Err(error.clone()),
        }
        let until = self.context().after(within);
        self.context().waits_for_room_until.fetch_min(until, Ordering::AcqRel);
        match self.ask(|reply| Message::Close { until, reply }).await {
            Err(DispatchError::Stopped | DispatchError::Read(ReadError::Closed)) => Ok(()),
            // It was waiting for room, and has given up: the next open follows the log from further back.
            Err(error) if error.is_full_disk() => Ok(()),
            other => other,
        }
    }
}
