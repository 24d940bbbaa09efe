//! What the catalog tells about trees, revisions and types.

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::{DocumentId, QueueOptions};
use super::root_files::TypeDeclaration;
use crate::event::{EventType, Name, TreeScope};

/// A tree that has been imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeInfo {
    /// The tree.
    pub tree: TreeScope,
    /// Its active revision, where it has been activated.
    pub active: Option<u32>,
    /// Its newest revision.
    pub latest: u32,
}

/// A revision of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevisionInfo {
    /// Its number, one of its kind in the store.
    pub revision: u32,
    /// The tree.
    pub tree: TreeScope,
    /// When it was imported, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Who imported it, where that was stated.
    pub actor: Option<String>,
    /// The types that it declares.
    pub types: Vec<TypeDeclaration>,
    /// Its queues.
    pub queues: BTreeMap<Name, QueueOptions>,
}

/// A revision with its documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The revision.
    #[serde(flatten)]
    pub revision: RevisionInfo,
    /// Whether it is the active one of its tree.
    pub active: bool,
    /// The document of each event type.
    pub documents: BTreeMap<EventType, DocumentId>,
}

/// What happened to a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A revision was imported.
    Imported,
    /// A revision was activated.
    Activated,
}

/// One entry of a tree's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// What happened.
    pub what: What,
    /// To which revision.
    pub revision: u32,
    /// When, in microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// Who did it, where that was stated.
    pub actor: Option<String>,
}

/// A type of an application's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeInfo {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What it means, for people.
    pub description: Option<String>,
    /// When it was declared, in microseconds since the Unix epoch.
    pub declared_at: i64,
    /// When it was retired, where it was.
    pub retired_at: Option<i64>,
}
