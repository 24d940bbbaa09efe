//! What activating a revision would change: documents added, changed and removed, and what that means for handlers.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Serialize;

use super::catalog::Catalog;
use super::completeness::Candidate;
use super::declaration::TypeDeclaration;
use super::document::{Document, DocumentId, HandlerSpec, QueueOptions};
use super::fault::{ConfigError, Gap};
use super::tree::canonical_path;
use crate::event::{EventType, Name, TreeScope};

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is there before and after, and not the same.
    Changed,
    /// It is gone.
    Removed,
}

/// What activating a revision, or a folder, would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The tree.
    pub tree: TreeScope,
    /// The revision that is active, where one is.
    pub active: Option<u32>,
    /// The revision that it is held against; `None` for a folder.
    pub revision: Option<u32>,
    /// Documents that differ, by type.
    pub documents: Vec<DocumentChange>,
    /// Queues that differ.
    pub queues: BTreeMap<Name, Change>,
    /// Constants that differ: the JSON text before and after.
    pub constants: BTreeMap<String, Values>,
    /// Types that it declares and the catalogue doesn't have so: new ones, and those with another schema or upcast.
    pub types: BTreeMap<EventType, Change>,
    /// The tree that it extends, with its revision, where that is another one than before: before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<Values>,
    /// How many documents are the same.
    pub same: usize,
    /// Why an activation would be refused as things are; empty where it wouldn't be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Gap>,
}

/// A value before and after, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Values {
    /// Before; `None` where there was none.
    pub before: Option<String>,
    /// After; `None` where there is none.
    pub after: Option<String>,
}

/// A document that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DocumentChange {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Its file.
    pub file: String,
    /// How it differs.
    pub change: Change,
    /// Its handlers that differ, by name. None where only the description or the form differs.
    pub handlers: Vec<HandlerChange>,
}

/// A handler that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HandlerChange {
    /// Its name.
    pub name: Name,
    /// How it differs.
    pub change: Change,
    /// What it calls; before where it is removed.
    pub target: String,
    /// What of it differs, by key, where it is changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Values>,
}

/// One side of a comparison.
#[derive(Default)]
struct Side {
    documents: BTreeMap<EventType, (DocumentId, String)>,
    queues: BTreeMap<Name, QueueOptions>,
    constants: BTreeMap<String, String>,
    types: Vec<TypeDeclaration>,
    extends: Option<String>,
}

impl Catalog {
    /// What activating a revision of a tree would change.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRevision`], or an error of the store.
    pub fn plan(&self, tree: &TreeScope, revision: u32) -> Result<Difference, ConfigError> {
        self.inner.revision_of_tree(tree, revision)?;
        let after = self.side(revision)?;
        let documents = after.documents.keys().map(|t| (t.clone(), None)).collect();
        let candidate = Candidate { tree: tree.clone(), documents, types: after.types.clone() };
        let refused = self.refused(candidate, &BTreeMap::new())?;
        self.difference(tree, Some(revision), &after, &BTreeMap::new(), refused)
    }

    /// Why an activation of this would be refused.
    fn refused(&self, candidate: Candidate, schemas: &BTreeMap<DocumentId, Bytes>) -> Result<Vec<Gap>, ConfigError> {
        match self.inner.prove(&[candidate], schemas) {
            Ok(_) => Ok(Vec::new()),
            Err(ConfigError::Incomplete(gaps)) => Ok(gaps),
            Err(error) => Err(error),
        }
    }

    /// What importing the folder `dir` as `tree` and activating it would change. Writes nothing.
    ///
    /// # Errors
    /// As [`check`](Self::check) for the files.
    pub fn plan_folder(&self, dir: &Path, tree: &TreeScope) -> Result<Difference, ConfigError> {
        let read = self.read_tree(dir, Some(tree))?;
        let inherited = read.inherited.iter().map(|(t, placed)| (t.clone(), (placed.id, placed.path(t))));
        let own = read.documents.iter().map(|(t, document)| (t.clone(), (document.id, document.file.clone())));
        let documents = inherited.chain(own).collect();
        let after = Side {
            documents,
            queues: read.queues.clone(),
            constants: read.constants.0.clone(),
            types: read.declarations.types.clone(),
            extends: read.extends.as_ref().map(|(tree, revision, _)| format!("{tree}@{revision}")),
        };
        let candidate = Candidate { tree: tree.clone(), documents: read.types(), types: after.types.clone() };
        let refused = self.refused(candidate, &read.declarations.schemas)?;
        let given = read.documents.into_values().map(|document| (document.id, document.document)).collect();
        self.difference(tree, None, &after, &given, refused)
    }

    fn side(&self, revision: u32) -> Result<Side, ConfigError> {
        let derived = &self.inner.derived;
        let documents = derived.routes(revision)?.into_iter();
        let documents = documents.map(|(t, placed)| (t.clone(), (placed.id, placed.path(&t)))).collect();
        let (queues, constants) = ((*derived.queues(revision)?).clone(), derived.constants(revision)?.0);
        let info = derived.revision(revision)?;
        let types = info.as_ref().map(|info| derived.declarations(info)).transpose()?.unwrap_or_default();
        let extends = info.and_then(|info| Some(format!("{}@{}", info.extends?, info.extended?)));
        Ok(Side { documents, queues, constants, types, extends })
    }

    fn difference(
        &self,
        tree: &TreeScope,
        revision: Option<u32>,
        after: &Side,
        given: &BTreeMap<DocumentId, Document>,
        refused: Vec<Gap>,
    ) -> Result<Difference, ConfigError> {
        let active = self.active(tree)?;
        let before = match active {
            Some(active) => self.side(active)?,
            None => Side::default(),
        };
        let document = |id: DocumentId| match given.get(&id) {
            Some(document) => Ok(document.clone()),
            None => self.parsed(id).map(|document| (*document).clone()),
        };
        let mut documents = Vec::new();
        for (event_type, change) in changes(&before.documents, &after.documents, |a, b| a.0 == b.0) {
            let (old, new) = (before.documents.get(&event_type), after.documents.get(&event_type));
            let handlers = |side: Option<&(DocumentId, String)>| match side {
                Some((id, _)) => document(*id).map(|document| document.handlers),
                None => Ok(Vec::new()),
            };
            let handlers = handler_changes(&handlers(old)?, &handlers(new)?);
            let file = new.or(old).map_or_else(|| canonical_path(&event_type), |(_, file)| file.clone());
            documents.push(DocumentChange { event_type, file, change, handlers });
        }
        let changed = documents.iter().filter(|document| document.change != Change::Removed).count();
        let constants = values(&before.constants, &after.constants);
        Ok(Difference {
            tree: tree.clone(),
            active,
            revision,
            same: after.documents.len() - changed,
            types: self.new_types(tree, &after.types)?,
            extends: (before.extends != after.extends)
                .then(|| Values { before: before.extends.clone(), after: after.extends.clone() }),
            documents,
            queues: changes(&before.queues, &after.queues, |a, b| a == b).into_iter().collect(),
            constants,
            refused,
        })
    }
}

impl Catalog {
    /// The types that a tree declares and the catalogue of its application doesn't have so.
    fn new_types(
        &self,
        tree: &TreeScope,
        declared: &[TypeDeclaration],
    ) -> Result<BTreeMap<EventType, Change>, ConfigError> {
        let catalogue = self.inner.derived.catalogue(tree.application())?;
        let change = |declaration: &TypeDeclaration| match catalogue.get(&declaration.event_type) {
            None => Some((declaration.event_type.clone(), Change::Added)),
            Some(known) if known.retired => None,
            Some(known) => known.news(declaration).0.map(|new| (new.event_type, Change::Changed)),
        };
        Ok(declared.iter().filter_map(change).collect())
    }
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        let tree = self.documents.is_empty() && self.queues.is_empty() && self.constants.is_empty();
        tree && self.types.is_empty() && self.extends.is_none()
    }
}

/// The keys whose values differ, and how.
fn changes<K: Ord + Clone, V>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<(K, Change)> {
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Change::Removed));
    let other = after.iter().filter_map(|(key, new)| match before.get(key) {
        None => Some((key.clone(), Change::Added)),
        Some(old) if same(old, new) => None,
        Some(_) => Some((key.clone(), Change::Changed)),
    });
    let mut found: Vec<(K, Change)> = removed.chain(other).collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn values(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> BTreeMap<String, Values> {
    let value = |(key, _): (String, Change)| {
        let values = Values { before: before.get(&key).cloned(), after: after.get(&key).cloned() };
        (key, values)
    };
    changes(before, after, |a, b| a == b).into_iter().map(value).collect()
}

fn handler_changes(before: &[HandlerSpec], after: &[HandlerSpec]) -> Vec<HandlerChange> {
    let by_name = |specs: &[HandlerSpec]| -> BTreeMap<Name, HandlerSpec> {
        specs.iter().map(|spec| (spec.name.clone(), spec.clone())).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let change = |(name, change): (Name, Change)| {
        let (old, new) = (before.get(&name), after.get(&name));
        let target = new.or(old).map(|spec| spec.target.to_string()).unwrap_or_default();
        let keys = match (old, new) {
            (Some(old), Some(new)) => values(&keys(old), &keys(new)),
            _ => BTreeMap::new(),
        };
        HandlerChange { name, change, target, keys }
    };
    changes(&before, &after, |a, b| a == b).into_iter().map(change).collect()
}

/// What a handler says, by key, with all defaults filled in.
fn keys(spec: &HandlerSpec) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    };
    match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(entries)) => {
            entries.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
        }
        _ => BTreeMap::new(),
    }
}
