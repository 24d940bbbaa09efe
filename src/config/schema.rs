//! Schemas of event types, with the feature `schema`: JSON Schema, draft 2020-12, and records of Avro, which are held against
//! data as the JSON Schema that they amount to. A schema stands alone: it refers to nothing outside itself. Patterns are those
//! that end in linear time, without look-around and back-references.

use std::fmt;

use bytes::Bytes;

use super::compatibility;
use super::completeness::Catalogue;
use super::declaration::{SchemaFormat, SchemaRef, TypeDeclaration};
use super::document::DocumentId;
use super::fault::{ConfigError, Fault, Gap};
use super::json::{Node, Source};
use crate::event::Name;

mod avro;
#[cfg(feature = "schema")]
mod bounds;
#[cfg(feature = "schema")]
mod json_schema;
#[cfg(not(feature = "schema"))]
#[path = "schema/no_json_schema.rs"]
mod json_schema;
#[cfg(feature = "schema")]
mod violation;

pub(crate) use json_schema::Validator;

/// The longest text of a schema, in bytes.
const MAX_SCHEMA_LEN: usize = 256 << 10;

/// Why a schema can't be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) what: String,
    pub(crate) expected: String,
    /// Where in the schema, as a JSON Pointer; empty for the whole.
    pub(crate) at: String,
}

impl Unusable {
    fn new(what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), at: String::new() }
    }
}

/// Where data break their schema, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where in the data, as a JSON Pointer; empty for the whole.
    pub path: String,
    /// Which rule of the schema, as a JSON Pointer into it.
    pub rule: String,
    /// What is wrong, with the value found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}, rule {:?}: {}", self.path, self.rule, self.found)
    }
}

/// Whether a schema can be used.
pub(super) fn check(schema: &SchemaRef, text: &[u8]) -> Result<(), Unusable> {
    Validator::compile(schema, text).map(drop)
}

/// A schema as a JSON Schema.
fn as_json_schema(schema: &SchemaRef, text: &[u8]) -> Result<serde_json::Value, Unusable> {
    match schema.format {
        _ if text.len() > MAX_SCHEMA_LEN => {
            let expected = format!("at most MAX_SCHEMA_LEN = {MAX_SCHEMA_LEN} bytes");
            Err(Unusable::new(format!("the schema is {} bytes", text.len()), expected))
        }
        SchemaFormat::Avro => {
            let faulty = |fault: &Fault| Unusable::new(format!("the schema: {}", fault.what), fault.expected.clone());
            let mut source = Source::new("schema", text).map_err(|fault| faulty(&fault))?;
            let root = source.parse();
            let file = root.as_ref().and_then(|root| avro::read(&mut source, root));
            match (file, source.faults.first()) {
                (Some(file), _) => file.record(schema.name.as_deref()),
                (None, fault) => Err(fault.map_or_else(|| Unusable::new("the schema is faulty", "Avro"), faulty)),
            }
        }
        SchemaFormat::JsonSchema => serde_json::from_slice(text)
            .map_err(|error| Unusable::new(format!("the schema is no JSON: {error}"), "a JSON Schema")),
    }
}

/// Reads a schema's file, by itself: strict JSON, and for Avro what its types are. What is wrong is said to the file's source.
pub(super) fn check_file(format: SchemaFormat, source: &mut Source<'_>) -> Option<Node> {
    let root = source.parse()?;
    if format == SchemaFormat::Avro {
        avro::read(source, &root);
    }
    source.faults.is_empty().then_some(root)
}

/// Known types whose new schema doesn't accept all that the one in use accepts.
pub(super) fn gaps(
    application: &Name,
    catalogue: &Catalogue,
    changed: &[(Name, TypeDeclaration)],
    text: impl Fn(&DocumentId) -> Result<Option<Bytes>, ConfigError>,
) -> Result<Vec<Gap>, ConfigError> {
    let mut gaps = Vec::new();
    for (_, declaration) in changed {
        let old = catalogue.get(&declaration.event_type).and_then(|known| known.declaration.schema.as_ref());
        let (Some(old), Some(new)) = (old, &declaration.schema) else { continue };
        let parsed = |schema: &SchemaRef| -> Result<Result<serde_json::Value, String>, ConfigError> {
            let Some(text) = text(&schema.document)? else { return Ok(Err("its text is missing".to_owned())) };
            Ok(as_json_schema(schema, &text).map_err(|unusable| unusable.what))
        };
        let what = match (parsed(old)?, parsed(new)?) {
            (Ok(old), Ok(new)) => compatibility::stricter(&old, &new),
            (Err(what), _) | (_, Err(what)) => Some(format!("it can't be compared with the one before: {what}")),
        };
        if let Some(what) = what {
            let (application, event_type) = (application.clone(), declaration.event_type.clone());
            gaps.push(Gap::Incompatible { application, event_type, what });
        }
    }
    Ok(gaps)
}
