//! How a store is opened: functions, options, and the rooms put together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::missing_log::refuse_missing_log;
use super::{Atlas, Inner, blocking};
use crate::config::{Bindings, Catalog};
use crate::dispatch::{
    self, Delivery, Dispatcher, Emit, Functions, HandlerError, Observed, Observers, StatefulFunction,
};
use crate::error::Error;
use crate::log::{self, EventStore};
use crate::routing::{Router, Upcaster, check_expression};
use crate::storage::{Environment, RealDisk};

/// How a store is opened.
#[derive(Debug)]
pub struct Builder {
    functions: Functions,
    observers: Observers,
    upcasters: BTreeMap<String, Upcaster>,
    log_options: log::Options,
    dispatch_options: dispatch::Options,
    serve: bool,
    http: bool,
    read_only: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            functions: Functions::default(),
            observers: Observers::default(),
            upcasters: BTreeMap::new(),
            log_options: log::Options::default(),
            dispatch_options: dispatch::Options::default(),
            serve: true,
            http: true,
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

    /// Registers a function with a state of its own for each stream, under the name by which configuration trees call it:
    /// `evolve` and `react` in one.
    #[must_use]
    pub fn stateful(mut self, name: impl Into<String>, function: impl StatefulFunction) -> Self {
        self.functions.insert_stateful(name.into(), function);
        self
    }

    /// Has `observer` told of every step of every event that dispatch serves, once it is on record: received, skipped,
    /// attempts, messages, ends, operators' acts. For a host's own logger. It is called on the thread of dispatch, which
    /// waits for it: an observer returns at once, and doesn't block on anything that asks dispatch, such as an activation.
    /// One that panics is told of the next step all the same.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(Observed<'_>) + Send + Sync + 'static) -> Self {
        self.observers.0.push(Box::new(observer));
        self
    }

    /// States the options of the log.
    #[must_use]
    pub fn log_options(mut self, options: log::Options) -> Self {
        self.log_options = options;
        self
    }

    /// Registers a function that lifts data of an event type to the next version, under the name that `types.json` gives
    /// it: `{"upcast": {"function": NAME}}`.
    #[must_use]
    pub fn upcast(
        mut self,
        name: impl Into<String>,
        lift: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        self.upcasters.insert(name.into(), Upcaster::new(lift));
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

    /// States whether endpoints that handlers name (`http` targets) are called here. Default true. Where they aren't, or
    /// the crate is built without the feature `http-client`, deliveries to them wait for a process that calls them.
    #[must_use]
    pub fn http(mut self, call: bool) -> Self {
        self.http = call;
        self
    }

    /// States that the store is only looked at, also while another process holds it: takes no lock, writes nothing, serves
    /// nothing, and sees of events what is durable by each call, and the configuration that was active when it was opened.
    /// Default false. Derived databases are made anew in memory, as
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
    /// [`Error::Open`], with [`LogMissing`](log::OpenError::LogMissing) where databases tell of a log that isn't there; [`Error::Config`], [`Error::Dispatch`], [`Error::NoRuntime`].
    pub async fn open(self, dir: impl AsRef<Path>) -> Result<Atlas, Error> {
        let (dir, options, read_only) = (PathBuf::from(dir.as_ref()), self.log_options.clone(), self.read_only);
        self.open_store(move || {
            refuse_missing_log(&RealDisk::new(&dir))?;
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
        self.open_store(move || {
            refuse_missing_log(&*environment.disk)?;
            Ok(EventStore::open_with(environment, options)?)
        })
        .await
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

    fn open_rooms(mut self, store: EventStore, runtime: Handle) -> Result<Atlas, Error> {
        let functions: BTreeSet<String> = self.functions.names().map(str::to_owned).collect();
        let upcasters: BTreeSet<String> = self.upcasters.keys().cloned().collect();
        let has_code = !functions.is_empty() || !upcasters.is_empty();
        self.functions.http = self.http && cfg!(feature = "http-client");
        let bindings = Bindings {
            functions: has_code.then_some(functions),
            upcasters: has_code.then_some(upcasters),
            http: self.functions.http,
        };
        let catalog = Catalog::open(&store, bindings, check_expression)?;
        let router = Router::with_upcasters(catalog.clone(), self.upcasters);
        let close_within = self.dispatch_options.close_within;
        let rooms = dispatch::Rooms { store: store.clone(), catalog: catalog.clone(), router: router.clone() };
        let serve = self.serve && !self.read_only;
        let dispatcher =
            Dispatcher::start(rooms, self.functions, self.observers, self.dispatch_options, runtime.clone(), serve)?;
        Ok(Atlas(Arc::new(Inner { store, catalog, router, dispatcher, runtime, close_within })))
    }
}
