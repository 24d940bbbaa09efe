//! Import and check: from a folder to a staged revision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;

use super::catalog::{Catalog, Inner};
use super::completeness::{Candidate, Proof};
use super::constants::Constants;
use super::document::{Document, DocumentId, Target};
use super::fault::{ConfigError, Fault};
use super::records::{Placed, Record, Revision, identity};
use super::report::{Checked, Imported, Unbound};
use super::schedules::Schedule;
use super::tree::{self, Base, Beside, Tree};
use crate::event::{EventType, TreeScope};

/// How many trees may extend each other in a row.
pub const MAX_EXTENDS: usize = 16;
/// How many bytes of documents go into one append.
const BYTES_PER_APPEND: usize = 8 << 20;

/// A tree that was read and isn't imported.
pub(crate) struct StagedTree {
    /// Its documents; those that it takes from another tree are in the catalog.
    pub(crate) documents: BTreeMap<EventType, (DocumentId, Option<Document>)>,
    pub(crate) constants: Constants,
}

impl Catalog {
    /// Imports the tree in the folder `dir` as a revision of `tree`. Nothing changes for events until it is activated. The
    /// same content for the same tree is the same revision. A tree that extends another takes what it doesn't say itself
    /// from that one's active revision, or the newest where none is active. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::Faults`] with everything that is wrong in the folder, [`ConfigError::Io`], or an error of the store.
    pub fn import(&self, dir: &Path, tree: &TreeScope) -> Result<Imported, ConfigError> {
        let inner = &*self.inner;
        // The base that it is read beside must be the one that it is recorded with.
        let _changing = inner.changing.lock();
        inner.apply()?;
        let read = self.read_tree(dir, Some(tree))?;
        let unbound = self.unbound(&read);
        let documents = read.documents.len() + read.inherited.len();
        let imported = |revision, repeated| Imported {
            tree: tree.clone(),
            revision,
            repeated,
            documents,
            unbound: unbound.clone(),
        };
        let own = read.placed();
        let mut bodies = read.declarations.schemas;
        bodies.extend(read.queue_schemas);
        let mut files = BTreeMap::new();
        for (path, bytes) in read.files {
            let id = DocumentId::of(&bytes);
            files.insert(path, id);
            bodies.insert(id, Bytes::from(bytes));
        }
        let extends = read.extends.as_ref().map(|(extended, revision, _)| (extended, *revision));
        let identity = identity(tree, extends, &own, &files);
        if let Some(revision) = inner.derived.revision_of(tree, identity)? {
            return Ok(imported(revision, true));
        }
        let number = inner.next_revision()?;
        let extends = extends.map(|(extended, revision)| (extended.clone(), revision));
        let (base, documents, removed) = match &extends {
            Some((_, base)) => (Some(*base), own, read.removed.clone()),
            None => inner.beside_a_whole_one(tree, own)?,
        };
        let (extends, by) = (extends.map(|(extended, _)| extended), self.by.clone());
        let tree = tree.clone();
        let revision =
            Revision { number, by, tree, identity, extends, base, documents, removed, files, inline: Vec::new() };
        bodies.extend(read.documents.into_values().map(|document| (document.id, Bytes::from(document.bytes))));
        inner.write_revision(bodies, revision)?;
        Ok(imported(number, false))
    }

    /// Checks the tree in the folder `dir`, and whether it would be complete as `tree` where that is given. Writes nothing.
    /// Without a tree, what depends on one that it extends isn't checked. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::Faults`], [`ConfigError::Incomplete`], [`ConfigError::Io`], or an error of the store.
    pub fn check(&self, dir: &Path, tree: Option<&TreeScope>) -> Result<Checked, ConfigError> {
        let read = self.read_tree(dir, tree)?;
        let (unbound, documents) = (self.unbound(&read), read.documents.len() + read.inherited.len());
        let proof = match tree {
            Some(tree) => {
                let (documents, types) = (read.types(), read.declarations.types);
                let candidate = Candidate { tree: tree.clone(), documents, types };
                self.inner.prove(&[candidate], &read.declarations.schemas)?
            }
            None => Proof::default(),
        };
        let types_added = proof.added.into_iter().map(|(_, declaration)| declaration.event_type).collect();
        Ok(Checked { documents, types_added, unbound, warnings: proof.warnings })
    }

    /// Reads a folder as `tree`, beside the trees of the store; without a tree, by itself.
    pub(super) fn read_tree(&self, dir: &Path, tree: Option<&TreeScope>) -> Result<Tree, ConfigError> {
        let inner = &*self.inner;
        let bases = |extended: &TreeScope| inner.base(extended);
        let read = tree::read(
            dir,
            Beside {
                expressions: inner.expressions,
                functions: inner.bindings.functions.as_ref(),
                upcasters: inner.bindings.upcasters.as_ref(),
                bases: tree.is_some().then_some(&bases),
            },
        )?;
        if let Some(tree) = tree {
            let wrong = scopes_of_schedules(tree, &read);
            if !wrong.is_empty() {
                return Err(ConfigError::Faults(wrong));
            }
        }
        if let (Some(tree), Some((extended, revision, place))) = (tree, &read.extends) {
            let wrong = |what: String, expected: &str| {
                let expected = expected.to_owned();
                Err(ConfigError::Faults(vec![Fault { what, expected, ..place.clone() }]))
            };
            if extended.application() != tree.application() {
                let what = format!("{extended} is a tree of another application");
                return wrong(what, "a tree of the same application");
            }
            let mut behind = inner.derived.extended_by(*revision)?;
            behind.insert(0, extended.clone());
            if let Err((what, expected)) = may_extend(tree, &behind) {
                return wrong(what, &expected);
            }
        }
        Ok(read)
    }

    /// Reads a folder as `tree`, for routing by it without an import.
    pub(crate) fn read_staged(&self, dir: &Path, tree: &TreeScope) -> Result<StagedTree, ConfigError> {
        let read = self.read_tree(dir, Some(tree))?;
        let inherited = read.inherited.into_iter().map(|(event_type, placed)| (event_type, (placed.id, None)));
        let own = read.documents.into_iter().map(|(event_type, own)| (event_type, (own.id, Some(own.document))));
        Ok(StagedTree { documents: inherited.chain(own).collect(), constants: read.constants })
    }

    fn unbound(&self, tree: &Tree) -> Vec<Unbound> {
        let targets = tree.targets().into_iter().filter(|(target, _)| !self.is_bound(target));
        let unbound = |(target, types): (&Target, Vec<&EventType>)| Unbound {
            target: target.clone(),
            types: types.into_iter().cloned().collect(),
        };
        targets.map(unbound).collect()
    }
}

/// What is wrong in the scopes that schedules name: those of a default tree name some, others none.
fn scopes_of_schedules(tree: &TreeScope, read: &Tree) -> Vec<Fault> {
    let wrong = |(schedule, place): &(Schedule, Fault)| {
        let (what, expected) = match tree.scope() {
            Some(_) if !schedule.scopes.is_empty() => {
                ("the schedule names scopes, and the tree is of one", "\"scopes\" in default trees alone")
            }
            None if schedule.scopes.is_empty() => {
                ("the schedule of a default tree names no scopes", "\"scopes\": [\"TENANT/APPLICATION\", ...]")
            }
            None if schedule.scopes.iter().any(|scope| scope.application() != tree.application()) => {
                ("the schedule names a scope of another application", "scopes of the tree's application")
            }
            _ => return None,
        };
        Some(Fault { what: what.to_owned(), expected: expected.to_owned(), ..place.clone() })
    };
    read.schedules.values().filter_map(wrong).collect()
}

/// Whether a tree may extend these, one behind the other; else what is wrong and what would be right.
pub(super) fn may_extend(tree: &TreeScope, behind: &[TreeScope]) -> Result<(), (String, String)> {
    if behind.contains(tree) {
        return Err((format!("{tree} would extend itself"), "a tree that doesn't extend this one".to_owned()));
    }
    if behind.len() > MAX_EXTENDS {
        let what = format!("{tree} would extend {} trees, one behind the other", behind.len());
        return Err((what, format!("at most MAX_EXTENDS = {MAX_EXTENDS}")));
    }
    Ok(())
}

impl Inner {
    /// What a tree has to give to one that extends it.
    pub(super) fn base(&self, tree: &TreeScope) -> Result<Option<Base>, ConfigError> {
        let Some(info) = self.derived.tree(tree)? else { return Ok(None) };
        self.base_of(info.active.unwrap_or(info.latest)).map(Some)
    }

    pub(super) fn base_of(&self, revision: u32) -> Result<Base, ConfigError> {
        Ok(Base {
            revision,
            documents: self.derived.routes(revision)?,
            queues: (*self.derived.queues(revision)?).clone(),
            constants: self.derived.constants(revision)?,
            behind: self.derived.extended_by(revision)?,
        })
    }

    /// The number of the next revision.
    pub(super) fn next_revision(&self) -> Result<u32, ConfigError> {
        let number = self.derived.revisions()?.checked_add(1);
        number.ok_or(ConfigError::Damaged { place: "revisions".to_owned(), what: "all numbers have been given out" })
    }

    /// A tree's documents as the difference from those of a whole revision, where that is less: trees of one application
    /// are much alike.
    #[expect(clippy::type_complexity, reason = "base, documents and removed types, as a revision has them")]
    fn beside_a_whole_one(
        &self,
        tree: &TreeScope,
        own: BTreeMap<EventType, Placed>,
    ) -> Result<(Option<u32>, BTreeMap<EventType, Placed>, BTreeSet<EventType>), ConfigError> {
        let Some(whole) = self.derived.whole_of(tree.application())? else { return Ok((None, own, BTreeSet::new())) };
        let theirs = self.derived.routes(whole)?;
        let removed: BTreeSet<EventType> = theirs.keys().filter(|t| !own.contains_key(*t)).cloned().collect();
        let other = own.iter().filter(|(event_type, placed)| theirs.get(*event_type) != Some(placed));
        let other: BTreeMap<EventType, Placed> = other.map(|(t, placed)| (t.clone(), placed.clone())).collect();
        if (other.len() + removed.len()) * 2 < own.len() {
            Ok((Some(whole), other, removed))
        } else {
            Ok((None, own, BTreeSet::new()))
        }
    }

    /// Writes the files that are not known, in as many appends as their size needs, and the revision with the last. A file
    /// that no revision names changes nothing, so a crash between two appends leaves no half of a revision.
    fn write_revision(&self, files: BTreeMap<DocumentId, Bytes>, revision: Revision) -> Result<(), ConfigError> {
        let (mut records, mut size) = (Vec::new(), 0);
        for (id, bytes) in files {
            if self.derived.document(id)?.is_some() {
                continue;
            }
            if size + bytes.len() > BYTES_PER_APPEND && !records.is_empty() {
                self.write(&std::mem::take(&mut records))?;
                size = 0;
            }
            size += bytes.len();
            records.push(Record::Document(bytes));
        }
        records.push(Record::Revision(Box::new(revision)));
        self.write(&records)
    }
}
