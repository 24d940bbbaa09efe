//! [`Atlas`]: the log, configuration, routing and dispatch of one directory, tied together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use uuid::Uuid;

use crate::config::{Activated, Bindings, Catalog, Imported};
use crate::dispatch::{
    self, Cascade, Delivery, DeliveryFilter, DeliveryId, Dispatcher, Emit, EventStatus, Functions, HandlerError,
    HistoryImport, OpenDelivery, QueueInfo, QueueMessage, Remaining,
};
use crate::error::Error;
use crate::event::{Event, Name, Scope, TreeScope, VocabularyError};
use crate::log::{self, Append, EventStore, RecordedEvent};
use crate::routing::{Router, check_expression};
use crate::storage::Environment;

/// An open store with all that Atlas does. Cheap to clone; clones share one store.
///
/// [`close`](Self::close) it in the end. Where the last clone is dropped without, nothing that was acknowledged is lost;
/// handlers that run then are called again after the next open.
#[derive(Clone, Debug)]
pub struct Atlas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: EventStore,
    catalog: Catalog,
    router: Router,
    dispatcher: Dispatcher,
    runtime: Handle,
    close_within: Duration,
}

/// How a store is opened.
#[derive(Debug)]
pub struct Builder {
    functions: Functions,
    log_options: log::Options,
    dispatch_options: dispatch::Options,
    serve: bool,
    read_only: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            functions: Functions::default(),
            log_options: log::Options::default(),
            dispatch_options: dispatch::Options::default(),
            serve: true,
            read_only: false,
        }
    }
}

impl Builder {
    /// Registers a function under the name by which configuration trees call it; a second one of the same name takes the
    /// place of the first. Where none is registered at all, functions are taken to be elsewhere: importing a tree that
    /// names some is no error then.
    #[must_use]
    pub fn function<F, A, E>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Delivery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<E, HandlerError>> + Send + 'static,
        E: Into<Emit>,
    {
        self.functions.insert(name.into(), function);
        self
    }

    /// States the options of the log.
    #[must_use]
    pub fn log_options(mut self, options: log::Options) -> Self {
        self.log_options = options;
        self
    }

    /// States the options of dispatch.
    #[must_use]
    pub fn dispatch_options(mut self, options: dispatch::Options) -> Self {
        self.dispatch_options = options;
        self
    }

    /// States whether deliveries are served. Default true. Where they aren't, events are routed and appended all the
    /// same, and their deliveries stay Pending.
    #[must_use]
    pub fn dispatch(mut self, serve: bool) -> Self {
        self.serve = serve;
        self
    }

    /// States that the store is only looked at, also while another process holds it: takes no lock, writes nothing, serves
    /// nothing, and sees what is durable when it is opened. Default false. Derived databases are made anew in memory, as
    /// far as they are needed; questions about queues and open deliveries are refused with
    /// [`AppendError::ReadOnly`](log::AppendError::ReadOnly).
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens the store in `dir`, created where there is none (unless the log's options say otherwise). Handlers run on
    /// the tokio runtime that this is called on.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Config`], [`Error::Dispatch`], [`Error::NoRuntime`].
    pub async fn open(self, dir: impl AsRef<Path>) -> Result<Atlas, Error> {
        let (dir, options, read_only) = (PathBuf::from(dir.as_ref()), self.log_options.clone(), self.read_only);
        self.open_store(move || {
            Ok(if read_only { EventStore::open_read_only(dir)? } else { EventStore::open_options(dir, options)? })
        })
        .await
    }

    /// Opens a store in a world of the caller's making: a disk in memory, another clock.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(self, environment: Environment) -> Result<Atlas, Error> {
        let options = self.log_options.clone();
        self.open_store(move || Ok(EventStore::open_with(environment, options)?)).await
    }

    async fn open_store(
        self,
        store: impl FnOnce() -> Result<EventStore, Error> + Send + 'static,
    ) -> Result<Atlas, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let on = runtime.clone();
        blocking(&runtime, move || {
            let store = store()?;
            self.open_rooms(store.clone(), on).inspect_err(|_| {
                // The error that is on its way says more than one of closing would.
                let _ = store.close();
            })
        })
        .await
    }

    fn open_rooms(self, store: EventStore, runtime: Handle) -> Result<Atlas, Error> {
        let mut names = self.functions.names().map(str::to_owned).peekable();
        let functions = names.peek().is_some().then(|| names.collect());
        let catalog = Catalog::open(&store, Bindings { functions }, check_expression)?;
        let router = Router::new(catalog.clone());
        let close_within = self.dispatch_options.close_within;
        let rooms = dispatch::Rooms { store: store.clone(), catalog: catalog.clone(), router: router.clone() };
        let dispatcher = Dispatcher::start(
            rooms,
            self.functions,
            self.dispatch_options,
            runtime.clone(),
            self.serve && !self.read_only,
        )?;
        Ok(Atlas(Arc::new(Inner { store, catalog, router, dispatcher, runtime, close_within })))
    }
}

/// Runs what may block where blocking is allowed.
async fn blocking<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    runtime.spawn_blocking(work).await.map_err(|_| Error::RuntimeGone)?
}

/// The answer to an ingested event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id, given or made.
    pub id: Uuid,
    /// Its version in its stream.
    pub version: u64,
    /// Its position in the log.
    pub position: u64,
    /// Whether it is on disk.
    pub durable: bool,
    /// The id was known with the same content: nothing was written, and the rest tells of the first time.
    pub repeated: bool,
    /// When it was recorded, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// The revision that it was routed by; `None` of a known event that was appended without routing.
    pub revision: Option<u32>,
}

impl Atlas {
    /// Begins to open a store.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A scope. The names are checked at the first use.
    pub fn scope(&self, tenant: &str, application: &str) -> ScopeHandle {
        ScopeHandle { atlas: self.clone(), scope: Scope::new(tenant, application) }
    }

    /// The configuration of a tree: of a scope, a variant, or the default tenant.
    pub fn config(&self, tree: &TreeScope) -> ConfigHandle {
        ConfigHandle { atlas: self.clone(), tree: Ok(tree.clone()) }
    }

    /// The log.
    pub fn store(&self) -> &EventStore {
        &self.0.store
    }

    /// Trees, types and revisions.
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Plans, and why an event has which.
    pub fn router(&self) -> &Router {
        &self.0.router
    }

    /// Deliveries and queues, with the scope stated where an id is known in several.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.0.dispatcher
    }

    /// Waits until an event and all that it caused is complete, or can't go on: see [`Dispatcher::completion`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn completion(&self, id: Uuid) -> Result<EventStatus, Error> {
        Ok(self.0.dispatcher.completion(None, id).await?)
    }

    /// Waits until all deliveries that can be served are, and tells what is left: see [`Dispatcher::settled`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn settled(&self) -> Result<Remaining, Error> {
        Ok(self.0.dispatcher.settled().await?)
    }

    /// What became of an event and all that it caused: see [`Dispatcher::status`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn status(&self, id: Uuid) -> Result<EventStatus, Error> {
        Ok(self.0.dispatcher.status(None, id).await?)
    }

    /// All that one request set off, as a tree: see [`Dispatcher::cascade`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn cascade(&self, correlation_id: Uuid) -> Result<Cascade, Error> {
        Ok(self.0.dispatcher.cascade(None, correlation_id).await?)
    }

    /// Deliveries that aren't complete.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<OpenDelivery>, Error> {
        Ok(self.0.dispatcher.deliveries(filter).await?)
    }

    /// Has a parked delivery tried again, with attempts from nought: see [`Dispatcher::release`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn release(&self, id: &DeliveryId) -> Result<(), Error> {
        Ok(self.0.dispatcher.release(None, id).await?)
    }

    /// Gives a delivery up: Complete, Failure: see [`Dispatcher::drop_delivery`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn drop_delivery(&self, id: &DeliveryId, reason: &str) -> Result<(), Error> {
        Ok(self.0.dispatcher.drop_delivery(None, id, reason).await?)
    }

    /// The queues that hold messages, of all scopes.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        Ok(self.0.dispatcher.queues(None).await?)
    }

    /// A queue of a scope. The name is checked at the first use.
    pub fn queue(&self, scope: &Scope, name: &str) -> QueueHandle {
        QueueHandle { atlas: self.clone(), scope: Ok(scope.clone()), name: Name::parse("queue", name) }
    }

    /// Begins to import history as it was recorded elsewhere, into a store without events: positions, versions and times
    /// are kept, nothing is routed, and these events never have deliveries.
    ///
    /// # Errors
    /// [`Error::Dispatch`] where the store has events already.
    pub async fn import_as_recorded(&self) -> Result<HistoryImport, Error> {
        Ok(self.0.dispatcher.import_as_recorded().await?)
    }

    /// Stops dispatch, giving the handlers that run [`close_within`](dispatch::Options::close_within), and closes the log
    /// for all clones. Does nothing the second time.
    ///
    /// # Errors
    /// [`Error::Dispatch`] where dispatch had stopped by itself before, [`Error::Append`] where the log can't be ended
    /// cleanly; the directory is free all the same.
    pub async fn close(&self) -> Result<(), Error> {
        let stopped = self.0.dispatcher.close(self.0.close_within).await;
        let store = self.0.store.clone();
        blocking(&self.0.runtime, move || Ok(store.close()?)).await?;
        Ok(stopped?)
    }
}

/// Events of one scope. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ScopeHandle {
    atlas: Atlas,
    scope: Result<Scope, VocabularyError>,
}

impl ScopeHandle {
    fn checked(&self) -> Result<&Scope, Error> {
        self.scope.as_ref().map_err(|error| error.clone().into())
    }

    /// The configuration tree of this scope.
    pub fn config(&self) -> ConfigHandle {
        ConfigHandle { atlas: self.atlas.clone(), tree: self.scope.clone().map(TreeScope::from) }
    }

    /// A queue of this scope. The name is checked at the first use.
    pub fn queue(&self, name: &str) -> QueueHandle {
        let name = Name::parse("queue", name);
        QueueHandle { atlas: self.atlas.clone(), scope: self.scope.clone(), name }
    }

    /// Routes an event, appends it, and returns once it is durable; its handlers are called behind. An id that is known
    /// with the same content gives the first receipt, also where its type has been retired since.
    ///
    /// Events take their places in the log in the order in which the futures are first polled. A future that is dropped
    /// after that doesn't take the event back.
    ///
    /// # Errors
    /// [`Error::Route`] where the event has no configuration, [`Error::Append`]; nothing is written then but where that
    /// says so.
    pub fn ingest(&self, event: Event) -> impl Future<Output = Result<Receipt, Error>> + Send + use<> {
        let this = self.clone();
        async move {
            let receipts = this.append(vec![event]).await?;
            receipts.into_iter().next().ok_or(Error::Append(log::AppendError::Empty))
        }
    }

    /// Routes and appends events in one piece: all of them or none. Either all ids are new (or not stated) or all are
    /// known.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest); the error of the first event that has one.
    pub fn ingest_all(&self, events: Vec<Event>) -> impl Future<Output = Result<Vec<Receipt>, Error>> + Send + use<> {
        let this = self.clone();
        async move { this.append(events).await }
    }

    async fn append(&self, mut events: Vec<Event>) -> Result<Vec<Receipt>, Error> {
        let scope = self.checked()?;
        let store = &self.atlas.0.store;
        let mut revisions = Vec::with_capacity(events.len());
        for event in &mut events {
            // Known ids come before routing: what was accepted once stays accepted.
            let known = match event.id {
                Some(id) => store.event(scope, id)?,
                None => None,
            };
            event.revision = match known {
                Some(known) => known.revision(),
                None => Some(self.atlas.0.router.route(scope, event.stated_variant(), event.event_type())?.revision),
            };
            revisions.push(event.revision);
        }
        let receipt = store.append_async(Append::to(scope).events(events)).await?;
        let mut receipts = Vec::with_capacity(revisions.len());
        for (written, revision) in receipt.events.iter().zip(revisions) {
            // An event that became known meanwhile was routed by what was active then.
            let revision = match receipt.repeated {
                true => store.event(scope, written.id)?.and_then(|event: RecordedEvent| event.revision()),
                false => revision,
            };
            receipts.push(Receipt {
                id: written.id,
                version: written.version,
                position: written.position,
                durable: receipt.durable,
                repeated: receipt.repeated,
                recorded_at: written.recorded_at,
                revision,
            });
        }
        Ok(receipts)
    }

    /// As [`Atlas::completion`], for an id of this scope.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn completion(&self, id: Uuid) -> Result<EventStatus, Error> {
        Ok(self.atlas.0.dispatcher.completion(Some(self.checked()?), id).await?)
    }

    /// As [`Atlas::status`], for an id of this scope.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn status(&self, id: Uuid) -> Result<EventStatus, Error> {
        Ok(self.atlas.0.dispatcher.status(Some(self.checked()?), id).await?)
    }

    /// As [`Atlas::cascade`], in this scope.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn cascade(&self, correlation_id: Uuid) -> Result<Cascade, Error> {
        Ok(self.atlas.0.dispatcher.cascade(Some(self.checked()?), correlation_id).await?)
    }
}

/// One configuration tree.
#[derive(Clone, Debug)]
pub struct ConfigHandle {
    atlas: Atlas,
    tree: Result<TreeScope, VocabularyError>,
}

/// A revision that was imported and isn't active yet, or is active already.
#[derive(Clone, Debug)]
pub struct Staged {
    atlas: Atlas,
    imported: Imported,
}

impl ConfigHandle {
    /// Imports a folder as a revision of the tree, without activating it.
    ///
    /// # Errors
    /// [`Error::Config`] with every fault of the folder; nothing is written then.
    pub async fn import(&self, dir: impl AsRef<Path>) -> Result<Staged, Error> {
        let tree = self.tree.clone()?;
        let (catalog, dir) = (self.atlas.0.catalog.clone(), PathBuf::from(dir.as_ref()));
        let imported = blocking(&self.atlas.0.runtime, move || Ok(catalog.import(&dir, &tree)?)).await?;
        Ok(Staged { atlas: self.atlas.clone(), imported })
    }

    /// The revision that is active.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub async fn active(&self) -> Result<Option<u32>, Error> {
        let (catalog, tree) = (self.atlas.0.catalog.clone(), self.tree.clone()?);
        blocking(&self.atlas.0.runtime, move || Ok(catalog.active(&tree)?)).await
    }
}

impl Staged {
    /// What the import did.
    pub fn imported(&self) -> &Imported {
        &self.imported
    }

    /// Makes the revision the one that events are routed by from now on.
    ///
    /// # Errors
    /// [`Error::Config`] where the tree isn't complete; nothing changes then.
    pub async fn activate(&self) -> Result<Activated, Error> {
        let (catalog, tree) = (self.atlas.0.catalog.clone(), (self.imported.tree.clone(), self.imported.revision));
        blocking(&self.atlas.0.runtime, move || Ok(catalog.activate(&[tree])?)).await
    }
}

/// One queue.
#[derive(Clone, Debug)]
pub struct QueueHandle {
    atlas: Atlas,
    scope: Result<Scope, VocabularyError>,
    name: Result<Name, VocabularyError>,
}

impl QueueHandle {
    fn checked(&self) -> Result<(&Scope, &Name), Error> {
        match (&self.scope, &self.name) {
            (Ok(scope), Ok(name)) => Ok((scope, name)),
            (Err(error), _) | (_, Err(error)) => Err(error.clone().into()),
        }
    }

    /// The first `count` messages; nothing changes.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn peek(&self, count: usize) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name) = self.checked()?;
        Ok(self.atlas.0.dispatcher.peek(scope, name, count).await?)
    }

    /// Takes up to `count` messages; for `lease` nobody else gets them.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn take(&self, count: usize, lease: Duration) -> Result<Vec<QueueMessage>, Error> {
        let (scope, name) = self.checked()?;
        Ok(self.atlas.0.dispatcher.take(scope, name, count, lease).await?)
    }

    /// Removes a message that was worked on.
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn ack(&self, id: Uuid) -> Result<(), Error> {
        let (scope, _) = self.checked()?;
        Ok(self.atlas.0.dispatcher.acknowledge(Some(scope), id).await?)
    }
}
