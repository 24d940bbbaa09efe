//! What is declared of an event type for an application: a line of its catalogue.

use serde::{Deserialize, Serialize};

use super::document::DocumentId;
use crate::event::EventType;

/// An event type that is declared for an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeDeclaration {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What it means, for people.
    pub description: Option<String>,
    /// The schema that its data follow, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaRef>,
    /// How data of the version before are lifted to this one on read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upcast: Option<Upcast>,
}

impl TypeDeclaration {
    /// A type without anything else known of it.
    pub fn of(event_type: EventType) -> Self {
        Self { event_type, description: None, schema: None, upcast: None }
    }

    /// Whether both state a schema or an upcast, and not the same.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let schemas = self.schema.is_some() && other.schema.is_some() && self.schema != other.schema;
        schemas || (self.upcast.is_some() && other.upcast.is_some() && self.upcast != other.upcast)
    }

    /// Whether it states a schema or an upcast that is another one than `known` has.
    pub(super) fn says_other_than(&self, known: &Self) -> bool {
        (self.schema.is_some() && self.schema != known.schema) || (self.upcast.is_some() && self.upcast != known.upcast)
    }
}

/// Where a schema stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaRef {
    /// Its language.
    pub format: SchemaFormat,
    /// Its text, by the SHA-256 of it.
    pub document: DocumentId,
    /// The schema in that text which is meant: the name of an Avro record, without the file's
    /// namespace.
    pub name: Option<String>,
}

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaFormat {
    /// JSON Schema, draft 2020-12.
    JsonSchema,
    /// Apache Avro.
    Avro,
}

impl SchemaFormat {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::JsonSchema => 1,
            Self::Avro => 2,
        }
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        [Self::JsonSchema, Self::Avro].into_iter().find(|format| format.number() == number)
    }
}

/// How data of a type's version before are lifted to this version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upcast {
    /// By a transform in jq, over the envelope; its one output is the new data.
    Jq(String),
    /// By a function that the host registers under this name.
    Function(String),
}
