//! Activation: proven complete, then switched in one record of the log, of one tree or of many; and the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::catalog::{Catalog, Inner};
use super::completeness::{Candidate, Catalogue, Proof, prove};
use super::document::DocumentId;
use super::fault::{ConfigError, Gap};
use super::info::{RevisionInfo, What};
use super::look_up::Queues;
use super::records::{Record, Revision};
use super::report::Activated;
use super::snapshot::Snapshot;
use super::upcasts;
use super::{rebase, schema};
use crate::event::{EventType, Name, Scope, TreeScope};

/// How revisions are activated.
#[derive(Clone, Debug, Default)]
pub struct ActivateOptions {
    /// For some of the trees, the revision that must be the active one (`None`: none is), so that nobody's change is
    /// overwritten unseen.
    pub expected: Vec<(TreeScope, Option<u32>)>,
    /// Whether trees that extend one of these are made anew from it and activated as well.
    pub dependents: bool,
}

impl Catalog {
    /// Activates revisions of several trees at once: all of them or none. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRevision`], [`ConfigError::RepeatedTree`], [`ConfigError::NothingToActivate`];
    /// [`ConfigError::Incomplete`] where a tree lacks a type of the catalogue or has a document for none, or where a type
    /// that is new has no document in another active tree of the application; or an error of the store.
    pub fn activate(&self, trees: &[(TreeScope, u32)]) -> Result<Activated, ConfigError> {
        self.activate_with(trees, &ActivateOptions::default())
    }

    /// As [`activate`](Self::activate), with options. Blocking.
    ///
    /// # Errors
    /// Also [`ConfigError::Changed`] where another revision is active than is expected, [`ConfigError::NotActivated`] where
    /// a tree that is expected isn't among those to be activated, [`ConfigError::QueueInUse`] where a queue that holds messages
    /// would go, [`ConfigError::QueuesUnknown`] where that can't be told, and [`ConfigError::Faults`] where
    /// a dependent tree can't be made anew.
    pub fn activate_with(
        &self,
        trees: &[(TreeScope, u32)],
        options: &ActivateOptions,
    ) -> Result<Activated, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        self.switch(trees, options)
    }

    /// Activates the revision of a tree that was active before the one that is, or `to`. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::NothingBefore`], and as [`activate_with`](Self::activate_with).
    pub fn rollback(
        &self,
        tree: &TreeScope,
        to: Option<u32>,
        options: &ActivateOptions,
    ) -> Result<Activated, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        let nothing = |what| Err(ConfigError::NothingBefore { tree: tree.clone(), what });
        let history = inner.derived.history(tree)?;
        let mut activated =
            history.iter().rev().filter(|entry| entry.what == What::Activated).map(|entry| entry.revision);
        let Some(active) = activated.next() else { return nothing("no revision of it was ever activated") };
        let to = match to {
            Some(to) if to == active => return nothing("that revision is active"),
            Some(to) if !activated.any(|revision| revision == to) => return nothing("that revision was never active"),
            Some(to) => to,
            None => match activated.find(|revision| *revision != active) {
                Some(before) => before,
                None => return nothing("no other revision was active before"),
            },
        };
        let why = self.by.reason.clone().unwrap_or_else(|| format!("rollback from {active}"));
        self.with_reason(&why).switch(&[(tree.clone(), to)], options)
    }

    /// Proves and switches. The caller holds `changing`.
    fn switch(&self, trees: &[(TreeScope, u32)], options: &ActivateOptions) -> Result<Activated, ConfigError> {
        let inner = &*self.inner;
        if trees.is_empty() {
            return Err(ConfigError::NothingToActivate);
        }
        let before = inner.snapshot.read().clone();
        let mut named = BTreeSet::new();
        let mut candidates = Vec::with_capacity(trees.len());
        for (tree, revision) in trees {
            if !named.insert(tree) {
                return Err(ConfigError::RepeatedTree { tree: tree.clone() });
            }
            let info = inner.revision_of_tree(tree, *revision)?;
            let documents = inner.derived.types_of(*revision)?.into_iter().map(|t| (t, None)).collect();
            candidates.push(Candidate { tree: tree.clone(), documents, types: inner.derived.declarations(&info)? });
        }
        let mut queues = BTreeMap::new();
        for (tree, revision) in trees {
            queues.insert(tree.clone(), inner.derived.queues(*revision)?);
        }
        let dependents = inner.dependents(trees);
        let (mut trees, mut revisions, mut waiting) = (trees.to_vec(), Vec::new(), Vec::new());
        if options.dependents {
            for (revision, documents, own) in rebase::all(inner, &self.by, &trees, dependents)? {
                let types = inner.derived.declarations(&RevisionInfo::of_files(&revision))?;
                candidates.push(Candidate { tree: revision.tree.clone(), documents, types });
                trees.push((revision.tree.clone(), revision.number));
                queues.insert(revision.tree.clone(), Arc::new(own));
                revisions.push(revision);
            }
        } else {
            waiting = dependents.into_iter().map(|(tree, _)| tree).collect();
        }
        check_expected(&before, &trees, &options.expected)?;
        let proof = inner.prove(&candidates, &BTreeMap::new())?;
        let outcome: Vec<_> = trees.iter().map(|(tree, new)| (tree.clone(), *new, before.revision(tree))).collect();
        let types = |list: &[(Name, super::TypeDeclaration)]| list.iter().map(|(_, t)| t.event_type.clone()).collect();
        let (types_added, types_changed): (Vec<EventType>, _) = (types(&proof.added), types(&proof.changed));
        let said = proof.added.is_empty() && proof.changed.is_empty();
        let repeated = said && outcome.iter().all(|(_, new, old)| Some(*new) == *old);
        if !repeated {
            inner.check_queues(&before, &queues)?;
            let added = proof.added.into_iter().chain(proof.changed).collect();
            let mut records: Vec<Record> =
                revisions.into_iter().map(|revision| Record::Revision(Box::new(revision))).collect();
            records.push(Record::Activation { by: self.by.clone(), trees, added });
            inner.write(&records)?;
        }
        let warnings = proof.warnings;
        Ok(Activated { trees: outcome, repeated, types_added, types_changed, dependents: waiting, warnings })
    }
}

/// Whether what is active is what was expected, of trees that are among those to be activated.
fn check_expected(
    before: &Snapshot,
    trees: &[(TreeScope, u32)],
    all: &[(TreeScope, Option<u32>)],
) -> Result<(), ConfigError> {
    for (tree, expected) in all {
        if !trees.iter().any(|(named, _)| named == tree) {
            return Err(ConfigError::NotActivated { tree: tree.clone() });
        }
        let found = before.revision(tree);
        if found != *expected {
            let said = |revision: Option<u32>| match revision {
                Some(revision) => format!("revision {revision} is active"),
                None => "no revision is active".to_owned(),
            };
            return Err(ConfigError::Changed {
                tree: tree.clone(),
                found: said(found),
                expected: said(*expected).replace(" is active", ""),
            });
        }
    }
    Ok(())
}

impl RevisionInfo {
    /// As much of a revision that isn't recorded yet as reading its files needs.
    fn of_files(revision: &Revision) -> Self {
        Self {
            revision: revision.number,
            tree: revision.tree.clone(),
            recorded_at: 0,
            actor: None,
            reason: None,
            extends: revision.extends.clone(),
            extended: revision.base,
            base: revision.base,
            files: revision.files.clone(),
        }
    }
}

impl Inner {
    /// No queue that holds messages goes: of trees that are about to have these queues.
    fn check_queues(&self, before: &Snapshot, queues: &BTreeMap<TreeScope, Arc<Queues>>) -> Result<(), ConfigError> {
        let goes = |(tree, new): (&TreeScope, &Arc<Queues>)| {
            before.queues_of(tree).is_some_and(|old| old.keys().any(|queue| !new.contains_key(queue)))
        };
        if !queues.iter().any(goes) {
            return Ok(());
        }
        let in_use = match &*self.queues_in_use.lock() {
            Some(in_use) => (in_use.0)().map_err(|why| ConfigError::QueuesUnknown { why })?,
            None => return Ok(()),
        };
        let after = before.with_queues(queues);
        let has = |of: &Snapshot, scope: &Scope, queue: &Name| of.queue(scope, queue.as_str()).is_some();
        let is_lost = |(scope, queue): &(Scope, Name)| has(before, scope, queue) && !has(&after, scope, queue);
        match in_use.into_iter().find(is_lost) {
            Some((scope, queue)) => Err(ConfigError::QueueInUse { scope, queue }),
            None => Ok(()),
        }
    }

    /// The active trees that extend one of these, directly, but another revision of it; with their active revisions. Those
    /// that are among them aren't.
    pub(super) fn dependents(&self, trees: &[(TreeScope, u32)]) -> Vec<(TreeScope, u32)> {
        let snapshot = self.snapshot.read().clone();
        let mut found = Vec::new();
        let applications: BTreeSet<&Name> = trees.iter().map(|(tree, _)| tree.application()).collect();
        for (tree, active) in applications.into_iter().flat_map(|application| snapshot.of_application(application)) {
            if trees.iter().any(|(named, _)| named == tree) {
                continue;
            }
            let Some((extended, with)) = &active.extends else { continue };
            if trees.iter().any(|(base, revision)| base == extended && revision != with) {
                found.push((tree.clone(), active.revision));
            }
        }
        found.sort();
        found
    }

    /// Proves candidates complete, each application by itself; all gaps of all of them are reported. `schemas` are texts that
    /// the store may not have yet.
    pub(super) fn prove(
        &self,
        candidates: &[Candidate],
        schemas: &BTreeMap<DocumentId, Bytes>,
    ) -> Result<Proof, ConfigError> {
        let mut applications: BTreeMap<&Name, Vec<&Candidate>> = BTreeMap::new();
        for candidate in candidates {
            applications.entry(candidate.tree.application()).or_default().push(candidate);
        }
        let (mut all, mut gaps): (Proof, Vec<Gap>) = Default::default();
        for (application, candidates) in applications {
            let catalogue: Catalogue = self.derived.catalogue(application)?;
            let lacking = |types: &[&EventType]| self.lacking(application, &candidates, types);
            let (proof, found) = prove(application, &catalogue, &candidates, lacking)?;
            gaps.extend(found);
            let declared = proof.added.iter().chain(&proof.changed).map(|(_, declaration)| declaration);
            gaps.extend(upcasts::gaps(application, &catalogue, declared));
            let text = |id: &DocumentId| match schemas.get(id) {
                Some(text) => Ok(Some(text.clone())),
                None => self.derived.document(*id),
            };
            gaps.extend(schema::gaps(application, &catalogue, &proof.changed, text)?);
            all.added.extend(proof.added);
            all.changed.extend(proof.changed);
            all.warnings.extend(proof.warnings);
        }
        if gaps.is_empty() { Ok(all) } else { Err(ConfigError::Incomplete(gaps)) }
    }

    /// The active trees of an application that are not among the candidates and have no document for one of these types.
    fn lacking(
        &self,
        application: &Name,
        candidates: &[&Candidate],
        types: &[&EventType],
    ) -> Result<Vec<(TreeScope, EventType)>, ConfigError> {
        let snapshot = self.snapshot.read().clone();
        let mut lacking = Vec::new();
        for (tree, active) in snapshot.of_application(application) {
            if candidates.iter().any(|candidate| candidate.tree == *tree) {
                continue;
            }
            for event_type in types {
                if self.derived.route(active.revision, event_type.as_str())?.is_none() {
                    lacking.push((tree.clone(), (*event_type).clone()));
                }
            }
        }
        lacking.sort();
        Ok(lacking)
    }
}
