//! What imports, checks, activations and declarations answer.

use serde::Serialize;

use super::document::Target;
use crate::event::{EventType, TreeScope};

/// A target of handlers that nobody here can call: a function that isn't registered, or an endpoint where http isn't
/// called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unbound {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// The types whose documents call it.
    pub types: Vec<EventType>,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The tree.
    pub tree: TreeScope,
    /// The revision that holds this content.
    pub revision: u32,
    /// Whether the content was known already, and nothing was written.
    pub repeated: bool,
    /// How many documents it has.
    pub documents: usize,
    /// Targets of handlers that nobody here can call.
    pub unbound: Vec<Unbound>,
}

/// What a check found: a tree without faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How many documents it has.
    pub documents: usize,
    /// The types that would enter the catalogue; empty where no tree was named.
    pub types_added: Vec<EventType>,
    /// Targets of handlers that nobody here can call.
    pub unbound: Vec<Unbound>,
    /// What is odd and yet accepted: documents of retired types.
    pub warnings: Vec<String>,
}

/// What an activation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activated {
    /// The trees, the revision that is active now, and the one that was before.
    pub trees: Vec<(TreeScope, u32, Option<u32>)>,
    /// Whether all of them were active already, and nothing was written.
    pub repeated: bool,
    /// The types that entered the catalogue.
    pub types_added: Vec<EventType>,
    /// Known types of which more is known now, such as a newer schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types_changed: Vec<EventType>,
    /// Trees that still extend an older revision of one that was activated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<TreeScope>,
    /// What is odd and yet accepted: documents of retired types.
    pub warnings: Vec<String>,
}

/// What a declaration of types did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Declared {
    /// The types that entered the catalogue.
    pub added: Vec<EventType>,
    /// Known types of which more is known now, such as a newer schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<EventType>,
    /// How many were known already.
    pub known: usize,
}
