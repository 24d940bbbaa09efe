//! `catalog.redb`: what the configuration records of the log add up to, kept so that opening needn't read them all again.
//! Each transaction stores the address of the last record that it reflects, and what the log was up to there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError, WriteTransaction};

use super::apply::apply;
use super::completeness::{Catalogue, Known};
use super::document::{DocumentId, QueueOptions};
use super::fault::ConfigError;
use super::info::{HistoryEntry, RevisionInfo, TreeInfo, TypeInfo, What};
use super::records::RevisionContent;
use super::root_files::TypeDeclaration;
use super::snapshot::{Active, Snapshot};
use super::tables::{
    CONTENTS, DOCUMENTS, FILE, HISTORY, LOG, NUMBERS, REVISIONS, ROUTES, StoredChange, StoredRevision, StoredTree,
    StoredType, TREES, TYPES, damaged, decode, encode, failed, name, word,
};
use crate::event::{EventType, Name, TreeScope};
use crate::log::{Address, EventStore, ReadError, RecordKind, Reflected, Standing};
use crate::storage::{Disk, Environment, Fence, MemoryDisk, make_database_anew, open_database, open_or_make_anew};

/// How much of the database redb keeps in memory, in bytes.
const CACHE_BYTES: usize = 8 << 20;
/// The most records applied in one transaction: bounds its memory.
const RECORDS_PER_TRANSACTION: usize = 256;

/// The derived database.
#[derive(Debug)]
pub(super) struct Derived {
    /// `None` once it is closed.
    database: RwLock<Option<Database>>,
}

impl Derived {
    /// Opens the database; it may reflect less of the log than there is, and never more. One that is missing, damaged, or
    /// reflects another log is made anew.
    pub(super) fn open(environment: &Environment, store: &EventStore) -> Result<Self, ConfigError> {
        // A store that is only looked at may be held by another process, and so may its database.
        if store.is_read_only() {
            return Self::open_on(&MemoryDisk::new());
        }
        let (disk, fence) = (environment.disk.as_ref(), store.fence());
        let derived = Self::of(open_or_make_anew(disk, FILE, CACHE_BYTES, fence)?)?;
        let Some(reflected) = derived.reflected()? else { return Ok(derived) };
        match store.standing_of(&reflected)? {
            Standing::OfThisLog => Ok(derived),
            Standing::AheadOfLog => {
                let (said, end) = (reflected.up_to.to_string(), store.durable_end().to_string());
                Err(ConfigError::AheadOfLog { applied: said, end })
            }
            standing @ (Standing::OfAnotherLog | Standing::Unsaid) => {
                tracing::warn!(
                    file = FILE,
                    ?standing,
                    "makes a derived database anew: it isn't known to reflect this log"
                );
                derived.close();
                Self::of(make_database_anew(disk, FILE, CACHE_BYTES, fence)?)
            }
        }
    }

    /// Opens the database on a disk that isn't the store's, whatever log it reflects.
    pub(super) fn open_on(disk: &dyn Disk) -> Result<Self, ConfigError> {
        Self::of(open_database(disk, FILE, CACHE_BYTES, &Fence::default())?)
    }

    fn of(database: Database) -> Result<Self, ConfigError> {
        let derived = Self { database: RwLock::new(Some(database)) };
        derived.create_tables()?;
        Ok(derived)
    }

    fn create_tables(&self) -> Result<(), ConfigError> {
        let read = self.read()?;
        if read.list_tables().map_err(failed)?.next().is_some() {
            return Ok(());
        }
        self.write(|transaction| {
            transaction.open_table(NUMBERS).map_err(failed)?;
            transaction.open_table(LOG).map_err(failed)?;
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
        let database = self.database.read();
        let mut transaction = database.as_ref().ok_or(ReadError::Closed)?.begin_write().map_err(failed)?;
        transaction.set_quick_repair(true);
        change(&transaction)?;
        transaction.commit().map_err(failed)
    }

    /// Closes the database, once nobody writes to it: closing it writes to the file, which may be another's as soon as the
    /// directory is let go.
    pub(super) fn close(&self) {
        self.database.write().take();
    }

    /// What was committed.
    pub(super) fn read(&self) -> Result<ReadTransaction, ConfigError> {
        let database = self.database.read();
        database.as_ref().ok_or(ReadError::Closed)?.begin_read().map_err(failed)
    }

    fn number(&self, of: &str) -> Result<Option<u64>, ConfigError> {
        let read = self.read()?;
        let numbers = read.open_table(NUMBERS).map_err(failed)?;
        Ok(numbers.get(of).map_err(failed)?.map(|value| value.value()))
    }

    /// The address of the last record applied.
    fn applied(&self) -> Result<Option<Address>, ConfigError> {
        Ok(self.number("applied")?.map(Address::from_u64))
    }

    /// How much of which log it reflects; `None` where it is new.
    pub(super) fn reflected(&self) -> Result<Option<Reflected>, ConfigError> {
        let Some(applied) = self.applied()? else { return Ok(None) };
        let read = self.read()?;
        let fingerprint = match read.open_table(LOG) {
            Ok(log) => {
                let stored = log.get("applied").map_err(failed)?;
                stored.map(|stored| decode("log", stored.value())).transpose()?
            }
            // An older version of Atlas wrote the file.
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Some(Reflected { up_to: behind(applied), fingerprint }))
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
            let fingerprint = store.fingerprint_at(behind(last))?;
            self.write(|transaction| {
                for record in &batch {
                    changed |= apply(transaction, record)?;
                }
                let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
                numbers.insert("applied", last.to_u64()).map_err(failed)?;
                let mut log = transaction.open_table(LOG).map_err(failed)?;
                match fingerprint {
                    Some(fingerprint) => log.insert("applied", encode(&fingerprint)?.as_slice()),
                    None => log.remove("applied"),
                }
                .map(drop)
                .map_err(failed)
            })?;
        }
    }

    /// What is active, as routing needs it.
    pub(super) fn snapshot(&self, generation: u64) -> Result<Snapshot, ConfigError> {
        let read = self.read()?;
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
        let read = self.read()?;
        let contents = read.open_table(CONTENTS).map_err(failed)?;
        let found = contents.get((content.tree.to_string().as_str(), content.hash())).map_err(failed)?;
        Ok(found.map(|value| value.value()))
    }

    /// A document's bytes.
    pub(super) fn document(&self, id: DocumentId) -> Result<Option<Bytes>, ConfigError> {
        let read = self.read()?;
        let documents = read.open_table(DOCUMENTS).map_err(failed)?;
        let found = documents.get(id.0).map_err(failed)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    /// The document of a type in a revision.
    pub(super) fn route(&self, revision: u32, event_type: &str) -> Result<Option<DocumentId>, ConfigError> {
        let read = self.read()?;
        let routes = read.open_table(ROUTES).map_err(failed)?;
        Ok(routes.get((revision, event_type)).map_err(failed)?.map(|value| DocumentId(value.value())))
    }

    /// All documents of a revision.
    pub(super) fn routes(&self, revision: u32) -> Result<BTreeMap<EventType, DocumentId>, ConfigError> {
        let read = self.read()?;
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
        let read = self.read()?;
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
            let StoredChange { activated, revision, recorded_at, actor } = decode("history", stored.value())?;
            let what = if activated { What::Activated } else { What::Imported };
            found.push(HistoryEntry { what, revision, recorded_at, actor });
        }
        Ok(found)
    }

    /// The catalogue of an application, by type.
    pub(super) fn types(&self, application: &Name) -> Result<Vec<TypeInfo>, ConfigError> {
        let read = self.read()?;
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

/// An address behind the beginning of the record at `record`, in the same frame.
fn behind(record: Address) -> Address {
    Address::from_u64(record.to_u64().saturating_add(1))
}

fn queues(stored: Vec<(String, Option<u64>)>) -> Result<BTreeMap<Name, QueueOptions>, ConfigError> {
    let options = |(text, max_depth): (String, _)| Ok((name("revisions", &text)?, QueueOptions { max_depth }));
    stored.into_iter().map(options).collect()
}
