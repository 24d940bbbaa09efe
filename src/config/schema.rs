//! Schemas of event types: JSON Schema, draft 2020-12, with the feature `schema`, and records of Avro with the feature
//! `avro`, which are held against data as the JSON Schema that they amount to. A schema stands alone: it refers to nothing
//! outside itself. Patterns are those that end in linear time, without look-around and back-references.

use bytes::Bytes;

use super::compatibility;
use super::completeness::Catalogue;
use super::declaration::{SchemaFormat, SchemaRef, TypeDeclaration};
use super::document::DocumentId;
use super::fault::{ConfigError, Gap};
use crate::event::Name;

#[cfg(feature = "avro")]
mod avro;
#[cfg(not(feature = "avro"))]
#[path = "schema/no_avro.rs"]
mod avro;
#[cfg(feature = "schema")]
mod json_schema;
#[cfg(not(feature = "schema"))]
#[path = "schema/no_json_schema.rs"]
mod json_schema;

pub(crate) use json_schema::Validator;

/// The longest text of a schema, in bytes.
const MAX_SCHEMA_LEN: usize = 256 << 10;

/// Why a schema can't be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) what: String,
    pub(crate) expected: String,
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

/// Whether a schema can be used.
pub(super) fn check(schema: &SchemaRef, text: &[u8]) -> Result<(), Unusable> {
    Validator::compile(schema, text).map(drop)
}

/// A schema as a JSON Schema.
fn as_json_schema(schema: &SchemaRef, text: &[u8]) -> Result<serde_json::Value, Unusable> {
    match schema.format {
        SchemaFormat::Avro => avro::as_json_schema(text, schema.name.as_deref()),
        SchemaFormat::JsonSchema if text.len() > MAX_SCHEMA_LEN => Err(too_long(text.len())),
        SchemaFormat::JsonSchema => serde_json::from_slice(text).map_err(|error| Unusable {
            what: format!("the schema is no JSON: {error}"),
            expected: "a JSON Schema".to_owned(),
        }),
    }
}

fn too_long(length: usize) -> Unusable {
    let expected = format!("at most MAX_SCHEMA_LEN = {MAX_SCHEMA_LEN} bytes");
    Unusable { what: format!("the schema is {length} bytes"), expected }
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
        let parsed = |schema: &SchemaRef| -> Result<Option<serde_json::Value>, ConfigError> {
            Ok(text(&schema.document)?.and_then(|text| as_json_schema(schema, &text).ok()))
        };
        let what = match (parsed(old)?, parsed(new)?) {
            (Some(old), Some(new)) => compatibility::stricter(&old, &new),
            _ => Some("it can't be compared with the one before, which this build can't read".to_owned()),
        };
        if let Some(what) = what {
            let (application, event_type) = (application.clone(), declaration.event_type.clone());
            gaps.push(Gap::Incompatible { application, event_type, what });
        }
    }
    Ok(gaps)
}
