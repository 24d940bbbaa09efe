//! What the catalog tells about trees, revisions and types.

use std::collections::BTreeMap;

use serde::Serialize;

use super::declaration::TypeDeclaration;
use super::document::{DocumentId, QueueOptions};
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
    /// Why, where that was stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The tree that it extends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<TreeScope>,
    /// The revision of that tree that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<u32>,
    /// The revision whose documents it has, but for those it says itself.
    #[serde(skip)]
    pub(super) base: Option<u32>,
    /// Its files that are no documents of a type.
    #[serde(skip)]
    pub(super) files: BTreeMap<String, DocumentId>,
}

/// A revision with all that it says, and what it takes from the trees that it extends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The revision.
    #[serde(flatten)]
    pub revision: RevisionInfo,
    /// Whether it is the active one of its tree.
    pub active: bool,
    /// The types that it declares.
    pub types: Vec<TypeDeclaration>,
    /// Its queues.
    pub queues: BTreeMap<Name, QueueOptions>,
    /// Its constants: the JSON text of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub constants: BTreeMap<String, String>,
    /// The document of each event type.
    pub documents: BTreeMap<EventType, DocumentId>,
    /// The file of each document.
    #[serde(skip)]
    pub files: BTreeMap<EventType, String>,
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
    /// Why, where that was stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A type of an application's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeInfo {
    /// The type, and what is known of it.
    #[serde(flatten)]
    pub declaration: TypeDeclaration,
    /// When it was declared, in microseconds since the Unix epoch.
    pub declared_at: i64,
    /// When it was retired, where it was.
    pub retired_at: Option<i64>,
}
