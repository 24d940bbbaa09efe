//! The catalog: imports trees as revisions, proves them complete, activates them, and answers what is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::completeness::{Candidate, Catalogue, Proof, prove};
use super::derived::Derived;
use super::document::{Document, DocumentId, QueueOptions};
use super::fault::{ConfigError, ExpressionCheck, Gap};
use super::info::{HistoryEntry, RevisionInfo, Shown, TreeInfo, TypeInfo};
use super::nearest::nearest;
use super::parse_document;
use super::records::{Record, RevisionContent};
use super::report::{Activated, Checked, Declared, Imported, Unbound};
use super::root_files::TypeDeclaration;
use super::snapshot::Snapshot;
use super::tree::{self, Tree};
use crate::event::{EventType, Name, Scope, TreeScope};
use crate::log::{Append, EventStore, RecordKind};

/// How many bytes of documents go into one append.
const BYTES_PER_APPEND: usize = 8 << 20;

/// What the host offers to handlers.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// The names of the host's functions. `None` where there is no host, as on the command line: handlers' functions are
    /// then listed as unbound, and are no faults.
    pub functions: Option<BTreeSet<String>>,
}

/// The configuration of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    inner: Arc<Inner>,
    actor: Option<Arc<str>>,
}

#[derive(Debug)]
struct Inner {
    /// Closed before the store is, which holds the directory: fields are dropped in this order.
    derived: Derived,
    store: EventStore,
    bindings: Bindings,
    expressions: ExpressionCheck,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Of the snapshot, where routing can look at it without a lock. Follows it.
    generation: AtomicU64,
    /// Held while something changes: look, write to the log, apply.
    changing: Mutex<()>,
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
        let (generation, changing) = (AtomicU64::new(1), Mutex::new(()));
        let inner = Inner { store, bindings, expressions, derived, snapshot, generation, changing };
        Ok(Self { inner: Arc::new(inner), actor: None })
    }

    /// Closes `catalog.redb`, for all clones.
    pub(crate) fn close(&self) {
        self.inner.derived.close();
    }

    /// The same catalog for someone: changes made through it record `actor`.
    #[must_use]
    pub fn with_actor(&self, actor: &str) -> Self {
        Self { inner: self.inner.clone(), actor: Some(actor.into()) }
    }

    fn actor(&self) -> Option<String> {
        self.actor.as_deref().map(str::to_owned)
    }

    /// Imports the tree in the folder `dir` as a revision of `tree`. Nothing changes for events until it is activated. The
    /// same content for the same tree is the same revision. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::Faults`] with everything that is wrong in the folder, [`ConfigError::Io`], or an error of the store.
    pub fn import(&self, dir: &Path, tree: &TreeScope) -> Result<Imported, ConfigError> {
        let read = self.read_tree(dir)?;
        let unbound = self.unbound(&read);
        let documents = read.documents.len();
        let content = RevisionContent {
            tree: tree.clone(),
            documents: read.documents.iter().map(|(event_type, document)| (event_type.clone(), document.id)).collect(),
            types: read.types,
            queues: read.queues,
        };
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        if let Some(revision) = inner.derived.revision_of(&content)? {
            return Ok(Imported { tree: tree.clone(), revision, repeated: true, documents, unbound });
        }
        let number = inner.derived.revisions()?.checked_add(1);
        let number = number
            .ok_or(ConfigError::Damaged { place: "revisions".to_owned(), what: "all numbers have been given out" })?;
        let bodies: BTreeMap<DocumentId, Vec<u8>> =
            read.documents.into_values().map(|document| (document.id, document.bytes)).collect();
        inner.write_documents(bodies, Record::Revision { number, actor: self.actor(), content })?;
        Ok(Imported { tree: tree.clone(), revision: number, repeated: false, documents, unbound })
    }

    /// Checks the tree in the folder `dir`, and whether it would be complete as `tree` where that is given. Writes nothing.
    /// Blocking.
    ///
    /// # Errors
    /// [`ConfigError::Faults`], [`ConfigError::Incomplete`], [`ConfigError::Io`], or an error of the store.
    pub fn check(&self, dir: &Path, tree: Option<&TreeScope>) -> Result<Checked, ConfigError> {
        let read = self.read_tree(dir)?;
        let (unbound, documents) = (self.unbound(&read), read.documents.len());
        let proof = match tree {
            Some(tree) => {
                let file = |(event_type, document): (EventType, tree::TreeDocument)| (event_type, Some(document.file));
                let documents = read.documents.into_iter().map(file).collect();
                self.inner.prove(&[Candidate { tree: tree.clone(), documents, types: read.types }])?
            }
            None => Proof::default(),
        };
        let types_added = proof.added.into_iter().map(|(_, declaration)| declaration.event_type).collect();
        Ok(Checked { documents, types_added, unbound, warnings: proof.warnings })
    }

    fn read_tree(&self, dir: &Path) -> Result<Tree, ConfigError> {
        tree::read(dir, self.inner.expressions, self.inner.bindings.functions.as_ref())
    }

    fn unbound(&self, tree: &Tree) -> Vec<Unbound> {
        let functions = tree.functions().into_iter().filter(|(function, _)| !self.is_bound(function));
        let unbound = |(function, types): (&str, Vec<&EventType>)| Unbound {
            function: function.to_owned(),
            types: types.into_iter().cloned().collect(),
        };
        functions.map(unbound).collect()
    }

    /// Whether the host has a function of this name.
    pub(crate) fn is_bound(&self, function: &str) -> bool {
        self.inner.bindings.functions.as_ref().is_some_and(|functions| functions.contains(function))
    }

    /// Activates revisions of several trees at once: all of them or none. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRevision`], [`ConfigError::RepeatedTree`], [`ConfigError::NothingToActivate`];
    /// [`ConfigError::Incomplete`] where a tree lacks a type of the catalogue or has a document for none, or where a type
    /// that is new has no document in another active tree of the application; or an error of the store.
    pub fn activate(&self, trees: &[(TreeScope, u32)]) -> Result<Activated, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        if trees.is_empty() {
            return Err(ConfigError::NothingToActivate);
        }
        let mut named = BTreeSet::new();
        let mut candidates = Vec::with_capacity(trees.len());
        for (tree, revision) in trees {
            if !named.insert(tree) {
                return Err(ConfigError::RepeatedTree { tree: tree.clone() });
            }
            let info = inner.revision_of_tree(tree, *revision)?;
            let documents = inner.derived.types_of(*revision)?.into_iter().map(|t| (t, None)).collect();
            candidates.push(Candidate { tree: tree.clone(), documents, types: info.types });
        }
        let proof = inner.prove(&candidates)?;
        let before = inner.snapshot.read().clone();
        let outcome: Vec<_> = trees.iter().map(|(tree, new)| (tree.clone(), *new, before.revision(tree))).collect();
        let types_added = proof.added.iter().map(|(_, declaration)| declaration.event_type.clone()).collect();
        let repeated = proof.added.is_empty() && outcome.iter().all(|(_, new, old)| Some(*new) == *old);
        if !repeated {
            inner.write(&[Record::Activation { actor: self.actor(), trees: trees.to_vec(), added: proof.added }])?;
        }
        Ok(Activated { trees: outcome, repeated, types_added, warnings: proof.warnings })
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
        let active = self.snapshot().revision(tree) == Some(revision);
        Ok(Shown { active, documents: self.inner.derived.routes(revision)?, revision: info })
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

    /// All trees that have been imported.
    ///
    /// # Errors
    /// An error of the store.
    pub fn trees(&self) -> Result<Vec<TreeInfo>, ConfigError> {
        self.inner.derived.trees()
    }

    /// Declares event types of an application. They bind the next activation of each of its trees. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::Retired`], or an error of the store.
    pub fn types_declare(&self, application: &Name, types: &[TypeDeclaration]) -> Result<Declared, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        let catalogue = inner.derived.catalogue(application)?;
        if let Some(retired) = types.iter().find(|t| catalogue.get(&t.event_type).is_some_and(|known| known.retired)) {
            let event_type = retired.event_type.clone();
            return Err(ConfigError::Retired { application: application.clone(), event_type });
        }
        let new: BTreeMap<&EventType, &TypeDeclaration> =
            types.iter().filter(|t| !catalogue.contains_key(&t.event_type)).map(|t| (&t.event_type, t)).collect();
        let types_added: Vec<TypeDeclaration> = new.into_values().cloned().collect();
        let added: Vec<EventType> = types_added.iter().map(|t| t.event_type.clone()).collect();
        if !added.is_empty() {
            let application = application.clone();
            inner.write(&[Record::Declared { actor: self.actor(), application, types: types_added }])?;
        }
        Ok(Declared { known: types.len() - added.len(), added })
    }

    /// The catalogue of an application.
    ///
    /// # Errors
    /// An error of the store.
    pub fn types_list(&self, application: &Name) -> Result<Vec<TypeInfo>, ConfigError> {
        self.inner.derived.types(application)
    }

    /// Retires a type of an application: events of it are refused from now on, and trees needn't have a document for it.
    /// Says whether that changed anything. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::UnknownType`], or an error of the store.
    pub fn types_retire(&self, application: &Name, event_type: &EventType) -> Result<bool, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        let catalogue = inner.derived.catalogue(application)?;
        match catalogue.get(event_type) {
            Some(known) if known.retired => return Ok(false),
            Some(_) => {}
            None => {
                let near = nearest(event_type.as_str(), catalogue.keys().map(EventType::as_str));
                let near = near.map(|near| format!(", such as {near}")).unwrap_or_default();
                let (application, event_type) = (application.clone(), event_type.clone());
                return Err(ConfigError::UnknownType { application, event_type, near });
            }
        }
        let (application, types) = (application.clone(), vec![event_type.clone()]);
        inner.write(&[Record::Retired { actor: self.actor(), application, types }])?;
        Ok(true)
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
        self.queues(scope).get(queue).copied()
    }

    /// A number that changes with each activation.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// The tree of a revision.
    pub(crate) fn tree_of(&self, revision: u32) -> Result<Option<TreeScope>, ConfigError> {
        Ok(self.inner.derived.revision(revision)?.map(|info| info.tree))
    }

    /// The name of the document of a type in a revision.
    pub(crate) fn document_id(&self, revision: u32, event_type: &str) -> Result<Option<DocumentId>, ConfigError> {
        self.inner.derived.route(revision, event_type)
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
    fn apply(&self) -> Result<(), ConfigError> {
        if self.derived.catch_up(&self.store)? {
            let generation = self.snapshot.read().generation + 1;
            let next = Arc::new(self.derived.snapshot(generation)?);
            *self.snapshot.write() = next;
            self.generation.store(generation, Ordering::Release);
        }
        Ok(())
    }

    /// Writes records in one append, durably, and applies them.
    fn write(&self, records: &[Record]) -> Result<(), ConfigError> {
        let append = records.iter().fold(Append::of_records(), |append, record| {
            append.record(RecordKind::Configuration, record.key(), record.encode())
        });
        self.store.append(append)?;
        self.apply()
    }

    /// Writes the documents that are not known, in as many appends as their size needs, and the revision with the last. A
    /// document that no revision names changes nothing, so a crash between two appends leaves no half of a revision.
    fn write_documents(&self, documents: BTreeMap<DocumentId, Vec<u8>>, revision: Record) -> Result<(), ConfigError> {
        let (mut records, mut size) = (Vec::new(), 0);
        for (id, bytes) in documents {
            if self.derived.document(id)?.is_some() {
                continue;
            }
            if size + bytes.len() > BYTES_PER_APPEND && !records.is_empty() {
                self.write(&std::mem::take(&mut records))?;
                size = 0;
            }
            size += bytes.len();
            records.push(Record::Document(bytes.into()));
        }
        records.push(revision);
        self.write(&records)
    }

    fn revision_of_tree(&self, tree: &TreeScope, revision: u32) -> Result<RevisionInfo, ConfigError> {
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

    /// Proves candidates complete, each application by itself; all gaps of all of them are reported.
    fn prove(&self, candidates: &[Candidate]) -> Result<Proof, ConfigError> {
        let mut applications: BTreeMap<&Name, Vec<&Candidate>> = BTreeMap::new();
        for candidate in candidates {
            applications.entry(candidate.tree.application()).or_default().push(candidate);
        }
        let (mut all, mut gaps): (Proof, Vec<Gap>) = Default::default();
        for (application, candidates) in applications {
            let catalogue: Catalogue = self.derived.catalogue(application)?;
            let others = self.others(application, &candidates)?;
            match prove(application, &catalogue, &candidates, &others) {
                Ok(proof) => {
                    all.added.extend(proof.added);
                    all.warnings.extend(proof.warnings);
                }
                Err(found) => gaps.extend(found),
            }
        }
        if gaps.is_empty() { Ok(all) } else { Err(ConfigError::Incomplete(gaps)) }
    }

    /// The active trees of an application that are not among the candidates, with the types they have documents for.
    fn others(
        &self,
        application: &Name,
        candidates: &[&Candidate],
    ) -> Result<Vec<(TreeScope, BTreeSet<EventType>)>, ConfigError> {
        let snapshot = self.snapshot.read().clone();
        let mut others = Vec::new();
        for (tree, active) in &snapshot.active {
            if tree.application() == application && candidates.iter().all(|candidate| candidate.tree != *tree) {
                others.push((tree.clone(), self.derived.types_of(active.revision)?));
            }
        }
        others.sort();
        Ok(others)
    }
}
