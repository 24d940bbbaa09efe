//! `dispatch.redb`: what is open beyond memory. Derived from the log, and committed together with the log address that
//! it reflects; between two commits everything is done in one write transaction, which its owner reads as well.
//!
//! Keys order by bytes: names and streams hold no byte below 0x20, so a 0 ends each, and numbers are big-endian.

mod compare;
mod queue_reads;
mod queues;
#[cfg(test)]
mod row_tests;
mod rows;
mod timers;
mod unwritten;

use std::ops::Bound;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use queue_reads::MessageEntry;
pub(super) use queues::{Counts, Shift, State};
pub(super) use rows::Plans;
use unwritten::{Removals, UnwrittenRows};

use super::{DispatchError, Options};
use crate::event::Scope;
use crate::log::{Address, EventStore, Fingerprint, Reflected, Standing};
use crate::storage::{DatabaseError, Disk, Fence, make_database_anew, open_database, open_or_make_anew};

/// The file's name in the data directory.
pub(super) const FILE: &str = "dispatch.redb";

/// The format of the values: in front of each.
const FORMAT: u8 = 1;
/// The largest value that is decoded, in bytes: an event with a thousand handlers is far below.
const MAX_VALUE: usize = 1 << 20;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// scope 0 position -> the open event.
const EVENTS: Definition = TableDefinition::new("events");
/// scope 0 handler 0 stream 0 position -> nothing.
const LANES: Definition = TableDefinition::new("lanes");
/// time scope 0 position -> nothing.
const ALARMS: Definition = TableDefinition::new("alarms");
/// scope 0 queue 0 group 0 address -> the message.
const MESSAGES: Definition = TableDefinition::new("messages");
/// scope 0 queue 0 group 0 address -> nothing: those that can be taken at once.
const FREE: Definition = TableDefinition::new("free");
/// scope 0 queue 0 group 0 time address -> nothing: those that are leased or wait until then.
const DUE: Definition = TableDefinition::new("due");
/// scope 0 queue 0 group 0 address -> nothing: dead letters, without those behind them.
const DEAD: Definition = TableDefinition::new("dead");
/// scope 0 queue 0 group 0 stream address -> nothing: those of ordered queues.
const IN_STREAMS: Definition = TableDefinition::new("in_streams");
/// scope 0 queue 0 group 0 stream -> number of messages.
const STREAMS: Definition = TableDefinition::new("streams");
/// scope 0 queue 0 group 0 -> number of messages and of dead letters.
const QUEUES: Definition = TableDefinition::new("queues");
/// due scope 0 id -> address of the record that set it.
const TIMERS: Definition = TableDefinition::new("timers");
/// scope 0 schedule -> up to when its occurrences are done with. Where it is missing, the log is asked.
const OCCURRED: Definition = TableDefinition::new("occurred");
/// address -> nothing.
const TIMERS_BY_ADDRESS: Definition = TableDefinition::new("timers_by_address");
/// "reflects" -> [`Reflects`]; "log" -> the [`Fingerprint`] of the log at its address; "layout" -> [`LAYOUT`];
/// "imported" -> up to which position events are history.
const META: Definition = TableDefinition::new("meta");
const REFLECTS: &[u8] = b"reflects";
const LOG: &[u8] = b"log";
const IMPORTED: &[u8] = b"imported";
const LAYOUT_KEY: &[u8] = b"layout";
/// Which tables there are. A file with others is made anew: files of the first layout don't say any.
const LAYOUT: u8 = 2;

/// How much of the log the file reflects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Reflects {
    /// All before this address.
    pub(super) address: u64,
    /// The last position before it.
    pub(super) position: u64,
}

/// The file, with the transaction that is being written.
pub(super) struct DispatchDatabase {
    database: redb::Database,
    transaction: Option<WriteTransaction>,
    unwritten: UnwrittenRows,
    removals: Removals,
    plans: Plans,
    /// The first alarm, where it is known.
    next_alarm: Option<Option<i64>>,
    /// When the first timer is due, where it is known.
    next_timer: Option<Option<i64>>,
}

impl std::fmt::Debug for DispatchDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DispatchDatabase").field("writes", &self.transaction.is_some()).finish_non_exhaustive()
    }
}

fn failed<E: Into<redb::Error>>(error: E) -> DispatchError {
    DatabaseError::of(FILE)(error).into()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, DispatchError> {
    let mut bytes = vec![FORMAT];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .map_err(|_| DispatchError::Row { table: "(written)" })?;
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, DispatchError> {
    let bad = || DispatchError::Row { table };
    let Some((&FORMAT, body)) = bytes.split_first() else { return Err(bad()) };
    let config = bincode::config::standard().with_limit::<MAX_VALUE>();
    match bincode::serde::decode_from_slice(body, config) {
        Ok((value, read)) if read == body.len() => Ok(value),
        _ => Err(bad()),
    }
}

/// A time as a number that orders as it does: those before 1970 come before those after it.
fn sortable(at: i64) -> u64 {
    at.cast_unsigned() ^ (1 << 63)
}

/// A key from parts, each ended by a 0.
fn key(parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum::<usize>() + 8);
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

fn key_with(parts: &[&str], number: u64) -> Vec<u8> {
    let mut key = key(parts);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number at the end of a key.
fn number(table: &'static str, key: &[u8]) -> Result<u64, DispatchError> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)).ok_or(DispatchError::Row { table })
}

/// The text up to the first 0 of a key, and what comes after it.
fn part<'k>(table: &'static str, key: &'k [u8]) -> Result<(&'k str, &'k [u8]), DispatchError> {
    let bad = || DispatchError::Row { table };
    let end = key.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
    let (text, rest) = key.split_at_checked(end).ok_or_else(bad)?;
    Ok((std::str::from_utf8(text).map_err(|_| bad())?, rest.get(1..).ok_or_else(bad)?))
}

fn scope_of(table: &'static str, text: &str) -> Result<Scope, DispatchError> {
    text.parse().map_err(|_| DispatchError::Row { table })
}

/// The first key at or after `from` that starts with `prefix`.
fn first_key(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    from: &[u8],
) -> Result<Option<Vec<u8>>, DispatchError> {
    let range = (Bound::Included(from), Bound::Unbounded);
    match table.range::<&[u8]>(range).map_err(failed)?.next() {
        Some(entry) => {
            let (key, _) = entry.map_err(failed)?;
            Ok(key.value().starts_with(prefix).then(|| key.value().to_vec()))
        }
        None => Ok(None),
    }
}

/// A value of `meta`; `None` where there is none.
fn meta<T: DeserializeOwned>(database: &redb::Database, key: &[u8]) -> Result<Option<T>, DispatchError> {
    use redb::ReadableDatabase;
    // Not through the write transaction: an open and close that changes nothing writes nothing.
    let read = database.begin_read().map_err(failed)?;
    let table = match read.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match table.get(key).map_err(failed)? {
        Some(value) => decode("meta", value.value()).map(Some),
        None => Ok(None),
    }
}

/// How much of which log a database reflects; `None` where it is new.
pub(super) fn reflected(database: &redb::Database) -> Result<Option<Reflected>, DispatchError> {
    let Some(reflects) = meta::<Reflects>(database, REFLECTS)? else { return Ok(None) };
    let fingerprint = meta::<Fingerprint>(database, LOG)?;
    Ok(Some(Reflected { up_to: Address::from_u64(reflects.address), fingerprint }))
}

/// Whether a database has the tables that are read here, or none yet.
pub(super) fn has_layout(database: &redb::Database) -> Result<bool, DispatchError> {
    Ok(meta::<Reflects>(database, REFLECTS)?.is_none() || meta::<u8>(database, LAYOUT_KEY)? == Some(LAYOUT))
}

impl DispatchDatabase {
    /// Opens the file of a store, made anew where it is missing, damaged, of an older layout, or reflects another log. `fence` is
    /// the store's.
    pub(super) fn open(
        store: &EventStore,
        fence: &Fence,
        options: &Options,
        plans: Plans,
    ) -> Result<Self, DispatchError> {
        let (disk, cache_bytes) = (&*store.environment().disk, options.cache_bytes);
        let mut database = open_or_make_anew(disk, FILE, cache_bytes, fence)?;
        let standing = reflected(&database)?.map(|reflected| store.standing_of(&reflected)).transpose()?;
        if let Some(standing @ (Standing::OfAnotherLog | Standing::Unsaid)) = standing {
            tracing::warn!(file = FILE, ?standing, "makes a derived database anew: it isn't known to reflect this log");
            drop(database);
            database = make_database_anew(disk, FILE, cache_bytes, fence)?;
        } else if standing == Some(Standing::OfThisLog) && !has_layout(&database)? {
            drop(database);
            database = make_database_anew(disk, FILE, cache_bytes, fence)?;
        }
        Ok(Self::over(database, options, plans))
    }

    /// Opens the file on a disk that isn't the store's.
    pub(super) fn open_on(disk: &dyn Disk, options: &Options, plans: Plans) -> Result<Self, DispatchError> {
        let database = open_database(disk, FILE, options.cache_bytes, &Fence::default())?;
        Ok(Self::over(database, options, plans))
    }

    fn over(database: redb::Database, options: &Options, plans: Plans) -> Self {
        let unwritten = UnwrittenRows::new(options.max_open_events);
        let (removals, next_alarm, next_timer) = (Removals::default(), None, None);
        Self { database, transaction: None, unwritten, removals, plans, next_alarm, next_timer }
    }

    fn transaction(&mut self) -> Result<&WriteTransaction, DispatchError> {
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => {
                let mut transaction = self.database.begin_write().map_err(failed)?;
                // After a crash, opening takes as long as the file is deep, not as long as it is large.
                transaction.set_quick_repair(true);
                transaction
            }
        };
        Ok(self.transaction.insert(transaction))
    }

    fn table(&mut self, definition: Definition) -> Result<Table<'_, &'static [u8], &'static [u8]>, DispatchError> {
        self.transaction()?.open_table(definition).map_err(failed)
    }

    fn get<T: DeserializeOwned>(
        &mut self,
        definition: Definition,
        name: &'static str,
        key: &[u8],
    ) -> Result<Option<T>, DispatchError> {
        match self.table(definition)?.get(key).map_err(failed)? {
            Some(value) => decode(name, value.value()).map(Some),
            None => Ok(None),
        }
    }

    fn put(&mut self, definition: Definition, key: &[u8], value: &impl Serialize) -> Result<(), DispatchError> {
        let value = encode(value)?;
        self.table(definition)?.insert(key, value.as_slice()).map_err(failed)?;
        Ok(())
    }

    /// Removes an entry. Returns whether there was one.
    fn delete(&mut self, definition: Definition, key: &[u8]) -> Result<bool, DispatchError> {
        let existed = self.table(definition)?.remove(key).map_err(failed)?.is_some();
        Ok(existed)
    }

    /// How much of the log the file reflects; `None` where it is new.
    pub(super) fn reflects(&mut self) -> Result<Option<Reflects>, DispatchError> {
        meta(&self.database, REFLECTS)
    }

    /// Up to which position events are history, where the file can tell: it has seen events, so no history can come before
    /// them any more, and no import was under way.
    pub(super) fn imported(&mut self) -> Result<Option<u64>, DispatchError> {
        let has_events = self.reflects()?.is_some_and(|reflects| reflects.position > 0);
        let imported = meta::<u64>(&self.database, IMPORTED)?;
        Ok(imported.filter(|imported| has_events && *imported != u64::MAX))
    }

    /// Makes all that was done durable, together with how much of the log it reflects, what that log is, and up to which
    /// position it is history.
    pub(super) fn commit(
        &mut self,
        reflects: Reflects,
        log: Option<Fingerprint>,
        imported: u64,
    ) -> Result<(), DispatchError> {
        self.write_rows()?;
        self.put(META, REFLECTS, &reflects)?;
        self.put(META, IMPORTED, &imported)?;
        self.put(META, LAYOUT_KEY, &LAYOUT)?;
        match log {
            Some(fingerprint) => self.put(META, LOG, &fingerprint)?,
            None => drop(self.delete(META, LOG)?),
        }
        match self.transaction.take() {
            Some(transaction) => transaction.commit().map_err(failed),
            None => Ok(()),
        }
    }

    /// The address before which nothing is open: no event, no message and no timer.
    pub(super) fn open_from(&mut self, end: Address) -> Result<Address, DispatchError> {
        let mut oldest = end;
        for scope in self.scopes_with_rows()? {
            let first = self.page(&scope, 0, 1)?;
            oldest = first.first().map_or(oldest, |event| oldest.min(event.address));
        }
        for message in self.oldest_messages()? {
            oldest = oldest.min(message);
        }
        Ok(self.oldest_timer()?.map_or(oldest, |timer| oldest.min(timer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_back_whole_or_not_at_all() {
        let reflects = Reflects { address: 1 << 40, position: 7 };
        let bytes = encode(&reflects).unwrap();
        assert_eq!(decode::<Reflects>("meta", &bytes).unwrap(), reflects);
        assert!(decode::<Reflects>("meta", &bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<Reflects>("meta", &[&bytes[..], &[0]].concat()).is_err());
        assert!(decode::<Reflects>("meta", &[&[FORMAT + 1], &bytes[1..]].concat()).is_err());
        assert!(decode::<Reflects>("meta", &[]).is_err());
    }

    #[test]
    fn keys_order_by_parts_and_numbers() {
        let mut keys = [
            key_with(&["a/b", "x", "s"], 256),
            key_with(&["a/b", "x", "s"], 2),
            key_with(&["a/b", "x", "s1"], 1),
            key_with(&["a/b", "x-1", "a"], 1),
            key_with(&["a/b.c", "a", "a"], 1),
        ];
        keys.sort();
        assert_eq!(keys[0], key_with(&["a/b", "x", "s"], 2));
        assert_eq!(keys[1], key_with(&["a/b", "x", "s"], 256));
        assert_eq!(number("t", &keys[1]).unwrap(), 256);
        assert_eq!(part("t", &keys[0]).unwrap().0, "a/b");
    }
}
