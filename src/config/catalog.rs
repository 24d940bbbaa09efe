//! The catalog: imports trees as revisions, proves them complete, activates them, and answers what is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::constants::Constants;
use super::declaration::SchemaRef;
use super::derived::Derived;
use super::document::{Document, DocumentId, QueueOptions, Target};
use super::fault::{ConfigError, ExpressionCheck};
use super::info::{HistoryEntry, RevisionInfo, Shown, TreeInfo};
use super::parse_document;
use super::records::{By, Record};
use super::schedules::Schedule;
use super::schema::Validator;
use super::snapshot::Snapshot;
use crate::event::{Name, Scope, TreeScope};
use crate::log::{Append, EventStore, RecordKind};

/// What the host offers to handlers.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// The names of the host's functions. `None` where there is no host, as on the command line: handlers' functions are
    /// then listed as unbound, and are no faults.
    pub functions: Option<BTreeSet<String>>,
    /// The names of the host's upcast functions; `None` as above.
    pub upcasters: Option<BTreeSet<String>>,
    /// Whether http endpoints are called here. Where they aren't, they are listed as unbound, and are no faults.
    pub http: bool,
}

/// The configuration of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(super) inner: Arc<Inner>,
    pub(super) by: By,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// Closed before the store is, which holds the directory: fields are dropped in this order.
    pub(super) derived: Derived,
    store: EventStore,
    pub(super) bindings: Bindings,
    pub(super) expressions: ExpressionCheck,
    pub(super) snapshot: RwLock<Arc<Snapshot>>,
    /// Of the snapshot, where routing can look at it without a lock. Follows it.
    generation: AtomicU64,
    /// Held while something changes: look, write to the log, apply.
    pub(super) changing: Mutex<()>,
    /// Whether the snapshot may be behind what was applied, as something failed between the two.
    behind: AtomicBool,
    /// Woken whenever something else is active.
    waker: Mutex<Option<Waker>>,
    pub(super) queues_in_use: Mutex<Option<QueuesInUse>>,
}

/// Tells which queues hold messages; an error says why that can't be told.
pub(super) struct QueuesInUse(pub(super) Box<dyn Fn() -> InUse + Send + Sync>);

type InUse = Result<Vec<(Scope, Name)>, String>;

impl std::fmt::Debug for QueuesInUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QueuesInUse")
    }
}

impl Catalog {
    /// Opens the catalog of a store and applies what the log has that it lacks. `expressions` checks guards and transforms.
    pub(crate) fn open(
        store: &EventStore,
        bindings: Bindings,
        expressions: ExpressionCheck,
    ) -> Result<Self, ConfigError> {
        let derived = Derived::open(store.environment(), store)?;
        derived.catch_up(store)?;
        let snapshot = RwLock::new(Arc::new(derived.snapshot(1)?));
        let store = store.clone();
        let (generation, changing, behind) = (AtomicU64::new(1), Mutex::new(()), AtomicBool::new(false));
        let inner = Inner {
            store,
            bindings,
            expressions,
            derived,
            snapshot,
            generation,
            changing,
            behind,
            waker: Mutex::new(None),
            queues_in_use: Mutex::new(None),
        };
        Ok(Self { inner: Arc::new(inner), by: By::default() })
    }

    /// Closes `catalog.redb`, for all clones.
    pub(crate) fn close(&self) {
        let inner = &*self.inner;
        let changing = inner.changing.lock();
        if let Err(error) = inner.derived.note_passed(&inner.store) {
            tracing::warn!(%error, "the next open looks through the log for changes of configuration");
        }
        drop(changing);
        inner.derived.close();
    }

    /// The same catalog for someone: changes made through it record `actor`.
    #[must_use]
    pub fn with_actor(&self, actor: &str) -> Self {
        Self { inner: self.inner.clone(), by: By { actor: Some(actor.to_owned()), ..self.by.clone() } }
    }

    /// The same catalog for a reason: revisions and activations made through it record `reason`.
    #[must_use]
    pub fn with_reason(&self, reason: &str) -> Self {
        Self { inner: self.inner.clone(), by: By { reason: Some(reason.to_owned()), ..self.by.clone() } }
    }

    /// Whether a target can be called here.
    pub(crate) fn is_bound(&self, target: &Target) -> bool {
        let Bindings { functions, http, .. } = &self.inner.bindings;
        match target {
            Target::Function(name) => functions.as_ref().is_some_and(|functions| functions.contains(name)),
            Target::Queue(_) => true,
            Target::Http(_) => *http,
        }
    }

    /// The active revision of a tree.
    ///
    /// # Errors
    /// None today; reserved for a catalog that reads it from disk.
    pub fn active(&self, tree: &TreeScope) -> Result<Option<u32>, ConfigError> {
        Ok(self.snapshot().revision(tree))
    }

    /// A revision with its documents.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRevision`] where it is none of `tree`'s, or an error of the store.
    pub fn show(&self, tree: &TreeScope, revision: u32) -> Result<Shown, ConfigError> {
        let info = self.inner.revision_of_tree(tree, revision)?;
        let (active, derived) = (self.snapshot().revision(tree) == Some(revision), &self.inner.derived);
        let routes = derived.routes(revision)?;
        Ok(Shown {
            active,
            types: derived.declarations(&info)?,
            queues: (*derived.queues(revision)?).clone(),
            constants: derived.constants(revision)?.0,
            documents: routes.iter().map(|(event_type, placed)| (event_type.clone(), placed.id)).collect(),
            files: routes
                .into_iter()
                .map(|(event_type, placed)| (event_type.clone(), placed.path(&event_type)))
                .collect(),
            revision: info,
        })
    }

    /// The bytes of a document, as in the file that it was imported from.
    ///
    /// # Errors
    /// An error of the store.
    pub fn document_bytes(&self, id: DocumentId) -> Result<Option<Bytes>, ConfigError> {
        self.inner.derived.document(id)
    }

    /// What happened to a tree, oldest first.
    ///
    /// # Errors
    /// An error of the store.
    pub fn history(&self, tree: &TreeScope) -> Result<Vec<HistoryEntry>, ConfigError> {
        self.inner.derived.history(tree)
    }

    /// Since when a schedule stands as it does in what is active of a tree; `None` where it doesn't.
    pub(crate) fn scheduled_since(
        &self,
        tree: &TreeScope,
        name: &Name,
        schedule: &Schedule,
    ) -> Result<Option<i64>, ConfigError> {
        self.inner.derived.scheduled_since(tree, name, schedule)
    }

    /// All trees that have been imported.
    ///
    /// # Errors
    /// An error of the store.
    pub fn trees(&self) -> Result<Vec<TreeInfo>, ConfigError> {
        self.inner.derived.trees()
    }

    /// The queues of a scope, with their options: those of all active trees that serve it.
    pub fn queues(&self, scope: &Scope) -> BTreeMap<Name, QueueOptions> {
        self.snapshot().queues(scope)
    }

    /// What is active at this moment.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.read().clone()
    }

    /// The options of a queue of a scope, where an active tree has it.
    pub(crate) fn queue_options(&self, scope: &Scope, queue: &str) -> Option<QueueOptions> {
        self.snapshot().queue(scope, queue)
    }

    /// A number that changes with each activation.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Has somebody woken whenever something else is active.
    pub(crate) fn wake_on_change(&self, waker: Waker) {
        *self.inner.waker.lock() = Some(waker);
    }

    /// Has `in_use` asked for the queues that hold messages, before a queue goes.
    pub(crate) fn ask_for_queues_in_use(&self, in_use: impl Fn() -> InUse + Send + Sync + 'static) {
        *self.inner.queues_in_use.lock() = Some(QueuesInUse(Box::new(in_use)));
    }

    /// The tree of a revision.
    pub(crate) fn tree_of(&self, revision: u32) -> Result<Option<TreeScope>, ConfigError> {
        Ok(self.inner.derived.revision(revision)?.map(|info| info.tree))
    }

    /// The name of the document of a type in a revision.
    pub(crate) fn document_id(&self, revision: u32, event_type: &str) -> Result<Option<DocumentId>, ConfigError> {
        Ok(self.inner.derived.route(revision, event_type)?.map(|placed| placed.id))
    }

    /// The file of the document of a type in a revision.
    pub(crate) fn file_of(&self, revision: u32, event_type: &str) -> Result<Option<String>, ConfigError> {
        let Some(placed) = self.inner.derived.route(revision, event_type)? else { return Ok(None) };
        Ok(event_type.parse().ok().map(|event_type| placed.path(&event_type)))
    }

    /// The line that each handler of a document begins on, in the order of the file.
    pub(crate) fn handler_lines(&self, id: DocumentId) -> Result<Vec<u32>, ConfigError> {
        let bytes = self.inner.derived.document(id)?.unwrap_or_default();
        Ok(parse_document::handler_lines(&bytes))
    }

    /// The constants of a revision.
    pub(crate) fn constants(&self, revision: u32) -> Result<Constants, ConfigError> {
        self.inner.derived.constants(revision)
    }

    /// A schema, compiled.
    pub(crate) fn validator(&self, schema: &SchemaRef) -> Result<Validator, ConfigError> {
        let unusable = |what| ConfigError::Schema { document: schema.document, what };
        let text = self.inner.derived.document(schema.document)?.ok_or_else(|| unusable("it is missing".to_owned()))?;
        Validator::compile(schema, &text)
            .map_err(|error| unusable(format!("{}; expected {}", error.what, error.expected)))
    }

    /// A document by its name.
    pub(crate) fn parsed(&self, id: DocumentId) -> Result<Arc<Document>, ConfigError> {
        let damaged = |what| ConfigError::Damaged { place: format!("catalog.redb, document {id}"), what };
        let bytes = self.inner.derived.document(id)?.ok_or_else(|| damaged("a document that is missing"))?;
        if DocumentId::of(&bytes) != id {
            return Err(damaged("a document whose bytes are not those of its name"));
        }
        let document = parse_document::parse(&id.to_string(), &bytes);
        document.map(Arc::new).map_err(|_| damaged("a document that can't be read"))
    }
}

impl Inner {
    /// Applies what the log has and the derived state lacks, and publishes it. The caller holds `changing`.
    pub(super) fn apply(&self) -> Result<(), ConfigError> {
        let was_behind = self.behind.swap(true, Ordering::AcqRel);
        let changed = self.derived.catch_up(&self.store)?;
        if was_behind || changed.types || !changed.trees.is_empty() {
            let before = self.snapshot.read().clone();
            let generation = before.generation + 1;
            let next = match was_behind || changed.types {
                true => self.derived.snapshot(generation)?,
                // Of ten thousand trees one changed: what is known of the others stays.
                false => self.derived.snapshot_after(&before, &changed.trees)?,
            };
            *self.snapshot.write() = Arc::new(next);
            self.generation.store(generation, Ordering::Release);
            if let Some(waker) = &*self.waker.lock() {
                waker.wake_by_ref();
            }
        }
        self.behind.store(false, Ordering::Release);
        Ok(())
    }

    /// Writes records in one append, durably, and applies them.
    pub(super) fn write(&self, records: &[Record]) -> Result<(), ConfigError> {
        let append = records.iter().fold(Append::of_records(), |append, record| {
            append.record(RecordKind::Configuration, record.key(), record.encode())
        });
        self.store.append(append)?;
        self.apply()
    }

    pub(super) fn revision_of_tree(&self, tree: &TreeScope, revision: u32) -> Result<RevisionInfo, ConfigError> {
        match self.derived.revision(revision)? {
            Some(info) if info.tree == *tree => Ok(info),
            _ => {
                let known = match self.derived.tree(tree)? {
                    Some(info) => format!(", such as {}", info.latest),
                    None => String::new(),
                };
                Err(ConfigError::UnknownRevision { tree: tree.clone(), revision, known })
            }
        }
    }
}
