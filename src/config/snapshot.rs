//! What routing asks on every event, in memory: which revision of which tree is active. A snapshot never changes; an
//! activation puts another in its place.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::declaration::{SchemaRef, Upcast};
use super::document::QueueOptions;
use super::schedules::Schedule;
use crate::event::{Name, Scope, TreeScope};

/// A tree's active revision.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) revision: u32,
    pub(super) queues: Arc<BTreeMap<Name, QueueOptions>>,
    pub(super) schedules: Arc<BTreeMap<Name, Arc<Schedule>>>,
    /// The tree that it extends, and the revision of that one.
    pub(super) extends: Option<(TreeScope, u32)>,
}

/// A schedule that holds for a scope.
#[derive(Clone, Debug)]
pub(crate) struct ActiveSchedule {
    pub(crate) scope: Scope,
    pub(crate) variant: Option<Name>,
    pub(crate) name: Name,
    pub(crate) schedule: Arc<Schedule>,
    /// The tree that has it.
    pub(crate) tree: TreeScope,
}

/// The active configuration at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Grows with every change of what is active or retired.
    pub(super) generation: u64,
    active: HashMap<TreeScope, Active>,
    /// The variants of a tenant's (or the default tenant's) active trees of an application; `None`: the tree of none.
    variants: HashMap<(Option<Name>, Name), BTreeSet<Option<Name>>>,
    pub(super) retired: HashSet<(Name, String)>,
    /// The types that have a schema.
    pub(super) schemas: HashMap<Name, HashMap<String, SchemaRef>>,
    /// The types that data of the version before are lifted to.
    pub(super) upcasts: HashMap<(Name, String), Upcast>,
}

impl Snapshot {
    /// Nothing is active.
    pub(super) fn new(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// The same, of the next generation.
    pub(super) fn next(&self) -> Self {
        Self { generation: self.generation + 1, ..self.clone() }
    }

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

    /// The schema of a type, where it has one.
    pub(crate) fn schema(&self, application: &Name, event_type: &str) -> Option<&SchemaRef> {
        self.schemas.get(application)?.get(event_type)
    }

    /// How data of the version before are lifted to a type, where they are.
    pub(crate) fn upcast(&self, application: &Name, event_type: &str) -> Option<&Upcast> {
        self.upcasts.get(&(application.clone(), event_type.to_owned()))
    }

    /// Adds an active tree.
    pub(super) fn add(&mut self, tree: TreeScope, active: Active) {
        let whose = (tree.tenant().cloned(), tree.application().clone());
        self.variants.entry(whose).or_default().insert(tree.variant().cloned());
        self.active.insert(tree, active);
    }

    /// The active trees of an application.
    pub(super) fn of_application(&self, application: &Name) -> impl Iterator<Item = (&TreeScope, &Active)> {
        self.active.iter().filter(move |(tree, _)| tree.application() == application)
    }

    /// The active trees that serve a scope: its own before default trees, those of no variant first.
    fn serving(&self, scope: &Scope) -> impl Iterator<Item = &Active> {
        let application = scope.application();
        [Some(scope.tenant()), None].into_iter().flat_map(move |tenant| {
            let variants = self.variants.get(&(tenant.cloned(), application.clone()));
            variants.into_iter().flatten().filter_map(move |variant| {
                self.active.get(&TreeScope::new(tenant.cloned(), application.clone(), variant.clone()))
            })
        })
    }

    /// Whether any active tree has an input queue.
    pub(crate) fn has_input_queues(&self) -> bool {
        self.active.values().any(|active| active.queues.values().any(|options| options.ingest))
    }

    /// The queues of a scope: those of all active trees that serve it, of its own before those of default trees.
    pub(super) fn queues(&self, scope: &Scope) -> BTreeMap<Name, QueueOptions> {
        let mut queues = BTreeMap::new();
        for (name, options) in self.serving(scope).flat_map(|active| active.queues.iter()) {
            queues.entry(name.clone()).or_insert_with(|| options.clone());
        }
        queues
    }

    /// The queues of an active tree.
    pub(super) fn queues_of(&self, tree: &TreeScope) -> Option<&BTreeMap<Name, QueueOptions>> {
        self.active.get(tree).map(|active| &*active.queues)
    }

    /// The same with other queues of some trees, whatever else they have.
    pub(super) fn with_queues(&self, of: &BTreeMap<TreeScope, Arc<BTreeMap<Name, QueueOptions>>>) -> Self {
        let mut after = self.clone();
        for (tree, queues) in of {
            let (queues, schedules) = (queues.clone(), Arc::default());
            after.add(tree.clone(), Active { revision: 0, queues, schedules, extends: None });
        }
        after
    }

    /// The schedules of all active trees: scope, variant, name, and the tree. Those of a default tree hold for the scopes that
    /// they name, where it serves them.
    pub(crate) fn schedules(&self) -> Vec<ActiveSchedule> {
        let mut found = Vec::new();
        for (tree, active) in self.active.iter().filter(|(_, active)| !active.schedules.is_empty()) {
            for (name, schedule) in active.schedules.iter() {
                let own = tree.scope();
                for scope in own.iter().chain(&schedule.scopes) {
                    let serves = self.resolve(scope, tree.variant()).is_some_and(|(serving, _)| serving == *tree);
                    if serves {
                        let (scope, variant, tree) = (scope.clone(), tree.variant().cloned(), tree.clone());
                        let (name, schedule) = (name.clone(), schedule.clone());
                        found.push(ActiveSchedule { scope, variant, name, schedule, tree });
                    }
                }
            }
        }
        found
    }

    /// One queue of a scope.
    pub(super) fn queue(&self, scope: &Scope, name: &str) -> Option<QueueOptions> {
        self.serving(scope).find_map(|active| active.queues.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str, max_depth: Option<u64>) -> (Name, QueueOptions) {
        (Name::parse("queue", name).unwrap(), QueueOptions { max_depth, ..QueueOptions::default() })
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
            snapshot.add(tree.parse().unwrap(), Active { revision, queues, schedules: Arc::default(), extends: None });
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
        assert_eq!(snapshot.queue(&scope("bank/loans"), "mail").unwrap().max_depth, Some(5));
        assert!(snapshot.queue(&scope("third/loans"), "pilot").is_none());
    }
}
