//! Holding `catalog.redb` against the log: what the configuration records add up to, made anew in memory and compared
//! table by table.

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value};

use super::derived::Derived;
use super::fault::ConfigError;
use super::tables::{CONTENTS, DOCUMENTS, FILE, HISTORY, NUMBERS, REVISIONS, ROUTES, TREES, TYPES, WHOLES, failed};
use crate::log::{EventStore, Reflected};
use crate::storage::{Disk, MemoryDisk};

/// The file.
pub(crate) const CATALOG_FILE: &str = FILE;

/// Holds the catalog on `copy` against the log: the name of a table that differs. Brings the copy up to date first, as it
/// may reflect less than there is; whether it reflects this log at all was seen before.
///
/// # Errors
/// [`ConfigError`] where either can't be read.
pub(crate) fn differing_table(copy: &dyn Disk, store: &EventStore) -> Result<Option<&'static str>, ConfigError> {
    let (found, expected) = (Derived::open_on(copy)?, Derived::open_on(&MemoryDisk::new())?);
    found.catch_up(store)?;
    expected.catch_up(store)?;
    let found = found.read()?;
    let expected = expected.read()?;
    Ok(differ(&found, &expected, NUMBERS, "numbers")?
        .or(differ(&found, &expected, DOCUMENTS, "documents")?)
        .or(differ(&found, &expected, REVISIONS, "revisions")?)
        .or(differ(&found, &expected, ROUTES, "routes")?)
        .or(differ(&found, &expected, WHOLES, "wholes")?)
        .or(differ(&found, &expected, CONTENTS, "contents")?)
        .or(differ(&found, &expected, TREES, "trees")?)
        .or(differ(&found, &expected, HISTORY, "history")?)
        .or(differ(&found, &expected, TYPES, "types")?))
}

fn differ<K: Key + 'static, V: Value + 'static>(
    found: &ReadTransaction,
    expected: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
    name: &'static str,
) -> Result<Option<&'static str>, ConfigError> {
    let found = found.open_table(table).map_err(failed)?;
    let expected = expected.open_table(table).map_err(failed)?;
    let (mut found, mut expected) = (found.iter().map_err(failed)?, expected.iter().map_err(failed)?);
    loop {
        let rows = (found.next().transpose().map_err(failed)?, expected.next().transpose().map_err(failed)?);
        let same = match &rows {
            (None, None) => return Ok(None),
            (Some((key, value)), Some((expected_key, expected_value))) => {
                K::as_bytes(&key.value()).as_ref() == K::as_bytes(&expected_key.value()).as_ref()
                    && V::as_bytes(&value.value()).as_ref() == V::as_bytes(&expected_value.value()).as_ref()
            }
            _ => false,
        };
        if !same {
            return Ok(Some(name));
        }
    }
}

/// How much of which log the catalog on `copy` reflects; `None` where it can't be told.
pub(crate) fn catalog_reflects(copy: &dyn Disk) -> Option<Reflected> {
    Derived::open_on(copy).ok()?.reflected().ok()?
}
