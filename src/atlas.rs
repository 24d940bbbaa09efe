//! [`Atlas`]: the log, configuration, routing and dispatch of one directory, tied together.

mod builder;
mod config;
mod missing_log;
mod queue;
mod rebuild;
mod scope;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use uuid::Uuid;

pub use builder::Builder;
pub use config::{ConfigHandle, Staged};
pub use queue::QueueHandle;
pub use rebuild::{Rebuilt, rebuild, rebuild_with};
pub use scope::{Receipt, ScopeHandle};
pub use verify::verify;

use crate::config::{Bindings, Catalog};
use crate::dispatch::{
    Cascade, DeliveryFilter, DeliveryId, Dispatcher, EventStatus, HandlerLag, HistoryImport, OpenDelivery, QueueInfo,
    Remaining, Rooms, StatusChanges, Trail,
};
use crate::error::Error;
use crate::event::{Name, Scope, TreeScope};
use crate::log::EventStore;
use crate::routing::{Router, check_expression};

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

/// The rooms over a store, without a host's functions.
fn rooms(store: EventStore) -> Result<Rooms, Error> {
    let catalog = Catalog::open(&store, Bindings::default(), check_expression)?;
    let router = Router::new(catalog.clone());
    Ok(Rooms { store, catalog, router })
}

/// Runs what may block where blocking is allowed.
async fn blocking<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    runtime.spawn_blocking(work).await.map_err(|_| Error::RuntimeGone)?
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

    /// As [`completion`](Self::completion), but for so long: see [`Dispatcher::completion_within`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn completion_within(&self, id: Uuid, within: Duration) -> Result<EventStatus, Error> {
        Ok(self.0.dispatcher.completion_within(None, id, within).await?)
    }

    /// How an event stands, again whenever that has changed: see [`Dispatcher::changes`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn changes(&self, id: Uuid) -> Result<StatusChanges, Error> {
        Ok(self.0.dispatcher.changes(None, id).await?)
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

    /// How an event was routed, and every step that is on record of it: see [`Dispatcher::trail`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn trail(&self, id: Uuid) -> Result<Trail, Error> {
        Ok(self.0.dispatcher.trail(None, id).await?)
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

    /// How far each handler is behind, in deliveries and in time: see [`Dispatcher::lag`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn lag(&self) -> Result<Vec<HandlerLag>, Error> {
        Ok(self.0.dispatcher.lag(None).await?)
    }

    /// Has a parked delivery tried again, with attempts from nought: see [`Dispatcher::release`].
    ///
    /// # Errors
    /// [`Error::Dispatch`].
    pub async fn release(&self, id: &DeliveryId) -> Result<(), Error> {
        Ok(self.0.dispatcher.release(None, id, None).await?)
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
        QueueHandle { atlas: self.clone(), scope: Ok(scope.clone()), name: Name::parse("queue", name), group: None }
    }

    /// Begins to import history as it was recorded elsewhere, into a store without events: positions, versions and times
    /// are kept, nothing is routed, and these events never have deliveries.
    ///
    /// # Errors
    /// [`Error::Dispatch`] where the store has events already.
    pub async fn import_as_recorded(&self) -> Result<HistoryImport, Error> {
        Ok(self.0.dispatcher.import_as_recorded().await?)
    }

    /// Stops dispatch, giving the handlers that run [`close_within`](crate::dispatch::Options::close_within), and closes the log
    /// for all clones. Does nothing the second time.
    ///
    /// # Errors
    /// [`Error::Dispatch`] where dispatch had stopped by itself before, [`Error::Append`] where the log can't be ended
    /// cleanly; the directory is free all the same.
    pub async fn close(&self) -> Result<(), Error> {
        let stopped = self.0.dispatcher.close(self.0.close_within).await;
        let (store, catalog) = (self.0.store.clone(), self.0.catalog.clone());
        blocking(&self.0.runtime, move || {
            catalog.close();
            Ok(store.close()?)
        })
        .await?;
        Ok(stopped?)
    }
}
