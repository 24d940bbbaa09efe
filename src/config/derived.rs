//! `catalog.redb`: what the configuration records of the log add up to, kept so that opening needn't read them all again.
//! Each transaction stores the address of the last record that it reflects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::completeness::{Catalogue, Known};
use super::document::{DocumentId, QueueOptions};
use super::fault::ConfigError;
use super::records::{Record, RevisionContent};
use super::root_files::TypeDeclaration;
use super::snapshot::{Active, Snapshot};
use crate::event::{EventType, Name, TreeScope};
use crate::log::{Address, EventStore, RecordKind, RoomRecord};
use crate::storage::{DatabaseError, Environment, open_database};

const FILE: &str = "catalog.redb";
/// How much of the database redb keeps in memory, in bytes.
const CACHE_BYTES: usize = 16 << 20;
/// The most records applied in one transaction: bounds its memory.
const RECORDS_PER_TRANSACTION: usize = 256;
/// The version in front of every value.
const VALUE_VERSION: u8 = 1;
/// The largest value that is decoded, in bytes.
const MAX_VALUE: usize = 64 << 20;

/// `applied`, `revisions`, `generation` -> a number.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// SHA-256 -> the document's bytes.
const DOCUMENTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("documents");
/// Revision -> [`StoredRevision`].
const REVISIONS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("revisions");
/// Revision and event type -> SHA-256 of the document.
const ROUTES: TableDefinition<'_, (u32, &str), [u8; 32]> = TableDefinition::new("routes");
/// Tree and hash of the content -> revision.
const CONTENTS: TableDefinition<'_, (&str, [u8; 32]), u32> = TableDefinition::new("contents");
/// Tree -> [`StoredTree`].
const TREES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("trees");
/// Tree and address of the record -> [`StoredChange`].
const HISTORY: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("history");
/// Application and event type -> [`StoredType`].
const TYPES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("types");

#[derive(Serialize, Deserialize)]
struct StoredRevision {
    tree: String,
    recorded_at: i64,
    actor: Option<String>,
    types: Vec<(String, Option<String>)>,
    queues: Vec<(String, Option<u64>)>,
}

#[derive(Default, Serialize, Deserialize)]
struct StoredTree {
    active: Option<u32>,
    latest: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredChange {
    activated: bool,
    revision: u32,
    recorded_at: i64,
    actor: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredType {
    description: Option<String>,
    declared_at: i64,
    retired_at: Option<i64>,
}

/// A tree that has been imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeInfo {
    /// The tree.
    pub tree: TreeScope,
    /// Its active revision, where it has been activated.
    pub active: Option<u32>,
    /// Its newest revision.
    pub latest: u32,
}

/// A revision of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevisionInfo {
    /// Its number, one of its kind in the store.
    pub revision: u32,
    /// The tree.
    pub tree: TreeScope,
    /// When it was imported, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Who imported it, where that was stated.
    pub actor: Option<String>,
    /// The types that it declares.
    pub types: Vec<TypeDeclaration>,
    /// Its queues.
    pub queues: BTreeMap<Name, QueueOptions>,
}

/// A revision with its documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The revision.
    #[serde(flatten)]
    pub revision: RevisionInfo,
    /// Whether it is the active one of its tree.
    pub active: bool,
    /// The document of each event type.
    pub documents: BTreeMap<EventType, DocumentId>,
}

/// What happened to a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A revision was imported.
    Imported,
    /// A revision was activated.
    Activated,
}

/// One entry of a tree's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// What happened.
    pub what: What,
    /// To which revision.
    pub revision: u32,
    /// When, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Who did it, where that was stated.
    pub actor: Option<String>,
}

/// A type of an application's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeInfo {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What it means, for people.
    pub description: Option<String>,
    /// When it was declared, in microseconds since the Unix epoch.
    pub declared_at: i64,
    /// When it was retired, where it was.
    pub retired_at: Option<i64>,
}

fn failed<E: Into<redb::Error>>(error: E) -> ConfigError {
    DatabaseError::of::<E>(FILE)(error).into()
}

fn damaged(table: &str, what: &'static str) -> ConfigError {
    ConfigError::Damaged { place: format!("{FILE}, table {table}"), what }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ConfigError> {
    let mut out = vec![VALUE_VERSION];
    let configuration = bincode::config::standard().with_limit::<MAX_VALUE>();
    bincode::serde::encode_into_std_write(value, &mut out, configuration)
        .map_err(|_| damaged("-", "a value that can't be encoded"))?;
    Ok(out)
}

fn decode<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, ConfigError> {
    let configuration = bincode::config::standard().with_limit::<MAX_VALUE>();
    let Some((&VALUE_VERSION, body)) = bytes.split_first() else {
        return Err(damaged(table, "a value of another format version"));
    };
    match bincode::serde::decode_from_slice(body, configuration) {
        Ok((value, read)) if read == body.len() => Ok(value),
        _ => Err(damaged(table, "a value that can't be decoded")),
    }
}

fn word<T: std::str::FromStr>(table: &'static str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| damaged(table, "a word that is not well formed"))
}

fn name(table: &'static str, text: &str) -> Result<Name, ConfigError> {
    Name::parse("name", text).map_err(|_| damaged(table, "a name that is not well formed"))
}

/// The derived database.
#[derive(Debug)]
pub(super) struct Derived {
    database: Database,
}

impl Derived {
    /// Opens the database; it may reflect less of the log than there is, and never more.
    pub(super) fn open(environment: &Environment, store: &EventStore) -> Result<Self, ConfigError> {
        let database = open_database(environment.disk.as_ref(), FILE, CACHE_BYTES)?;
        let derived = Self { database };
        derived.create_tables()?;
        if let Some(applied) = derived.applied()? {
            let end = store.durable_end();
            let ahead = ConfigError::AheadOfLog { applied: applied.to_string(), end: end.to_string() };
            if applied >= end {
                return Err(ahead);
            }
            // The record it reflects must be there still: another log under the same database would not have it.
            match store.records(RecordKind::Configuration, applied)?.next().transpose()? {
                Some(record) if record.address == applied => {}
                _ => return Err(ahead),
            }
        }
        Ok(derived)
    }

    fn create_tables(&self) -> Result<(), ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        if read.list_tables().map_err(failed)?.next().is_some() {
            return Ok(());
        }
        self.write(|transaction| {
            transaction.open_table(NUMBERS).map_err(failed)?;
            transaction.open_table(DOCUMENTS).map_err(failed)?;
            transaction.open_table(REVISIONS).map_err(failed)?;
            transaction.open_table(ROUTES).map_err(failed)?;
            transaction.open_table(CONTENTS).map_err(failed)?;
            transaction.open_table(TREES).map_err(failed)?;
            transaction.open_table(HISTORY).map_err(failed)?;
            transaction.open_table(TYPES).map_err(failed)?;
            Ok(())
        })
    }

    fn write(&self, change: impl FnOnce(&WriteTransaction) -> Result<(), ConfigError>) -> Result<(), ConfigError> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_quick_repair(true);
        change(&transaction)?;
        transaction.commit().map_err(failed)
    }

    fn number(&self, of: &str) -> Result<Option<u64>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let numbers = read.open_table(NUMBERS).map_err(failed)?;
        Ok(numbers.get(of).map_err(failed)?.map(|value| value.value()))
    }

    /// The address of the last record applied.
    fn applied(&self) -> Result<Option<Address>, ConfigError> {
        Ok(self.number("applied")?.map(Address::from_u64))
    }

    /// The newest revision number given out; 0 where there is none.
    pub(super) fn revisions(&self) -> Result<u32, ConfigError> {
        let number = self.number("revisions")?.unwrap_or_default();
        u32::try_from(number).map_err(|_| damaged("numbers", "a revision beyond 32 bits"))
    }

    /// Applies the durable records that are not applied yet. Says whether what is active or retired may have changed.
    pub(super) fn catch_up(&self, store: &EventStore) -> Result<bool, ConfigError> {
        let applied = self.applied()?;
        let from = applied.unwrap_or(Address::START);
        let mut records = store.records(RecordKind::Configuration, from)?;
        let mut changed = false;
        loop {
            let mut batch = Vec::new();
            for record in records.by_ref() {
                let record = record?;
                if Some(record.address) != applied {
                    batch.push(record);
                }
                if batch.len() == RECORDS_PER_TRANSACTION {
                    break;
                }
            }
            let Some(last) = batch.last().map(|record| record.address) else { return Ok(changed) };
            self.write(|transaction| {
                for record in &batch {
                    changed |= apply(transaction, record)?;
                }
                let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
                numbers.insert("applied", last.to_u64()).map_err(failed)?;
                Ok(())
            })?;
        }
    }

    /// What is active, as routing needs it.
    pub(super) fn snapshot(&self, generation: u64) -> Result<Snapshot, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let trees = read.open_table(TREES).map_err(failed)?;
        let revisions = read.open_table(REVISIONS).map_err(failed)?;
        let mut snapshot = Snapshot { generation, ..Snapshot::default() };
        for entry in trees.iter().map_err(failed)? {
            let (tree, stored) = entry.map_err(failed)?;
            let Some(revision) = decode::<StoredTree>("trees", stored.value())?.active else { continue };
            let stored = revisions.get(revision).map_err(failed)?;
            let stored = stored.ok_or_else(|| damaged("revisions", "an active revision that is missing"))?;
            let queues = Arc::new(queues(decode::<StoredRevision>("revisions", stored.value())?.queues)?);
            snapshot.active.insert(word("trees", tree.value())?, Active { revision, queues });
        }
        let types = read.open_table(TYPES).map_err(failed)?;
        for entry in types.iter().map_err(failed)? {
            let (key, stored) = entry.map_err(failed)?;
            if decode::<StoredType>("types", stored.value())?.retired_at.is_some() {
                let (application, event_type) = key.value();
                snapshot.retired.insert((name("types", application)?, event_type.to_owned()));
            }
        }
        Ok(snapshot)
    }

    /// The revision of `tree` with this content, where there is one.
    pub(super) fn revision_of(&self, content: &RevisionContent) -> Result<Option<u32>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let contents = read.open_table(CONTENTS).map_err(failed)?;
        let found = contents.get((content.tree.to_string().as_str(), content.hash())).map_err(failed)?;
        Ok(found.map(|value| value.value()))
    }

    /// A document's bytes.
    pub(super) fn document(&self, id: DocumentId) -> Result<Option<Bytes>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let documents = read.open_table(DOCUMENTS).map_err(failed)?;
        let found = documents.get(id.0).map_err(failed)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    /// The document of a type in a revision.
    pub(super) fn route(&self, revision: u32, event_type: &str) -> Result<Option<DocumentId>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let routes = read.open_table(ROUTES).map_err(failed)?;
        Ok(routes.get((revision, event_type)).map_err(failed)?.map(|value| DocumentId(value.value())))
    }

    /// All documents of a revision.
    pub(super) fn routes(&self, revision: u32) -> Result<BTreeMap<EventType, DocumentId>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let routes = read.open_table(ROUTES).map_err(failed)?;
        let mut found = BTreeMap::new();
        for entry in routes.range((revision, "")..).map_err(failed)? {
            let (key, id) = entry.map_err(failed)?;
            let (of, event_type) = key.value();
            if of != revision {
                break;
            }
            found.insert(word("routes", event_type)?, DocumentId(id.value()));
        }
        Ok(found)
    }

    /// The event types that have a document in a revision.
    pub(super) fn types_of(&self, revision: u32) -> Result<BTreeSet<EventType>, ConfigError> {
        Ok(self.routes(revision)?.into_keys().collect())
    }

    /// What is known of a revision.
    pub(super) fn revision(&self, revision: u32) -> Result<Option<RevisionInfo>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let revisions = read.open_table(REVISIONS).map_err(failed)?;
        let Some(stored) = revisions.get(revision).map_err(failed)? else { return Ok(None) };
        let stored = decode::<StoredRevision>("revisions", stored.value())?;
        let declaration = |(text, description): (String, Option<String>)| {
            Ok(TypeDeclaration { event_type: word("revisions", &text)?, description })
        };
        Ok(Some(RevisionInfo {
            revision,
            tree: word("revisions", &stored.tree)?,
            recorded_at: stored.recorded_at,
            actor: stored.actor,
            types: stored.types.into_iter().map(declaration).collect::<Result<_, ConfigError>>()?,
            queues: queues(stored.queues)?,
        }))
    }

    /// A tree's state, where it has been imported.
    pub(super) fn tree(&self, tree: &TreeScope) -> Result<Option<TreeInfo>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let trees = read.open_table(TREES).map_err(failed)?;
        let Some(stored) = trees.get(tree.to_string().as_str()).map_err(failed)? else { return Ok(None) };
        let StoredTree { active, latest } = decode("trees", stored.value())?;
        Ok(Some(TreeInfo { tree: tree.clone(), active, latest }))
    }

    /// All trees, by name.
    pub(super) fn trees(&self) -> Result<Vec<TreeInfo>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
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
        let read = self.database.begin_read().map_err(failed)?;
        let history = read.open_table(HISTORY).map_err(failed)?;
        let tree = tree.to_string();
        let mut found = Vec::new();
        for entry in history.range((tree.as_str(), 0)..=(tree.as_str(), u64::MAX)).map_err(failed)? {
            let (_, stored) = entry.map_err(failed)?;
            let StoredChange { activated, revision, recorded_at, actor } = decode("history", stored.value())?;
            let what = if activated { What::Activated } else { What::Imported };
            found.push(HistoryEntry { what, revision, recorded_at, actor });
        }
        Ok(found)
    }

    /// The catalogue of an application, by type.
    pub(super) fn types(&self, application: &Name) -> Result<Vec<TypeInfo>, ConfigError> {
        let read = self.database.begin_read().map_err(failed)?;
        let types = read.open_table(TYPES).map_err(failed)?;
        let mut found = Vec::new();
        for entry in types.range((application.as_str(), "")..).map_err(failed)? {
            let (key, stored) = entry.map_err(failed)?;
            let (of, event_type) = key.value();
            if of != application.as_str() {
                break;
            }
            let StoredType { description, declared_at, retired_at } = decode("types", stored.value())?;
            found.push(TypeInfo { event_type: word("types", event_type)?, description, declared_at, retired_at });
        }
        Ok(found)
    }

    /// The catalogue of an application, as the proof of completeness needs it.
    pub(super) fn catalogue(&self, application: &Name) -> Result<Catalogue, ConfigError> {
        let known = |info: TypeInfo| {
            (info.event_type, Known { description: info.description, retired: info.retired_at.is_some() })
        };
        Ok(self.types(application)?.into_iter().map(known).collect())
    }
}

fn queues(stored: Vec<(String, Option<u64>)>) -> Result<BTreeMap<Name, QueueOptions>, ConfigError> {
    let options = |(text, max_depth): (String, _)| Ok((name("revisions", &text)?, QueueOptions { max_depth }));
    stored.into_iter().map(options).collect()
}

/// Applies one record. Says whether it may change what is active or retired.
fn apply(transaction: &WriteTransaction, record: &RoomRecord) -> Result<bool, ConfigError> {
    let decoded = Record::decode(&record.body)
        .map_err(|what| ConfigError::Damaged { place: format!("the log at {}", record.address), what })?;
    match decoded {
        Record::Document(bytes) => {
            let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
            documents.insert(DocumentId::of(&bytes).0, &bytes[..]).map_err(failed)?;
            Ok(false)
        }
        Record::Revision { number, actor, content } => {
            apply_revision(transaction, record, number, actor, &content)?;
            Ok(false)
        }
        Record::Activation { actor, trees, added } => {
            for (tree, revision) in trees {
                let tree = tree.to_string();
                set_tree(transaction, &tree, |stored| stored.active = Some(revision))?;
                let change = StoredChange {
                    activated: true,
                    revision,
                    recorded_at: record.recorded_at,
                    actor: actor.clone(),
                };
                put_change(transaction, &tree, record, &change)?;
            }
            for (application, declaration) in added {
                declare(transaction, record, &application, declaration)?;
            }
            Ok(true)
        }
        Record::Declared { application, types, .. } => {
            for declaration in types {
                declare(transaction, record, &application, declaration)?;
            }
            Ok(false)
        }
        Record::Retired { application, types, .. } => {
            let mut table = transaction.open_table(TYPES).map_err(failed)?;
            for event_type in types {
                let key = (application.as_str(), event_type.as_str());
                let stored = table.get(key).map_err(failed)?.map(|value| decode::<StoredType>("types", value.value()));
                if let Some(mut stored) = stored.transpose()? {
                    stored.retired_at = Some(record.recorded_at);
                    table.insert(key, encode(&stored)?.as_slice()).map_err(failed)?;
                }
            }
            Ok(true)
        }
    }
}

fn apply_revision(
    transaction: &WriteTransaction,
    record: &RoomRecord,
    number: u32,
    actor: Option<String>,
    content: &RevisionContent,
) -> Result<(), ConfigError> {
    let tree = content.tree.to_string();
    let mut routes = transaction.open_table(ROUTES).map_err(failed)?;
    for (event_type, id) in &content.documents {
        routes.insert((number, event_type.as_str()), id.0).map_err(failed)?;
    }
    let mut contents = transaction.open_table(CONTENTS).map_err(failed)?;
    contents.insert((tree.as_str(), content.hash()), number).map_err(failed)?;
    let stored = StoredRevision {
        tree: tree.clone(),
        recorded_at: record.recorded_at,
        actor: actor.clone(),
        types: content.types.iter().map(|t| (t.event_type.to_string(), t.description.clone())).collect(),
        queues: content.queues.iter().map(|(name, options)| (name.to_string(), options.max_depth)).collect(),
    };
    let mut revisions = transaction.open_table(REVISIONS).map_err(failed)?;
    revisions.insert(number, encode(&stored)?.as_slice()).map_err(failed)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    let newest = numbers.get("revisions").map_err(failed)?.map_or(0, |value| value.value());
    numbers.insert("revisions", newest.max(u64::from(number))).map_err(failed)?;
    set_tree(transaction, &tree, |stored| stored.latest = number)?;
    let change = StoredChange { activated: false, revision: number, recorded_at: record.recorded_at, actor };
    put_change(transaction, &tree, record, &change)
}

fn set_tree(
    transaction: &WriteTransaction,
    tree: &str,
    change: impl FnOnce(&mut StoredTree),
) -> Result<(), ConfigError> {
    let mut trees = transaction.open_table(TREES).map_err(failed)?;
    let stored = trees.get(tree).map_err(failed)?.map(|value| decode::<StoredTree>("trees", value.value()));
    let mut stored = stored.transpose()?.unwrap_or_default();
    change(&mut stored);
    trees.insert(tree, encode(&stored)?.as_slice()).map_err(failed)?;
    Ok(())
}

fn put_change(
    transaction: &WriteTransaction,
    tree: &str,
    record: &RoomRecord,
    change: &StoredChange,
) -> Result<(), ConfigError> {
    let mut history = transaction.open_table(HISTORY).map_err(failed)?;
    history.insert((tree, record.address.to_u64()), encode(change)?.as_slice()).map_err(failed)?;
    Ok(())
}

/// Adds a type to the catalogue; one that is known stays as it is, but for a description that it lacks.
fn declare(
    transaction: &WriteTransaction,
    record: &RoomRecord,
    application: &Name,
    declaration: TypeDeclaration,
) -> Result<(), ConfigError> {
    let mut types = transaction.open_table(TYPES).map_err(failed)?;
    let key = (application.as_str(), declaration.event_type.as_str());
    let stored = types.get(key).map_err(failed)?.map(|value| decode::<StoredType>("types", value.value()));
    let stored = match stored.transpose()? {
        Some(known) => StoredType { description: known.description.or(declaration.description), ..known },
        None => {
            StoredType { description: declaration.description, declared_at: record.recorded_at, retired_at: None }
        }
    };
    types.insert(key, encode(&stored)?.as_slice()).map_err(failed)?;
    Ok(())
}
