//! Doors for the fuzz targets into the readers of configuration files. Not part of the library: built with
//! `--cfg fuzzing` only.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Document, QueueOptions};
use super::fault::Fault;
use super::parse_document::{self, Surroundings};
use super::schema_refs::{Files, SchemaRefs};
use super::types_file::{self, Declarations, Reading};
use super::{root_files, tree};
use crate::event::{EventType, Name};
use crate::routing::check_expression;

/// Queues by name.
pub type Queues = BTreeMap<Name, QueueOptions>;

/// `queues.json`, without files of schemas.
///
/// # Errors
/// All that is wrong in it.
pub fn queues(file: &str, bytes: &[u8]) -> Result<Queues, Vec<Fault>> {
    let files = Files::new();
    let mut schemas = SchemaRefs::new(&files, false);
    root_files::queues(file, bytes, &mut schemas).whole()
}

/// `tree.json`.
///
/// # Errors
/// All that is wrong in it.
pub fn tree(file: &str, bytes: &[u8]) -> Result<(), Vec<Fault>> {
    root_files::tree(file, bytes).whole().map(drop)
}

/// `constants.json`, as one JSON object.
///
/// # Errors
/// All that is wrong in it.
pub fn constants(file: &str, bytes: &[u8]) -> Result<String, Vec<Fault>> {
    root_files::constants(file, bytes).whole().map(|constants| constants.to_json())
}

/// `types.json`, without files of schemas.
///
/// # Errors
/// All that is wrong in it.
pub fn types(file: &str, bytes: &[u8]) -> Result<Declarations, Vec<Fault>> {
    types_file::read(file, bytes, &Files::new(), Reading::Import { expressions: check_expression, upcasters: None })
}

/// A document, as an import reads it.
///
/// # Errors
/// All that is wrong in it.
pub fn document(
    file: &str,
    bytes: &[u8],
    queues: &Queues,
    functions: Option<&BTreeSet<String>>,
) -> Result<Document, Vec<Fault>> {
    parse_document::check(
        file,
        bytes,
        Surroundings { expressions: check_expression, queues: Some(queues), functions, constants: None },
    )
}

/// A document, as it is read again after it was imported.
///
/// # Errors
/// All that is wrong in it.
pub fn imported(file: &str, bytes: &[u8]) -> Result<Document, Vec<Fault>> {
    parse_document::parse(file, bytes)
}

/// The event type that a file of a tree is for.
///
/// # Errors
/// Why it has no place there.
pub fn type_of(path: &[String]) -> Result<EventType, Fault> {
    tree::type_of(path)
}
