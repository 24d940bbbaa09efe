//! `catalog.redb`: what the configuration records of the log add up to, kept so that opening needn't read them all again.
//! Each transaction stores the address of the last record that it reflects, and what the log was up to there.

use parking_lot::RwLock;
use redb::{Database, ReadTransaction, ReadableDatabase, TableError, WriteTransaction};

use super::apply::{Changed, apply};
use super::fault::ConfigError;
use super::tables::{
    CONTENTS, DOCUMENTS, FILE, HISTORY, LAYOUT, LOG, NUMBERS, REVISIONS, ROUTES, TREES, TYPES, WHOLES, damaged, decode,
    encode, failed,
};
use crate::log::{Address, EventStore, Fingerprint, ReadError, RecordKind, Reflected, Standing};
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
        let mut derived = Self::of(open_or_make_anew(disk, FILE, CACHE_BYTES, fence)?)?;
        if derived.number("layout")? != Some(LAYOUT) {
            tracing::info!(file = FILE, "makes a derived database anew: another version of Atlas wrote it");
            derived.close();
            derived = Self::of(make_database_anew(disk, FILE, CACHE_BYTES, fence)?)?;
        }
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
            transaction.open_table(NUMBERS).map_err(failed)?.insert("layout", LAYOUT).map_err(failed)?;
            transaction.open_table(LOG).map_err(failed)?;
            transaction.open_table(DOCUMENTS).map_err(failed)?;
            transaction.open_table(REVISIONS).map_err(failed)?;
            transaction.open_table(ROUTES).map_err(failed)?;
            transaction.open_table(WHOLES).map_err(failed)?;
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

    /// Up to where there are no records but those that are applied, as the last close noted.
    fn passed(&self, store: &EventStore) -> Result<Address, ConfigError> {
        let read = self.read()?;
        let log = match read.open_table(LOG) {
            Ok(log) => log,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Address::START),
            Err(error) => return Err(failed(error)),
        };
        let Some(stored) = log.get("passed").map_err(failed)? else { return Ok(Address::START) };
        let (passed, fingerprint): (u64, Fingerprint) = decode("log", stored.value())?;
        let reflected = Reflected { up_to: Address::from_u64(passed), fingerprint: Some(fingerprint) };
        // Another history may have other records there.
        let is_of_this_log = store.standing_of(&reflected)? == Standing::OfThisLog;
        Ok(if is_of_this_log { reflected.up_to } else { Address::START })
    }

    /// Notes up to where all records are applied, where that spares the next open segments to look into.
    pub(super) fn note_passed(&self, store: &EventStore) -> Result<(), ConfigError> {
        if store.is_read_only() {
            return Ok(());
        }
        let end = store.durable_end();
        let known = self.applied()?.unwrap_or(Address::START).max(self.passed(store)?);
        if known.segment() >= end.segment() {
            return Ok(());
        }
        self.catch_up(store)?;
        let Some(fingerprint) = store.fingerprint_at(end)? else { return Ok(()) };
        self.write(|transaction| {
            let mut log = transaction.open_table(LOG).map_err(failed)?;
            log.insert("passed", encode(&(end.to_u64(), fingerprint))?.as_slice()).map_err(failed)?;
            Ok(())
        })
    }

    /// Applies the durable records that are not applied yet. Says what changed that routing asks for.
    pub(super) fn catch_up(&self, store: &EventStore) -> Result<Changed, ConfigError> {
        let applied = self.applied()?;
        let from = applied.unwrap_or(Address::START).max(self.passed(store)?);
        let mut records = store.records(RecordKind::Configuration, from)?;
        let mut changed = Changed::default();
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
                    apply(transaction, record, &mut changed)?;
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
}

/// An address behind the beginning of the record at `record`, in the same frame.
fn behind(record: Address) -> Address {
    Address::from_u64(record.to_u64().saturating_add(1))
}
