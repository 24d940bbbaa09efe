//! The router: which plan an event has. On the ingest path a look-up in a cache; else the catalog is asked, and what its
//! document says is compiled.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::Equivalent;
use parking_lot::RwLock;
use thiserror::Error;
use uuid::Uuid;

use super::cache::Cache;
use super::expression::{Constants, ExpressionError};
use super::lift::Upcaster;
use super::plan::{self, Handler, Plan};
use crate::config::{Catalog, ConfigError, DocumentId, SchemaRef, Snapshot, Validator, Violation, nearest};
use crate::event::{EventType, Name, Scope, TreeScope, VocabularyError, check_event_type};
use crate::log::ReadError;

/// The most memory that cached plans take, in bytes, by estimate; compiled documents take at most as much again.
pub const MAX_CACHED_BYTES: usize = 64 << 20;

/// An event has no plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No tree serves the scope.
    #[error(
        "{scope} has no active configuration tree (looked for {tried}); expected one that is imported and activated"
    )]
    NoTree {
        /// The scope.
        scope: Scope,
        /// The trees looked for, in order.
        tried: String,
    },
    /// The tree that serves the scope has no document for the type.
    #[error("type {event_type} has no document in {tree}, revision {revision}; expected a configured type{near}")]
    NoDocument {
        /// The type.
        event_type: String,
        /// The tree.
        tree: TreeScope,
        /// Its active revision.
        revision: u32,
        /// The nearest type that has one, as words.
        near: String,
    },
    /// The application has retired the type.
    #[error("type {event_type} of application {application} is retired; expected a type in use")]
    Retired {
        /// The type.
        event_type: String,
        /// The application.
        application: Name,
    },
    /// The type or the variant is not well formed.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The event's data break the schema of its type.
    #[error("the data of {event_type} break its schema {violation}; expected data that follow it")]
    Schema {
        /// The type.
        event_type: String,
        /// Where, which rule, and what was found.
        violation: Violation,
    },
    /// An event's data can't be lifted to a later version of its type.
    #[error("event {event} can't be lifted to {event_type}: {why}")]
    Lift {
        /// The event.
        event: Uuid,
        /// The type.
        event_type: EventType,
        /// Why.
        why: String,
    },
    /// An expression that was accepted at import no longer compiles.
    #[error("document {document}: {source}")]
    Expression {
        /// The document.
        document: DocumentId,
        /// What is wrong.
        #[source]
        source: ExpressionError,
    },
    /// The constants of a revision can't be given to an expression.
    #[error("constants of revision {revision}: {source}")]
    Constants {
        /// The revision.
        revision: u32,
        /// What is wrong.
        #[source]
        source: ExpressionError,
    },
    /// There is no such revision.
    #[error("there is no revision {revision}")]
    NoRevision {
        /// The number.
        revision: u32,
    },
    /// The catalog can't be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A thread that works on history ended early.
    #[error("a thread of what-if ended early; expected it to go through its part of the log")]
    Thread,
}

/// From scope and event type to a plan. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    catalog: Catalog,
    routes: RwLock<Routes>,
    plans: RwLock<Plans>,
    documents: RwLock<Cache<DocumentId, Arc<[Handler]>>>,
    constants: RwLock<Cache<u32, Constants>>,
    validators: Validators,
    upcasters: BTreeMap<String, Upcaster>,
}

/// Compiled schemas.
type Validators = RwLock<Cache<SchemaRef, Arc<Validator>>>;

/// Plans by revision and event type: valid for ever.
type Plans = Cache<(u32, Arc<str>), Arc<Plan>>;

/// Plans by what an event says, valid for one generation of the catalog.
#[derive(Debug)]
struct Routes {
    generation: u64,
    cache: Cache<RouteKey, Arc<Plan>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RouteKey {
    scope: Scope,
    variant: Option<Box<str>>,
    event_type: Box<str>,
}

/// A [`RouteKey`] that owns nothing, so that a look-up allocates nothing.
#[derive(Hash)]
struct RouteQuery<'a> {
    scope: &'a Scope,
    variant: Option<&'a str>,
    event_type: &'a str,
}

impl Hash for RouteKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        RouteQuery { scope: &self.scope, variant: self.variant.as_deref(), event_type: &self.event_type }.hash(state);
    }
}

impl Equivalent<RouteKey> for RouteQuery<'_> {
    fn equivalent(&self, key: &RouteKey) -> bool {
        *self.event_type == *key.event_type && self.variant == key.variant.as_deref() && *self.scope == key.scope
    }
}

#[derive(Hash)]
struct PlanQuery<'a>(u32, &'a str);

impl Equivalent<(u32, Arc<str>)> for PlanQuery<'_> {
    fn equivalent(&self, key: &(u32, Arc<str>)) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

impl Router {
    /// A router over a catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self::with_upcasters(catalog, BTreeMap::new())
    }

    /// A router over a catalog, with the functions by which the host lifts events.
    pub fn with_upcasters(catalog: Catalog, upcasters: BTreeMap<String, Upcaster>) -> Self {
        Self(Arc::new(Inner {
            upcasters,
            catalog,
            routes: RwLock::new(Routes { generation: 0, cache: Cache::new(MAX_CACHED_BYTES / 4) }),
            plans: RwLock::new(Cache::new(MAX_CACHED_BYTES / 4 * 3)),
            documents: RwLock::new(Cache::new(MAX_CACHED_BYTES)),
            constants: RwLock::new(Cache::new(MAX_CACHED_BYTES / 8)),
            validators: RwLock::new(Cache::new(MAX_CACHED_BYTES / 8)),
        }))
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    pub(super) fn upcaster(&self, name: &str) -> Option<&Upcaster> {
        self.0.upcasters.get(name)
    }

    pub(super) fn validators(&self) -> &Validators {
        &self.0.validators
    }

    /// The plan of an event of `scope`, `variant` and `event_type` by what is active now. The event is to be recorded with
    /// the plan's revision. A plan that was routed before an activation ends stays valid: it is of the revision before.
    ///
    /// # Errors
    /// [`RouteError::NoTree`], [`RouteError::NoDocument`], [`RouteError::Retired`], [`RouteError::Vocabulary`], or an error
    /// of the catalog.
    pub fn route(&self, scope: &Scope, variant: Option<&str>, event_type: &str) -> Result<Arc<Plan>, RouteError> {
        let inner = &*self.0;
        let query = RouteQuery { scope, variant, event_type };
        let generation = inner.catalog.generation();
        {
            let routes = inner.routes.read();
            if routes.generation == generation
                && let Some(plan) = routes.cache.peek(&query)
            {
                return Ok(plan.clone());
            }
        }
        let snapshot = inner.catalog.snapshot();
        if let Some(plan) = inner.routes.write().of(snapshot.generation()).and_then(|cache| cache.get(&query)) {
            return Ok(plan);
        }
        let plan = self.look_up(&snapshot, scope, variant, event_type)?;
        let key = RouteKey { scope: scope.clone(), variant: variant.map(Into::into), event_type: event_type.into() };
        // The plan is of this snapshot: it must not enter what has become the cache of a later one.
        if let Some(cache) = inner.routes.write().of(snapshot.generation()) {
            cache.insert(key, plan.clone(), 256 + event_type.len());
        }
        Ok(plan)
    }

    /// The plan by what a snapshot says is active.
    pub(super) fn look_up(
        &self,
        snapshot: &Snapshot,
        scope: &Scope,
        variant: Option<&str>,
        event_type: &str,
    ) -> Result<Arc<Plan>, RouteError> {
        check_event_type(event_type)?;
        let variant = variant.map(|variant| Name::parse("variant", variant)).transpose()?;
        let Some((tree, revision)) = snapshot.resolve(scope, variant.as_ref()) else {
            let tried: Vec<String> = TreeScope::candidates(scope, variant.as_ref()).map(|t| t.to_string()).collect();
            return Err(RouteError::NoTree { scope: scope.clone(), tried: tried.join(", ") });
        };
        if snapshot.is_retired(scope.application(), event_type) {
            let application = scope.application().clone();
            return Err(RouteError::Retired { event_type: event_type.to_owned(), application });
        }
        self.plan(revision, Some(tree), event_type)
    }

    /// The plan of an event that was recorded with `revision`.
    ///
    /// # Errors
    /// [`RouteError::NoRevision`], [`RouteError::NoDocument`], or an error of the catalog.
    pub fn plan_of(&self, revision: u32, event_type: &str) -> Result<Arc<Plan>, RouteError> {
        self.plan(revision, None, event_type)
    }

    /// A plan; `tree` is what the revision is of, where the caller knows.
    fn plan(&self, revision: u32, tree: Option<TreeScope>, event_type: &str) -> Result<Arc<Plan>, RouteError> {
        let inner = &*self.0;
        let query = PlanQuery(revision, event_type);
        if let Some(plan) = inner.plans.read().peek(&query) {
            return Ok(plan.clone());
        }
        if let Some(plan) = inner.plans.write().get(&query) {
            return Ok(plan);
        }
        let tree = match tree {
            Some(tree) => tree,
            None => inner.catalog.tree_of(revision)?.ok_or(RouteError::NoRevision { revision })?,
        };
        let Some(document) = inner.catalog.document_id(revision, event_type)? else {
            let near = self.near(revision, &tree, event_type);
            return Err(RouteError::NoDocument { event_type: event_type.to_owned(), tree, revision, near });
        };
        let handlers = self.compiled(document)?;
        let constants = self.constants(revision)?;
        let plan = Arc::new(Plan { revision, tree, document, handlers, constants });
        let weight = plan::weight(&[]) + plan.constants.weight();
        inner.plans.write().insert((revision, event_type.into()), plan.clone(), weight);
        Ok(plan)
    }

    /// The constants of a revision.
    fn constants(&self, revision: u32) -> Result<Constants, RouteError> {
        if let Some(constants) = self.0.constants.write().get(&revision) {
            return Ok(constants);
        }
        let json = self.0.catalog.constants(revision)?.to_json();
        let constants =
            Constants::from_json(json.as_bytes()).map_err(|source| RouteError::Constants { revision, source })?;
        self.0.constants.write().insert(revision, constants.clone(), 256 + constants.weight());
        Ok(constants)
    }

    /// The handlers of a document, compiled once for all trees that have it.
    pub(super) fn compiled(&self, document: DocumentId) -> Result<Arc<[Handler]>, RouteError> {
        if let Some(handlers) = self.0.documents.write().get(&document) {
            return Ok(handlers);
        }
        let parsed = self.0.catalog.parsed(document)?;
        let handlers = plan::compile(&parsed).map_err(|source| RouteError::Expression { document, source })?;
        let handlers: Arc<[Handler]> = handlers.into();
        self.0.documents.write().insert(document, handlers.clone(), plan::weight(&handlers));
        Ok(handlers)
    }

    fn near(&self, revision: u32, tree: &TreeScope, event_type: &str) -> String {
        let Ok(shown) = self.0.catalog.show(tree, revision) else { return String::new() };
        let near = nearest(event_type, shown.documents.keys().map(EventType::as_str));
        near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
    }
}

impl Routes {
    /// The cache of a generation: emptied when the generation is newer, `None` when it is older than what is cached.
    fn of(&mut self, generation: u64) -> Option<&mut Cache<RouteKey, Arc<Plan>>> {
        if generation < self.generation {
            return None;
        }
        if generation > self.generation {
            self.cache.clear();
            self.generation = generation;
        }
        Some(&mut self.cache)
    }
}
