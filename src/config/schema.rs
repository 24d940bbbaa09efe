//! Schemas of event types: JSON Schema, draft 2020-12, with the feature `schema`. A schema stands alone: it refers to
//! nothing outside itself. Patterns are those that end in linear time, without look-around and back-references.

use bytes::Bytes;

use super::compatibility;
use super::completeness::Catalogue;
use super::declaration::{SchemaRef, TypeDeclaration};
use super::document::DocumentId;
use super::fault::{ConfigError, Gap};
use crate::event::Name;

#[cfg(feature = "schema")]
mod json_schema;
#[cfg(not(feature = "schema"))]
#[path = "schema/none.rs"]
mod json_schema;

pub(crate) use json_schema::Validator;

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
        let what = if old.format == new.format {
            let parsed = |id: &DocumentId| -> Result<Option<serde_json::Value>, ConfigError> {
                Ok(text(id)?.and_then(|text| serde_json::from_slice(&text).ok()))
            };
            match (parsed(&old.document)?, parsed(&new.document)?) {
                (Some(old), Some(new)) => compatibility::stricter(&old, &new),
                _ => Some("it can't be compared".to_owned()),
            }
        } else {
            Some("it is of another language".to_owned())
        };
        if let Some(what) = what {
            let (application, event_type) = (application.clone(), declaration.event_type.clone());
            gaps.push(Gap::Incompatible { application, event_type, what });
        }
    }
    Ok(gaps)
}
