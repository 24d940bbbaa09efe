//! What `catalog.redb` tells: documents, routes, revisions, trees, history, types.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::completeness::{Catalogue, Known};
use super::constants::Constants;
use super::declaration::TypeDeclaration;
use super::derived::Derived;
use super::document::{DocumentId, QueueOptions};
use super::fault::ConfigError;
use super::importing::MAX_EXTENDS;
use super::info::{HistoryEntry, RevisionInfo, TreeInfo, TypeInfo, What};
use super::records::Placed;
use super::root_files;
use super::scheduled::read_schedules;
use super::schema_refs::{SCHEMAS, SchemaRefs};
use super::snapshot::{Active, Snapshot};
use super::tables::{
    CONTENTS, DOCUMENTS, HISTORY, REVISIONS, ROUTES, StoredChange, StoredRevision, StoredTree, StoredType, TREES,
    TYPES, WHOLES, damaged, decode, failed, name, word,
};
use super::tree::canonical_path;
use super::types_file::{self, Reading};
use crate::event::{EventType, Name, TreeScope};

/// The most revisions in a row of which each has documents from the next: a tree, those that it extends one behind the
/// other, and one that saves space.
const MAX_CHAIN: usize = MAX_EXTENDS + 2;

/// Queues by name.
pub(super) type Queues = BTreeMap<Name, QueueOptions>;

impl Derived {
    /// What is active, as routing needs it.
    pub(super) fn snapshot(&self, generation: u64) -> Result<Snapshot, ConfigError> {
        let read = self.read()?;
        let trees = read.open_table(TREES).map_err(failed)?;
        let mut snapshot = Snapshot::new(generation);
        let mut known = KnownQueues::default();
        for entry in trees.iter().map_err(failed)? {
            let (tree, state) = entry.map_err(failed)?;
            let Some(revision) = decode::<StoredTree>("trees", state.value())?.active else { continue };
            snapshot.add(word("trees", tree.value())?, active(&read, revision, &mut known)?);
        }
        let types = read.open_table(TYPES).map_err(failed)?;
        for entry in types.iter().map_err(failed)? {
            let (key, stored) = entry.map_err(failed)?;
            let StoredType { schema, upcast, retired_at, .. } = decode("types", stored.value())?;
            let (application, event_type) = key.value();
            if let Some(upcast) = upcast {
                snapshot.upcasts.insert((name("types", application)?, event_type.to_owned()), upcast);
            }
            if retired_at.is_some() {
                snapshot.retired.insert((name("types", application)?, event_type.to_owned()));
            } else if let Some(schema) = schema {
                let of_application = snapshot.schemas.entry(name("types", application)?).or_default();
                of_application.insert(event_type.to_owned(), schema);
            }
        }
        Ok(snapshot)
    }

    /// What is active once some trees have changed, and nothing else has.
    pub(super) fn snapshot_after(&self, before: &Snapshot, trees: &BTreeSet<String>) -> Result<Snapshot, ConfigError> {
        let read = self.read()?;
        let table = read.open_table(TREES).map_err(failed)?;
        let (mut snapshot, mut known) = (before.next(), KnownQueues::default());
        for tree in trees {
            let state = table.get(tree.as_str()).map_err(failed)?;
            let state = state.map(|state| decode::<StoredTree>("trees", state.value())).transpose()?;
            if let Some(revision) = state.and_then(|state| state.active) {
                snapshot.add(word("trees", tree)?, active(&read, revision, &mut known)?);
            }
        }
        Ok(snapshot)
    }

    /// The revision of a tree with this content, where there is one.
    pub(super) fn revision_of(&self, tree: &TreeScope, identity: [u8; 32]) -> Result<Option<u32>, ConfigError> {
        let read = self.read()?;
        let contents = read.open_table(CONTENTS).map_err(failed)?;
        let found = contents.get((tree.to_string().as_str(), identity)).map_err(failed)?;
        Ok(found.map(|value| value.value()))
    }

    /// The bytes of a document, a root file or a schema.
    pub(super) fn document(&self, id: DocumentId) -> Result<Option<Bytes>, ConfigError> {
        document(&self.read()?, id)
    }

    /// The bytes of a file that a revision names.
    pub(super) fn file(&self, id: DocumentId) -> Result<Bytes, ConfigError> {
        file(&self.read()?, id)
    }

    /// The document of a type in a revision, and where it stands.
    pub(super) fn route(&self, revision: u32, event_type: &str) -> Result<Option<Placed>, ConfigError> {
        let read = self.read()?;
        let routes = read.open_table(ROUTES).map_err(failed)?;
        let mut chain = Chain::new(&read, revision);
        while let Some(revision) = chain.revision() {
            if let Some(value) = routes.get((revision, event_type)).map_err(failed)? {
                return placed(value.value());
            }
            chain.advance()?;
        }
        Ok(None)
    }

    /// All documents of a revision.
    pub(super) fn routes(&self, revision: u32) -> Result<BTreeMap<EventType, Placed>, ConfigError> {
        let read = self.read()?;
        let mut found = BTreeMap::new();
        let (mut revisions, mut chain) = (Vec::new(), Chain::new(&read, revision));
        while let Some(revision) = chain.revision() {
            revisions.push(revision);
            chain.advance()?;
        }
        for revision in revisions.into_iter().rev() {
            for (event_type, place) in said(&read, revision)? {
                match place {
                    Some(place) => found.insert(event_type, place),
                    None => found.remove(&event_type),
                };
            }
        }
        Ok(found)
    }

    /// The documents that the author of a revision wrote: those of its base only where the base is no tree that it extends.
    pub(super) fn own_routes(&self, revision: u32) -> Result<BTreeMap<EventType, Placed>, ConfigError> {
        let read = self.read()?;
        match stored(&read, revision)? {
            Some(StoredRevision { extends: Some(_), .. }) => {
                let said = said(&read, revision)?;
                Ok(said.into_iter().filter_map(|(event_type, place)| Some((event_type, place?))).collect())
            }
            _ => self.routes(revision),
        }
    }

    /// The event types that have a document in a revision.
    pub(super) fn types_of(&self, revision: u32) -> Result<BTreeSet<EventType>, ConfigError> {
        Ok(self.routes(revision)?.into_keys().collect())
    }

    /// The newest revision of an application that has no base.
    pub(super) fn whole_of(&self, application: &Name) -> Result<Option<u32>, ConfigError> {
        let read = self.read()?;
        let wholes = read.open_table(WHOLES).map_err(failed)?;
        Ok(wholes.get(application.as_str()).map_err(failed)?.map(|value| value.value()))
    }

    /// The trees that a revision's tree extends, directly and behind that.
    pub(super) fn extended_by(&self, revision: u32) -> Result<Vec<TreeScope>, ConfigError> {
        let read = self.read()?;
        let (mut trees, mut chain) = (Vec::new(), Chain::new(&read, revision));
        while chain.revision().is_some() {
            if let Some(tree) = chain.advance()?.and_then(|stored| stored.extends) {
                trees.push(word("revisions", &tree)?);
            }
        }
        Ok(trees)
    }

    /// What is known of a revision.
    pub(super) fn revision(&self, revision: u32) -> Result<Option<RevisionInfo>, ConfigError> {
        let read = self.read()?;
        let Some(stored) = stored(&read, revision)? else { return Ok(None) };
        let extends = stored.extends.map(|tree| word::<TreeScope>("revisions", &tree)).transpose()?;
        let extended = match &extends {
            Some(_) => stored.base,
            None => None,
        };
        Ok(Some(RevisionInfo {
            revision,
            tree: word("revisions", &stored.tree)?,
            recorded_at: stored.recorded_at,
            actor: stored.actor,
            reason: stored.reason,
            extends,
            extended,
            base: stored.base,
            files: stored.files.into_iter().map(|(path, id)| (path, DocumentId(id))).collect(),
        }))
    }

    /// The types that a revision declares.
    pub(super) fn declarations(&self, info: &RevisionInfo) -> Result<Vec<TypeDeclaration>, ConfigError> {
        let read = self.read()?;
        let Some(id) = info.files.get("types.json") else { return Ok(Vec::new()) };
        let bytes = file(&read, *id)?;
        let schemas = files(&read, &of_schemas(info.files.iter()))?;
        let schemas = schemas.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
        let found = types_file::read("types.json", &bytes, &schemas, Reading::Again);
        found.map(|found| found.types).map_err(|_| damaged("documents", "types.json that can't be read"))
    }

    /// The queues that a revision of these files has itself.
    pub(super) fn own_queues(&self, files: &BTreeMap<String, DocumentId>) -> Result<Queues, ConfigError> {
        let Some(id) = files.get("queues.json") else { return Ok(Queues::new()) };
        read_queues(&self.read()?, &QueuesFile { id: *id, schemas: of_schemas(files.iter()) })
    }

    /// The queues of a revision: its own, and those of the trees that it extends.
    pub(super) fn queues(&self, revision: u32) -> Result<Arc<Queues>, ConfigError> {
        queues_memoized(&self.read()?, revision, &mut KnownQueues::default())
    }

    /// The constants of a revision: its own, and those of the trees that it extends.
    pub(super) fn constants(&self, revision: u32) -> Result<Constants, ConfigError> {
        let read = self.read()?;
        let mut found = Constants::default();
        for id in files_behind(&read, revision, "constants.json")? {
            let read = root_files::constants("constants.json", &file(&read, id)?).whole();
            found = found.over(&read.map_err(|_| damaged("documents", "constants.json that can't be read"))?);
        }
        Ok(found)
    }

    /// A tree's state, where it has been imported.
    pub(super) fn tree(&self, tree: &TreeScope) -> Result<Option<TreeInfo>, ConfigError> {
        let read = self.read()?;
        let trees = read.open_table(TREES).map_err(failed)?;
        let Some(stored) = trees.get(tree.to_string().as_str()).map_err(failed)? else { return Ok(None) };
        let StoredTree { active, latest } = decode("trees", stored.value())?;
        Ok(Some(TreeInfo { tree: tree.clone(), active, latest }))
    }

    /// All trees, by name.
    pub(super) fn trees(&self) -> Result<Vec<TreeInfo>, ConfigError> {
        let read = self.read()?;
        let trees = read.open_table(TREES).map_err(failed)?;
        let mut found = Vec::new();
        for entry in trees.iter().map_err(failed)? {
            let (tree, stored) = entry.map_err(failed)?;
            let StoredTree { active, latest } = decode("trees", stored.value())?;
            found.push(TreeInfo { tree: word("trees", tree.value())?, active, latest });
        }
        Ok(found)
    }

    /// What happened to a tree, oldest first.
    pub(super) fn history(&self, tree: &TreeScope) -> Result<Vec<HistoryEntry>, ConfigError> {
        let read = self.read()?;
        let history = read.open_table(HISTORY).map_err(failed)?;
        let tree = tree.to_string();
        let mut found = Vec::new();
        for entry in history.range((tree.as_str(), 0)..=(tree.as_str(), u64::MAX)).map_err(failed)? {
            let (_, stored) = entry.map_err(failed)?;
            let StoredChange { activated, revision, recorded_at, actor, reason } = decode("history", stored.value())?;
            let what = if activated { What::Activated } else { What::Imported };
            found.push(HistoryEntry { what, revision, recorded_at, actor, reason });
        }
        Ok(found)
    }

    /// The catalogue of an application, by type.
    pub(super) fn types(&self, application: &Name) -> Result<Vec<TypeInfo>, ConfigError> {
        let info = |(event_type, stored): (EventType, StoredType)| {
            let StoredType { description, schema, upcast, declared_at, retired_at, .. } = stored;
            let declaration = TypeDeclaration { event_type, description, schema, upcast };
            TypeInfo { declaration, declared_at, retired_at }
        };
        Ok(self.stored_types(application)?.into_iter().map(info).collect())
    }

    /// The catalogue of an application, as the proof of completeness needs it.
    pub(super) fn catalogue(&self, application: &Name) -> Result<Catalogue, ConfigError> {
        let known = |(event_type, stored): (EventType, StoredType)| {
            let StoredType { description, schema, upcast, past_schemas, past_upcasts, retired_at, .. } = stored;
            let declaration = TypeDeclaration { event_type: event_type.clone(), description, schema, upcast };
            (event_type, Known { declaration, retired: retired_at.is_some(), past: (past_schemas, past_upcasts) })
        };
        Ok(self.stored_types(application)?.into_iter().map(known).collect())
    }

    fn stored_types(&self, application: &Name) -> Result<Vec<(EventType, StoredType)>, ConfigError> {
        let read = self.read()?;
        let types = read.open_table(TYPES).map_err(failed)?;
        let mut found = Vec::new();
        for entry in types.range((application.as_str(), "")..).map_err(failed)? {
            let (key, stored) = entry.map_err(failed)?;
            let (of, event_type) = key.value();
            if of != application.as_str() {
                break;
            }
            found.push((word("types", event_type)?, decode("types", stored.value())?));
        }
        Ok(found)
    }
}

fn document(read: &ReadTransaction, id: DocumentId) -> Result<Option<Bytes>, ConfigError> {
    let documents = read.open_table(DOCUMENTS).map_err(failed)?;
    let found = documents.get(id.0).map_err(failed)?;
    Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
}

/// The bytes of a file that a revision names.
pub(super) fn file(read: &ReadTransaction, id: DocumentId) -> Result<Bytes, ConfigError> {
    document(read, id)?.ok_or_else(|| damaged("documents", "a file that is missing"))
}

pub(super) fn stored(read: &ReadTransaction, revision: u32) -> Result<Option<StoredRevision>, ConfigError> {
    let revisions = read.open_table(REVISIONS).map_err(failed)?;
    let stored = revisions.get(revision).map_err(failed)?;
    stored.map(|stored| decode("revisions", stored.value())).transpose()
}

/// A walk over a revision and those that it has its documents from.
struct Chain<'a> {
    read: &'a ReadTransaction,
    next: Option<u32>,
    steps: usize,
}

impl<'a> Chain<'a> {
    fn new(read: &'a ReadTransaction, revision: u32) -> Self {
        Self { read, next: Some(revision), steps: 0 }
    }

    /// The revision that is reached; `None` behind the last.
    fn revision(&self) -> Option<u32> {
        self.next
    }

    /// Goes to the next one, and gives what is stored of this one.
    fn advance(&mut self) -> Result<Option<StoredRevision>, ConfigError> {
        let Some(revision) = self.next.take() else { return Ok(None) };
        self.steps += 1;
        if self.steps > MAX_CHAIN {
            return Err(damaged("revisions", "a revision with too many bases"));
        }
        let stored = stored(self.read, revision)?;
        self.next = stored.as_ref().and_then(|stored| stored.base);
        Ok(stored)
    }
}

/// Visits a revision and those that its tree extends, the nearest first.
fn visit_behind(
    read: &ReadTransaction,
    revision: u32,
    mut visit: impl FnMut(&StoredRevision),
) -> Result<(), ConfigError> {
    let mut chain = Chain::new(read, revision);
    while chain.revision().is_some() {
        let stored = chain.advance()?.ok_or_else(|| damaged("revisions", "a revision that is missing"))?;
        visit(&stored);
        if stored.extends.is_none() {
            break;
        }
    }
    Ok(())
}

/// A file of a revision and of those that its tree extends, the nearest first.
fn files_behind(read: &ReadTransaction, revision: u32, path: &str) -> Result<Vec<DocumentId>, ConfigError> {
    let mut found = Vec::new();
    visit_behind(read, revision, |stored| found.extend(stored.file(path)))?;
    Ok(found)
}

/// An active revision, as routing needs it.
fn active(read: &ReadTransaction, revision: u32, known: &mut KnownQueues) -> Result<Active, ConfigError> {
    let queues = queues_memoized(read, revision, known)?;
    let stored = stored(read, revision)?.ok_or_else(|| damaged("revisions", "a revision that is missing"))?;
    let extends =
        stored.extends.as_deref().map(|tree| word::<TreeScope>("revisions", tree)).transpose()?.zip(stored.base);
    let schedules = match stored.file("schedules.json") {
        Some(id) => {
            let read = read_schedules(read, id)?;
            Arc::new(read.into_iter().map(|(name, (schedule, _))| (name, Arc::new(schedule))).collect())
        }
        None => Arc::default(),
    };
    Ok(Active { revision, queues, schedules, extends })
}

fn queues_memoized(read: &ReadTransaction, revision: u32, known: &mut KnownQueues) -> Result<Arc<Queues>, ConfigError> {
    let mut files = Vec::new();
    visit_behind(read, revision, |stored| {
        if let Some(id) = stored.file("queues.json") {
            let beside = stored.files.iter().filter(|(path, _)| is_of_schemas(path));
            files.push((id, beside.map(|(path, id)| (path.clone(), DocumentId(*id))).collect()));
        }
    })?;
    let of_file = |(id, schemas): (DocumentId, BTreeMap<String, DocumentId>)| -> Result<QueuesFile, ConfigError> {
        // Trees that differ in schemas of types alone have the same queues.
        let names_schemas = match known.names_schemas.get(&id) {
            Some(names_schemas) => *names_schemas,
            None => names_schemas(&file(read, id)?),
        };
        known.names_schemas.insert(id, names_schemas);
        Ok(QueuesFile { id, schemas: if names_schemas { schemas } else { BTreeMap::new() } })
    };
    let files: Vec<QueuesFile> = files.into_iter().map(of_file).collect::<Result<_, _>>()?;
    if let Some(queues) = known.queues.get(&files) {
        return Ok(queues.clone());
    }
    let mut found = Queues::new();
    for of in &files {
        for (queue, options) in read_queues(read, of)? {
            found.entry(queue).or_insert(options);
        }
    }
    let found = Arc::new(found);
    known.queues.insert(files, found.clone());
    Ok(found)
}

/// What is known of files of queues while trees are read.
#[derive(Default)]
struct KnownQueues {
    queues: HashMap<Vec<QueuesFile>, Arc<Queues>>,
    /// Whether a `queues.json` states any schema.
    names_schemas: HashMap<DocumentId, bool>,
}

/// Whether a `queues.json` states any schema.
fn names_schemas(bytes: &[u8]) -> bool {
    bytes.windows(b"schema".len()).any(|window| window == b"schema") || bytes.contains(&b'\\')
}

/// A `queues.json`, with the files of schemas that it may name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct QueuesFile {
    id: DocumentId,
    schemas: BTreeMap<String, DocumentId>,
}

fn read_queues(read: &ReadTransaction, of: &QueuesFile) -> Result<Queues, ConfigError> {
    let schemas = files(read, &of.schemas)?;
    let schemas = schemas.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
    let mut schemas = SchemaRefs::new(&schemas, true);
    let queues = root_files::queues("queues.json", &file(read, of.id)?, &mut schemas).whole();
    queues.map_err(|_| damaged("documents", "queues.json that can't be read"))
}

fn is_of_schemas(path: &str) -> bool {
    path.starts_with(SCHEMAS)
}

/// Of the files of a revision those that hold schemas.
fn of_schemas<'f>(files: impl Iterator<Item = (&'f String, &'f DocumentId)>) -> BTreeMap<String, DocumentId> {
    files.filter(|(path, _)| is_of_schemas(path)).map(|(path, id)| (path.clone(), *id)).collect()
}

fn files(read: &ReadTransaction, named: &BTreeMap<String, DocumentId>) -> Result<Vec<(String, Bytes)>, ConfigError> {
    named.iter().map(|(path, id)| Ok((path.clone(), file(read, *id)?))).collect()
}

/// What a revision says of its documents itself; `None`: it has none, though its base has.
fn said(read: &ReadTransaction, revision: u32) -> Result<BTreeMap<EventType, Option<Placed>>, ConfigError> {
    let routes = read.open_table(ROUTES).map_err(failed)?;
    let mut found = BTreeMap::new();
    for entry in routes.range((revision, "")..).map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        let (of, event_type) = key.value();
        if of != revision {
            break;
        }
        found.insert(word("routes", event_type)?, placed(value.value())?);
    }
    Ok(found)
}

fn placed(value: &[u8]) -> Result<Option<Placed>, ConfigError> {
    if value.is_empty() {
        return Ok(None);
    }
    let unreadable = || damaged("routes", "a value that can't be decoded");
    let (id, path) = value.split_first_chunk().ok_or_else(unreadable)?;
    let path = std::str::from_utf8(path).map_err(|_| unreadable())?;
    Ok(Some(Placed { id: DocumentId(*id), path: (!path.is_empty()).then(|| path.to_owned()) }))
}

impl Placed {
    /// The document's file.
    pub(super) fn path(&self, event_type: &EventType) -> String {
        self.path.clone().unwrap_or_else(|| canonical_path(event_type))
    }
}
