//! The tables of `catalog.redb` and how their values are written: a version, then bincode.

use redb::TableDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::declaration::{SchemaRef, Upcast};
use super::document::DocumentId;
use super::fault::ConfigError;
use crate::event::Name;
use crate::storage::DatabaseError;

/// The file.
pub(super) const FILE: &str = "catalog.redb";
/// The version in front of every value.
const VALUE_VERSION: u8 = 2;
/// What the tables are like. A file with another number is made anew.
pub(super) const LAYOUT: u64 = 2;
/// The largest value that is decoded, in bytes.
const MAX_VALUE: usize = 64 << 20;

/// `layout`, `applied`, `revisions` -> a number.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// `applied` -> the fingerprint of the log up to that record, which is held.
pub(super) const LOG: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("log");
/// SHA-256 -> the bytes of a document, a root file or a schema.
pub(super) const DOCUMENTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("documents");
/// Revision -> [`StoredRevision`].
pub(super) const REVISIONS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("revisions");
/// Revision and event type -> SHA-256 of the document, then its path where that isn't the canonical one; nothing where the
/// revision has none and its base has. What isn't here is as in the base.
pub(super) const ROUTES: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("routes");
/// Application -> the newest revision without a base.
pub(super) const WHOLES: TableDefinition<'_, &str, u32> = TableDefinition::new("wholes");
/// Tree and identity of the content -> revision.
pub(super) const CONTENTS: TableDefinition<'_, (&str, [u8; 32]), u32> = TableDefinition::new("contents");
/// Tree -> [`StoredTree`].
pub(super) const TREES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("trees");
/// Tree and address of the record -> [`StoredChange`].
pub(super) const HISTORY: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("history");
/// Application and event type -> [`StoredType`].
pub(super) const TYPES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("types");

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredRevision {
    pub(super) tree: String,
    pub(super) recorded_at: i64,
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) extends: Option<String>,
    pub(super) base: Option<u32>,
    pub(super) files: Vec<(String, [u8; 32])>,
}

impl StoredRevision {
    /// The document with what a file has, where the revision itself has the file.
    pub(super) fn file(&self, path: &str) -> Option<DocumentId> {
        self.files.iter().find(|(known, _)| known == path).map(|(_, id)| DocumentId(*id))
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredTree {
    pub(super) active: Option<u32>,
    pub(super) latest: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredChange {
    pub(super) activated: bool,
    pub(super) revision: u32,
    pub(super) recorded_at: i64,
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredType {
    pub(super) description: Option<String>,
    pub(super) schema: Option<SchemaRef>,
    pub(super) upcast: Option<Upcast>,
    /// Those that it had before.
    pub(super) past_schemas: Vec<SchemaRef>,
    pub(super) past_upcasts: Vec<Upcast>,
    pub(super) declared_at: i64,
    pub(super) retired_at: Option<i64>,
}

pub(super) fn failed<E: Into<redb::Error>>(error: E) -> ConfigError {
    DatabaseError::of::<E>(FILE)(error).into()
}

pub(super) fn damaged(table: &str, what: &'static str) -> ConfigError {
    ConfigError::Damaged { place: format!("{FILE}, table {table}"), what }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ConfigError> {
    let mut out = vec![VALUE_VERSION];
    let configuration = bincode::config::standard().with_limit::<MAX_VALUE>();
    bincode::serde::encode_into_std_write(value, &mut out, configuration)
        .map_err(|_| damaged("-", "a value that can't be encoded"))?;
    Ok(out)
}

pub(super) fn decode<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, ConfigError> {
    let configuration = bincode::config::standard().with_limit::<MAX_VALUE>();
    let Some((&VALUE_VERSION, body)) = bytes.split_first() else {
        return Err(damaged(table, "a value of another format version"));
    };
    match bincode::serde::decode_from_slice(body, configuration) {
        Ok((value, read)) if read == body.len() => Ok(value),
        _ => Err(damaged(table, "a value that can't be decoded")),
    }
}

pub(super) fn word<T: std::str::FromStr>(table: &'static str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| damaged(table, "a word that is not well formed"))
}

pub(super) fn name(table: &'static str, text: &str) -> Result<Name, ConfigError> {
    Name::parse("name", text).map_err(|_| damaged(table, "a name that is not well formed"))
}
