//! Trees that extend another, made anew from a newer revision of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::catalog::Inner;
use super::fault::{ConfigError, Fault};
use super::importing::may_extend;
use super::look_up::Queues;
use super::parse_document::{self, Surroundings};
use super::records::{By, Placed, Revision, identity};
use super::root_files;
use super::tree::{Base, too_many};
use crate::event::{EventType, TreeScope};

/// What is said of a root file that was read when it was imported, and can't be now.
const UNREADABLE: &str = "a root file that can't be read";

/// A revision that isn't recorded yet, with the types that it has documents for, and its queues.
pub(super) type Rebased = (Revision, BTreeMap<EventType, Option<String>>, Queues);

/// Makes the dependents of `activated` anew, and those that depend on them in turn.
pub(super) fn all(
    inner: &Inner,
    by: &By,
    activated: &[(TreeScope, u32)],
    dependents: Vec<(TreeScope, u32)>,
) -> Result<Vec<Rebased>, ConfigError> {
    let mut number = inner.next_revision()?;
    let mut bases: BTreeMap<TreeScope, Base> = BTreeMap::new();
    for (tree, revision) in activated {
        bases.insert(tree.clone(), inner.base_of(*revision)?);
    }
    let mut waiting: VecDeque<(TreeScope, u32)> = dependents.into();
    let mut rebased = Vec::new();
    let mut faults = Vec::new();
    while let Some((tree, active)) = waiting.pop_front() {
        let info = inner.revision_of_tree(&tree, active)?;
        let Some((extends, base)) = info.extends.as_ref().and_then(|extends| Some((extends, bases.get(extends)?)))
        else {
            continue;
        };
        let mut behind = base.behind.clone();
        behind.insert(0, extends.clone());
        if let Err((what, expected)) = may_extend(&tree, &behind) {
            faults.push(Fault { file: format!("{tree}: tree.json"), line: 1, column: 1, what, expected });
            continue;
        }
        let own = inner.derived.own_routes(active)?;
        let file = |name: &str| info.files.get(name).map(|id| inner.derived.file(*id)).transpose();
        let unreadable =
            |_| ConfigError::Damaged { place: format!("catalog.redb, revision {active}"), what: UNREADABLE };
        let removed = match file("tree.json")? {
            Some(bytes) => root_files::tree("tree.json", &bytes).whole().map_err(unreadable)?.removed(),
            None => BTreeSet::new(),
        };
        let mut next = Base { revision: number, behind, ..base.clone() };
        next.documents.retain(|event_type, _| !removed.contains(event_type));
        next.documents.extend(own.iter().map(|(event_type, placed)| (event_type.clone(), placed.clone())));
        next.queues.extend(inner.derived.own_queues(&info.files)?);
        if let Some(bytes) = file("constants.json")? {
            let own = root_files::constants("constants.json", &bytes).whole().map_err(unreadable)?;
            next.constants = own.over(&next.constants);
        }
        let named = |fault: Fault| Fault { file: format!("{tree}: {}", fault.file), ..fault };
        faults.extend(too_many(&next.constants).map(named));
        faults.extend(faults_of(inner, &tree, &own, &next)?);
        let types = next.documents.keys().map(|event_type| (event_type.clone(), None)).collect();
        let identity = identity(&tree, Some((extends, base.revision)), &own, &info.files);
        let revision = Revision {
            number,
            by: by.clone(),
            tree: tree.clone(),
            identity,
            extends: Some(extends.clone()),
            base: Some(base.revision),
            documents: own,
            removed,
            files: info.files.clone(),
            inline: Vec::new(),
        };
        rebased.push((revision, types, next.queues.clone()));
        bases.insert(tree.clone(), next);
        number = number.saturating_add(1);
        for further in inner.dependents(&[(tree, u32::MAX)]) {
            if !bases.contains_key(&further.0) && !waiting.contains(&further) {
                waiting.push_back(further);
            }
        }
    }
    if faults.is_empty() { Ok(rebased) } else { Err(ConfigError::Faults(faults)) }
}

/// What is wrong with a tree's own documents beside a newer base: a queue or a constant that is gone.
fn faults_of(
    inner: &Inner,
    tree: &TreeScope,
    own: &BTreeMap<EventType, Placed>,
    beside: &Base,
) -> Result<Vec<Fault>, ConfigError> {
    let mut faults = Vec::new();
    for (event_type, placed) in own {
        let bytes = inner.derived.file(placed.id)?;
        let surroundings = Surroundings {
            expressions: inner.expressions,
            queues: Some(&beside.queues),
            functions: inner.bindings.functions.as_ref(),
            constants: Some(&beside.constants),
        };
        let file = format!("{tree}: {}", placed.path(event_type));
        faults.extend(parse_document::check(&file, &bytes, surroundings).err().into_iter().flatten());
    }
    Ok(faults)
}
