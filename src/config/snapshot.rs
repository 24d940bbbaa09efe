//! What routing asks on every event, in memory: which revision of which tree is active. A snapshot never changes; an
//! activation puts another in its place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::document::QueueOptions;
use crate::event::{Name, Scope, TreeScope};

/// A tree's active revision.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) revision: u32,
    pub(super) queues: Arc<BTreeMap<Name, QueueOptions>>,
}

/// The active configuration at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Grows with every change of what is active or retired.
    pub(super) generation: u64,
    pub(super) active: HashMap<TreeScope, Active>,
    pub(super) retired: HashSet<(Name, String)>,
}

impl Snapshot {
    /// A number that changes with each activation.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The tree that serves events of `scope` and `variant`: the first active one in the order of look-up.
    pub(crate) fn resolve(&self, scope: &Scope, variant: Option<&Name>) -> Option<(TreeScope, u32)> {
        TreeScope::candidates(scope, variant).find_map(|tree| self.revision(&tree).map(|revision| (tree, revision)))
    }

    /// The active revision of a tree.
    pub(crate) fn revision(&self, tree: &TreeScope) -> Option<u32> {
        self.active.get(tree).map(|active| active.revision)
    }

    /// Whether the application retired the type.
    pub(crate) fn is_retired(&self, application: &Name, event_type: &str) -> bool {
        !self.retired.is_empty() && self.retired.contains(&(application.clone(), event_type.to_owned()))
    }

    /// The queues of a scope: those of all active trees that serve it, of its own before those of default trees.
    pub(super) fn queues(&self, scope: &Scope) -> BTreeMap<Name, QueueOptions> {
        let mut serving: Vec<(&TreeScope, &Active)> = self
            .active
            .iter()
            .filter(|(tree, _)| {
                tree.application() == scope.application() && tree.tenant().is_none_or(|tenant| tenant == scope.tenant())
            })
            .collect();
        serving.sort_by_key(|(tree, _)| (tree.tenant().is_none(), tree.variant().cloned()));
        let mut queues = BTreeMap::new();
        for (name, options) in serving.into_iter().flat_map(|(_, active)| active.queues.iter()) {
            queues.entry(name.clone()).or_insert(*options);
        }
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str, max_depth: Option<u64>) -> (Name, QueueOptions) {
        (Name::parse("queue", name).unwrap(), QueueOptions { max_depth })
    }

    #[test]
    fn look_up_falls_back_and_queues_of_default_trees_exist_in_each_scope() {
        let mut snapshot = Snapshot::default();
        for (tree, revision, queues) in [
            ("_/loans", 1, vec![queue("mail", None), queue("audit", None)]),
            ("bank/loans", 2, vec![queue("mail", Some(5))]),
            ("bank/loans/pilot", 3, vec![queue("pilot", None)]),
            ("other/loans", 4, vec![queue("theirs", None)]),
        ] {
            let queues = Arc::new(queues.into_iter().collect());
            snapshot.active.insert(tree.parse().unwrap(), Active { revision, queues });
        }
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let pilot = Name::parse("variant", "pilot").unwrap();
        let resolve = |text: &str, variant| snapshot.resolve(&scope(text), variant).map(|(_, revision)| revision);
        assert_eq!(resolve("bank/loans", Some(&pilot)), Some(3));
        assert_eq!(resolve("bank/loans", None), Some(2));
        assert_eq!(resolve("third/loans", Some(&pilot)), Some(1));
        assert_eq!(resolve("bank/cards", None), None);
        let names = |text: &str| snapshot.queues(&scope(text)).into_keys().map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(names("bank/loans"), ["audit", "mail", "pilot"]);
        assert_eq!(names("third/loans"), ["audit", "mail"]);
        assert_eq!(snapshot.queues(&scope("bank/loans"))[&queue("mail", None).0].max_depth, Some(5));
    }
}
