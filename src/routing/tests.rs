//! Configuration and routing together, over a real log in memory: the promises of the guide.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{RouteError, Router, check_expression};
use crate::config::{Bindings, Catalog, ConfigError, Declarations, Gap, Target, What};
use crate::event::{EventType, Name, Scope, TreeScope};
use crate::log::{EventStore, Options};
use crate::storage::{Disk, Environment, MemoryDisk};

mod changes;
mod constants;
mod extends;
mod history;
#[cfg(feature = "schema")]
mod schemas;
mod sharing;

/// A store and its catalog on a disk in memory, which can be closed and opened again.
struct Place {
    disk: MemoryDisk,
    store: EventStore,
    catalog: Catalog,
    router: Router,
    trees: TempDir,
}

fn open(disk: &MemoryDisk, bindings: Bindings) -> (EventStore, Catalog) {
    let store = EventStore::open_with(Environment::new(disk.clone()), Options::default()).unwrap();
    let catalog = Catalog::open(&store, bindings, check_expression).unwrap();
    (store, catalog)
}

fn read(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

impl Place {
    fn new() -> Self {
        Self::with(Bindings::default())
    }

    fn with(bindings: Bindings) -> Self {
        let disk = MemoryDisk::new();
        let (store, catalog) = open(&disk, bindings);
        let (router, trees) = (Router::new(catalog.clone()), tempfile::tempdir().unwrap());
        Self { disk, store, catalog, router, trees }
    }

    /// Closes the store, does something to its disk, and opens it again.
    fn reopen(self, meanwhile: impl FnOnce(&MemoryDisk)) -> Self {
        let Self { disk, store, catalog, router, trees } = self;
        drop((router, catalog));
        store.close().unwrap();
        drop(store);
        meanwhile(&disk);
        let (store, catalog) = open(&disk, Bindings::default());
        Self { router: Router::new(catalog.clone()), disk, store, catalog, trees }
    }

    /// A folder with a document for each of `types`, which handle with `handlers`, and `declared` in `types.json`.
    fn folder(&self, types: &[&str], declared: &[&str], handlers: &str) -> std::path::PathBuf {
        let root = self.trees.path().join("tree");
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        for name in types {
            let [kind, flow, operation, result, version] =
                name.parse::<EventType>().unwrap().parts().map(str::to_owned);
            let file = root.join(version).join(kind).join(flow).join(operation).join(result + ".json");
            write(&file, &format!("{{\"handlers\": {handlers}}}"));
        }
        write(&root.join("types.json"), &serde_json::to_string(declared).unwrap());
        write(&root.join("queues.json"), "{\"mail\": {\"max_depth\": 9}}");
        root
    }

    fn import(&self, tree: &str, types: &[&str], handlers: &str) -> u32 {
        self.catalog.import(&self.folder(types, types, handlers), &tree.parse().unwrap()).unwrap().revision
    }

    fn activate(&self, trees: &[(&str, u32)]) -> Result<crate::config::Activated, ConfigError> {
        let trees: Vec<(TreeScope, u32)> = trees.iter().map(|(tree, n)| (tree.parse().unwrap(), *n)).collect();
        self.catalog.activate(&trees)
    }

    fn route(&self, scope: &str, variant: Option<&str>, event_type: &str) -> Result<u32, RouteError> {
        self.router.route(&scope.parse::<Scope>().unwrap(), variant, event_type).map(|plan| plan.revision)
    }

    /// All that can be asked of the catalog, as text.
    fn everything(&self) -> String {
        let mut all = format!("{:#?}", self.catalog.types_list(&name("loans")).unwrap());
        for tree in self.catalog.trees().unwrap() {
            all += &format!("{tree:#?}{:#?}", self.catalog.history(&tree.tree).unwrap());
            for entry in self.catalog.history(&tree.tree).unwrap() {
                all += &format!("{:#?}", self.catalog.show(&tree.tree, entry.revision).unwrap());
            }
        }
        all
    }
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

fn gaps<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> Vec<Gap> {
    match result {
        Err(ConfigError::Incomplete(gaps)) => gaps,
        other => panic!("{other:?}"),
    }
}

const A: &str = "LOAN_OFFER_SENT_COMPLETE_1";
const B: &str = "LOAN_OFFER_SENT_COMPLETE_2";
const MAIL: &str = r#"[{"name": "tell", "target": {"queue": "mail"}}]"#;

#[test]
fn import_stages_and_activate_switches() {
    let place = Place::new();
    let first = place.import("bank/loans", &[A], "[]");
    assert!(matches!(place.route("bank/loans", None, A), Err(RouteError::NoTree { .. })));
    let activated = place.activate(&[("bank/loans", first)]).unwrap();
    assert_eq!((activated.types_added.len(), activated.repeated), (1, false));
    assert_eq!(place.route("bank/loans", None, A).unwrap(), first);
    let second = place.import("bank/loans", &[A], MAIL);
    assert!(second > first);
    assert_eq!(place.route("bank/loans", None, A).unwrap(), first);
    place.catalog.with_actor("desk 7").activate(&[("bank/loans".parse().unwrap(), second)]).unwrap();
    let plan = place.router.route(&"bank/loans".parse().unwrap(), None, A).unwrap();
    assert_eq!((plan.revision, plan.handlers.len()), (second, 1));
    // What was routed before stays with its revision.
    assert_eq!(place.router.plan_of(first, A).unwrap().handlers.len(), 0);
    // Back again.
    place.activate(&[("bank/loans", first)]).unwrap();
    assert_eq!(place.route("bank/loans", None, A).unwrap(), first);
    let history = place.catalog.history(&"bank/loans".parse().unwrap()).unwrap();
    let told: Vec<_> = history.iter().map(|entry| (entry.what, entry.revision, entry.actor.as_deref())).collect();
    let expected = [
        (What::Imported, first, None),
        (What::Activated, first, None),
        (What::Imported, second, None),
        (What::Activated, second, Some("desk 7")),
        (What::Activated, first, None),
    ];
    assert_eq!(told, expected);
    assert!(history.windows(2).all(|pair| pair[0].recorded_at <= pair[1].recorded_at));
}

#[test]
fn the_same_content_is_the_same_revision() {
    let place = Place::new();
    let tree = "bank/loans".parse().unwrap();
    let first = place.catalog.import(&place.folder(&[A], &[A], MAIL), &tree).unwrap();
    let again = place.catalog.import(&place.folder(&[A], &[A], MAIL), &tree).unwrap();
    assert_eq!((again.revision, again.repeated, first.repeated), (first.revision, true, false));
    let other = place.catalog.import(&place.folder(&[A], &[A], MAIL), &"cash/loans".parse().unwrap()).unwrap();
    assert_ne!(other.revision, first.revision);
    let documents = |tree: &str, revision| place.catalog.show(&tree.parse().unwrap(), revision).unwrap().documents;
    let shared = documents("bank/loans", first.revision);
    assert_eq!(shared, documents("cash/loans", other.revision));
    let id = *shared.values().next().unwrap();
    assert_eq!(place.store_records(&format!("doc:{id}")), 1, "a document is stored once");
    assert_eq!(place.store_records(&format!("rev:{}", first.revision)), 1);
    let changed = place.import("bank/loans", &[A], "[]");
    let back = place.import("bank/loans", &[A], MAIL);
    assert_eq!((changed > other.revision, back), (true, first.revision));
}

impl Place {
    fn store_records(&self, key: &str) -> usize {
        self.store.records_with_key(crate::log::RecordKind::Configuration, key.as_bytes()).unwrap().len()
    }
}

#[test]
fn what_is_incomplete_is_refused_whole() {
    let place = Place::new();
    let types = Declarations::of([A, B].map(|t| t.parse().unwrap()));
    assert_eq!(place.catalog.types_declare(&name("loans"), &types).unwrap().added.len(), 2);
    let half = place.import("bank/loans", &[A], "[]");
    let stray = place.import("cash/loans", &[A, B, "LOAN_OFFER_SNET_COMPLETE_1"], "[]");
    let other = place
        .catalog
        .import(&place.folder(&[A, B, "LOAN_OFFER_SNET_COMPLETE_1"], &[], "[]"), &"cash/loans".parse().unwrap())
        .unwrap()
        .revision;
    let whole = place.import("bank/loans", &[A, B], "[]");
    let found = gaps(place.activate(&[("bank/loans", half), ("cash/loans", other)]));
    assert!(
        matches!(&found[..], [Gap::Missing { .. }, Gap::Unknown { near: Some(near), .. }] if near.as_str() == A),
        "{found:?}"
    );
    assert_eq!(place.catalog.active(&"bank/loans".parse().unwrap()).unwrap(), None);
    // With a type more in the types.json of one, the other lacks it.
    assert_eq!(gaps(place.activate(&[("bank/loans", whole), ("cash/loans", stray)])).len(), 1);
    place.activate(&[("bank/loans", whole)]).unwrap();
    assert!(matches!(&gaps(place.activate(&[("cash/loans", stray)]))[..], [Gap::Lacking { .. }]));
    // Both together, atomically.
    let more = place.import("bank/loans", &[A, B, "LOAN_OFFER_SNET_COMPLETE_1"], "[]");
    place.activate(&[("bank/loans", more), ("cash/loans", stray)]).unwrap();
    assert_eq!(place.route("cash/loans", None, "LOAN_OFFER_SNET_COMPLETE_1").unwrap(), stray);
    assert_eq!(place.route("bank/loans", None, "LOAN_OFFER_SNET_COMPLETE_1").unwrap(), more);
}

#[test]
fn activations_that_name_the_wrong_thing_are_refused() {
    let place = Place::new();
    let first = place.import("bank/loans", &[A], "[]");
    assert!(matches!(place.activate(&[("cash/loans", first)]), Err(ConfigError::UnknownRevision { .. })));
    assert!(matches!(place.activate(&[("bank/loans", 99)]), Err(ConfigError::UnknownRevision { .. })));
    assert!(matches!(place.activate(&[]), Err(ConfigError::NothingToActivate)));
    let twice = place.activate(&[("bank/loans", first), ("bank/loans", first)]);
    assert!(matches!(twice, Err(ConfigError::RepeatedTree { .. })));
    place.activate(&[("bank/loans", first)]).unwrap();
    assert!(place.activate(&[("bank/loans", first)]).unwrap().repeated);
    assert_eq!(place.store_records("act"), 1);
}

#[test]
fn look_up_goes_from_the_variant_to_the_default_tree() {
    let place = Place::new();
    let mut revisions = BTreeMap::new();
    for (i, tree) in ["_/loans", "_/loans/pilot", "bank/loans", "bank/loans/pilot"].into_iter().enumerate() {
        let handlers = format!("[{{\"name\": \"n{i}\", \"target\": {{\"queue\": \"mail\"}}}}]");
        let revision = place.import(tree, &[A], &handlers);
        place.activate(&[(tree, revision)]).unwrap();
        revisions.insert(tree, revision);
    }
    for (scope, variant, tree) in [
        ("bank/loans", Some("pilot"), "bank/loans/pilot"),
        ("bank/loans", Some("other"), "bank/loans"),
        ("bank/loans", None, "bank/loans"),
        ("cash/loans", Some("pilot"), "_/loans/pilot"),
        ("cash/loans", None, "_/loans"),
    ] {
        assert_eq!(place.route(scope, variant, A).unwrap(), revisions[tree], "{scope} {variant:?}");
        assert_eq!(place.route(scope, variant, A).unwrap(), revisions[tree], "from the cache");
    }
    assert!(place.catalog.queues(&"cash/loans".parse().unwrap()).contains_key("mail"));
    assert_eq!(place.catalog.queue_options(&"cash/loans".parse().unwrap(), "mail").unwrap().max_depth, Some(9));
    let explained = place.router.explain(&"cash/loans".parse().unwrap(), Some("x"), A).unwrap();
    let tried: Vec<_> = explained.tried.iter().map(|t| (t.tree.to_string(), t.active.is_some())).collect();
    let expected = [("cash/loans/x", false), ("cash/loans", false), ("_/loans/x", false), ("_/loans", true)];
    assert_eq!(tried, expected.map(|(tree, active)| (tree.to_owned(), active)));
    let error = place.route("cash/cards", None, A).unwrap_err().to_string();
    assert!(error.contains("cash/cards, _/cards"), "{error}");
    let error = place.route("bank/loans", None, "LOAN_OFFER_SNET_COMPLETE_1").unwrap_err().to_string();
    assert!(error.contains("did you mean LOAN_OFFER_SENT_COMPLETE_1?"), "{error}");
    assert!(matches!(place.route("bank/loans", None, "LOAN"), Err(RouteError::Vocabulary(_))));
    assert!(matches!(place.route("bank/loans", Some("a b"), A), Err(RouteError::Vocabulary(_))));
}

#[test]
fn retired_types_are_refused_and_their_documents_only_warn() {
    let place = Place::new();
    let both = place.import("bank/loans", &[A, B], "[]");
    place.activate(&[("bank/loans", both)]).unwrap();
    assert_eq!(place.route("bank/loans", None, B).unwrap(), both);
    assert!(place.catalog.types_retire(&name("loans"), &B.parse().unwrap()).unwrap());
    assert!(!place.catalog.types_retire(&name("loans"), &B.parse().unwrap()).unwrap());
    assert!(matches!(place.route("bank/loans", None, B), Err(RouteError::Retired { .. })));
    // An event that was recorded before keeps its plan.
    assert_eq!(place.router.plan_of(both, B).unwrap().revision, both);
    assert_eq!(place.activate(&[("bank/loans", both)]).unwrap().warnings.len(), 2);
    let one = place.import("bank/loans", &[A], "[]");
    assert!(place.activate(&[("bank/loans", one)]).unwrap().warnings.is_empty());
    let types = Declarations::of([B.parse().unwrap()]);
    assert!(matches!(place.catalog.types_declare(&name("loans"), &types), Err(ConfigError::Retired { .. })));
    let unknown = place.catalog.types_retire(&name("loans"), &"LOAN_OFFER_SNET_COMPLETE_1".parse().unwrap());
    assert!(unknown.unwrap_err().to_string().contains(A));
}

#[test]
fn plans_are_in_order_of_weight_then_name() {
    let place = Place::new();
    let handlers = r#"[{"name": "c", "target": {"queue": "mail"}}, {"name": "b", "target": {"queue": "mail"}},
        {"name": "a", "weight": 200, "target": {"queue": "mail"}},
        {"name": "d", "weight": -5, "when": ".data.a > 1", "data": "{a: .data.a}", "target": {"function": "f.g"}}]"#;
    let revision = place.import("bank/loans", &[A], handlers);
    place.activate(&[("bank/loans", revision)]).unwrap();
    let plan = place.router.route(&"bank/loans".parse().unwrap(), None, A).unwrap();
    assert_eq!(plan.handlers.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["d", "b", "c", "a"]);
    let input = super::Input::from_json(b"{\"data\":{\"a\":2}}").unwrap();
    assert!(plan.handlers[0].when.as_ref().unwrap().first_is_true(&input).unwrap());
    assert_eq!(plan.handlers[0].data.as_ref().unwrap().outputs(&input).unwrap(), ["{\"a\":2}"]);
    let explained = place.router.explain(&"bank/loans".parse().unwrap(), None, A).unwrap();
    let told: Vec<_> = explained.handlers.iter().map(|h| (h.spec.name.as_str(), h.bound)).collect();
    assert_eq!(told, [("d", false), ("b", true), ("c", true), ("a", true)]);
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["handlers"][0]["target"], serde_json::json!({"function": "f.g"}));
    assert_eq!(json["handlers"][0]["retry"]["initial"], "200ms");
}

#[test]
fn a_host_knows_its_functions_and_the_command_line_lists_them() {
    let handlers = r#"[{"name": "s", "target": {"function": "scoring.scor"}}]"#;
    let line = Place::new();
    let imported = line.catalog.import(&line.folder(&[A], &[A], handlers), &"bank/loans".parse().unwrap()).unwrap();
    assert_eq!(imported.unbound[0].target, Target::Function("scoring.scor".to_owned()));
    let host =
        Place::with(Bindings { functions: Some(BTreeSet::from(["scoring.score".to_owned()])), ..Bindings::default() });
    let refused = host.catalog.import(&host.folder(&[A], &[A], handlers), &"bank/loans".parse().unwrap());
    assert!(refused.unwrap_err().to_string().contains("did you mean \"scoring.score\"?"));
}

#[test]
fn all_faults_of_a_tree_at_once_and_nothing_applied() {
    let place = Place::new();
    let handlers =
        "[{\"name\": \"s\",\n \"when\": \".data.\\u0061 |\\n  selct(.)\", \"target\": {\"queue\": \"mial\"}}]";
    let folder = place.folder(&[A, B], &["LOAN"], handlers);
    let before = place.store.durable_end();
    let error = place.catalog.import(&folder, &"bank/loans".parse().unwrap()).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 5, "{error}");
    // The place is that in the file: escapes counted as they are written.
    assert!(
        lines[0].starts_with("1/LOAN/OFFER/SENT/COMPLETE.json:2:29: when: the function selct is not available"),
        "{error}"
    );
    assert!(lines[1].starts_with("1/LOAN/OFFER/SENT/COMPLETE.json:2:60: unknown queue"), "{error}");
    assert!(lines[4].starts_with("types.json:1:2: event type \"LOAN\" has 1 parts"), "{error}");
    assert_eq!(place.store.durable_end(), before);
    assert!(place.catalog.trees().unwrap().is_empty());
    assert!(place.catalog.check(&folder, None).is_err());
}

#[test]
fn check_writes_nothing_and_proves_completeness() {
    let place = Place::new();
    let types = Declarations::of(["INSTORE_TXNFINALIZE_UPSERTTRANSACTIONDISCOUNTS_COMPLETE_1".parse().unwrap()]);
    place.catalog.types_declare(&name("store"), &types).unwrap();
    let folder = place.folder(&["INSTORE_TXNFINALIZE_UPERSTTRANSACTIONDISCOUNTS_COMPLETE_1"], &[], "[]");
    let before = place.store.durable_end();
    assert_eq!(place.catalog.check(&folder, None).unwrap().documents, 1);
    let error = place.catalog.check(&folder, Some(&"a/store".parse().unwrap())).unwrap_err().to_string();
    let first = error.lines().next().unwrap();
    assert!(first.contains("UPSERTTRANSACTIONDISCOUNTS") && first.contains("UPERSTTRANSACTIONDISCOUNTS"), "{first}");
    assert!(first.contains("1/INSTORE/TXNFINALIZE/UPERSTTRANSACTIONDISCOUNTS/COMPLETE.json"), "{first}");
    assert_eq!(place.store.durable_end(), before);
}

#[test]
fn the_catalog_is_derived_from_the_log() {
    let place = Place::new();
    let first = place.import("bank/loans", &[A], MAIL);
    place.activate(&[("bank/loans", first)]).unwrap();
    let second = place.import("bank/loans", &[A, B], "[]");
    place.activate(&[("bank/loans", second)]).unwrap();
    place.catalog.types_retire(&name("loans"), &B.parse().unwrap()).unwrap();
    let before = place.everything();
    let place = place.reopen(|_| ());
    assert_eq!(place.everything(), before);
    assert_eq!(place.route("bank/loans", None, A).unwrap(), second);
    let place = place.reopen(|disk| disk.remove("catalog.redb").unwrap());
    assert_eq!(place.everything(), before);
    assert!(matches!(place.route("bank/loans", None, B), Err(RouteError::Retired { .. })));
    assert_eq!(place.import("bank/loans", &[A], MAIL), first);
}

#[test]
fn a_catalog_ahead_of_the_log_is_reported() {
    const LOG: [&str; 3] = ["LOCK", "log/00000001.seg", "log/00000001.idx"];
    let place = Place::new();
    let first = place.import("bank/loans", &[A], MAIL);
    let mut older = Vec::new();
    let place = place.reopen(|disk| older = LOG.map(|name| read(disk, name)).into());
    place.activate(&[("bank/loans", first)]).unwrap();
    let Place { disk, store, catalog, router, .. } = place;
    drop((router, catalog));
    store.close().unwrap();
    drop(store);
    // An older copy of the log beside the database.
    for (name, bytes) in LOG.into_iter().zip(older) {
        disk.create(name).unwrap().write_all_at(0, &bytes).unwrap();
    }
    let store = EventStore::open_with(Environment::new(disk), Options::default()).unwrap();
    let opened = Catalog::open(&store, Bindings::default(), check_expression);
    assert!(matches!(opened, Err(ConfigError::AheadOfLog { .. })), "{opened:?}");
}

#[test]
fn routing_is_right_while_others_activate() {
    let place = Place::new();
    let revisions = [place.import("bank/loans", &[A], "[]"), place.import("bank/loans", &[A], MAIL)];
    place.activate(&[("bank/loans", revisions[0])]).unwrap();
    let (done, newest) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    // What had been activated when the look-up began, or later: never older.
                    let before = newest.load(Ordering::Acquire);
                    let plan = place.router.route(&"bank/loans".parse().unwrap(), None, A).unwrap();
                    let after = newest.load(Ordering::Acquire);
                    assert_eq!(plan.handlers.len(), usize::from(plan.revision == revisions[1]));
                    if before == after && before % 2 == 0 {
                        assert_eq!(plan.revision, revisions[before as usize / 2 % 2]);
                    }
                }
            });
        }
        for step in 0..100u32 {
            // Odd while it is being activated.
            newest.store(step * 2 + 1, Ordering::Release);
            place.activate(&[("bank/loans", revisions[(step as usize + 1) % 2])]).unwrap();
            newest.store(step * 2 + 2, Ordering::Release);
        }
        done.store(true, Ordering::Release);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Import { tree: usize, types: BTreeSet<u8>, declared: BTreeSet<u8> },
    Activate(Vec<usize>),
    Declare(u8),
    Retire(u8),
    Reopen { rebuild: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let types = || proptest::collection::btree_set(0u8..3, 0..4);
    let step = prop_oneof![
        4 => (0usize..3, types(), types()).prop_map(|(tree, types, declared)| Step::Import { tree, types, declared }),
        4 => proptest::collection::vec(0usize..6, 1..3).prop_map(Step::Activate),
        1 => (0u8..3).prop_map(Step::Declare),
        1 => (0u8..3).prop_map(Step::Retire),
        1 => any::<bool>().prop_map(|rebuild| Step::Reopen { rebuild }),
    ];
    proptest::collection::vec(step, 1..14)
}

/// What a catalog should be: revisions, what is active, and the catalogue, as plain sets.
#[derive(Default)]
struct Model {
    revisions: Vec<(&'static str, BTreeSet<u8>, BTreeSet<u8>)>,
    active: BTreeMap<&'static str, usize>,
    known: BTreeMap<u8, bool>,
}

impl Model {
    /// The types that activating these revisions would add; `None` where it must be refused.
    fn proof(&self, chosen: &[usize]) -> Option<BTreeSet<u8>> {
        let trees: BTreeSet<_> = chosen.iter().map(|i| self.revisions.get(*i).map(|r| r.0)).collect();
        if trees.len() != chosen.len() || trees.contains(&None) {
            return None;
        }
        let retired = |t: &u8| self.known.get(t) == Some(&true);
        let declared: BTreeSet<u8> = chosen.iter().flat_map(|i| self.revisions[*i].2.iter().copied()).collect();
        let new: BTreeSet<u8> = declared.into_iter().filter(|t| !self.known.contains_key(t)).collect();
        let in_use = self.known.keys().copied().filter(|t| !retired(t));
        let required: BTreeSet<u8> = in_use.chain(new.iter().copied()).collect();
        let whole = |i: &usize| {
            self.revisions[*i].1.iter().copied().filter(|t| !retired(t)).collect::<BTreeSet<_>>() == required
        };
        let others = self.active.iter().filter(|(tree, _)| !trees.contains(&Some(**tree)));
        let mut others = others.map(|(_, i)| new.is_subset(&self.revisions[*i].1));
        (chosen.iter().all(whole) && others.all(|has| has)).then_some(new)
    }
}

const TREES: [&str; 3] = ["bank/loans", "cash/loans", "_/loans"];

fn type_name(n: u8) -> String {
    format!("LOAN_OFFER{n}_SENT_COMPLETE_1")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_catalog_does_what_its_model_does(steps in steps()) {
        let mut place = Place::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Import { tree, types, declared } => {
                    let tree = TREES[tree];
                    let named = |set: &BTreeSet<u8>| set.iter().copied().map(type_name).collect::<Vec<_>>();
                    let (documents, list) = (named(&types), named(&declared));
                    let strs = |list: &Vec<String>| list.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
                    let (documents, list) = (strs(&documents), strs(&list));
                    let folder = place.folder(
                        &documents.iter().map(String::as_str).collect::<Vec<_>>(),
                        &list.iter().map(String::as_str).collect::<Vec<_>>(), "[]");
                    let imported = place.catalog.import(&folder, &tree.parse().unwrap()).unwrap();
                    let entry = (tree, types, declared);
                    let known = model.revisions.iter().position(|known| *known == entry);
                    prop_assert_eq!(imported.repeated, known.is_some());
                    let index = known.unwrap_or(model.revisions.len());
                    prop_assert_eq!(imported.revision as usize, index + 1);
                    if known.is_none() {
                        model.revisions.push(entry);
                    }
                }
                Step::Activate(chosen) => {
                    let trees: Vec<(TreeScope, u32)> = chosen.iter().map(|i| {
                        let tree = model.revisions.get(*i).map_or(TREES[0], |revision| revision.0);
                        (tree.parse().unwrap(), *i as u32 + 1)
                    }).collect();
                    let activated = place.catalog.activate(&trees);
                    let proof = model.proof(&chosen);
                    prop_assert_eq!(activated.is_ok(), proof.is_some(), "{:?}", activated);
                    if let Some(new) = proof {
                        model.known.extend(new.into_iter().map(|t| (t, false)));
                        for i in chosen {
                            model.active.insert(model.revisions[i].0, i);
                        }
                    }
                }
                Step::Declare(t) => {
                    let types = Declarations::of([type_name(t).parse().unwrap()]);
                    let declared = place.catalog.types_declare(&name("loans"), &types);
                    prop_assert_eq!(declared.is_err(), model.known.get(&t) == Some(&true));
                    model.known.entry(t).or_insert(false);
                }
                Step::Retire(t) => {
                    let retired = place.catalog.types_retire(&name("loans"), &type_name(t).parse().unwrap());
                    prop_assert_eq!(retired.is_ok(), model.known.contains_key(&t));
                    model.known.entry(t).and_modify(|retired| *retired = true);
                }
                Step::Reopen { rebuild } => {
                    place = place.reopen(|disk| if rebuild { disk.remove("catalog.redb").unwrap() });
                }
            }
            for scope in ["bank/loans", "cash/loans", "third/loans"] {
                let serving = model.active.get(scope).or_else(|| model.active.get("_/loans"));
                for t in 0..3 {
                    let expected = serving.filter(|i| model.revisions[**i].1.contains(&t) && model.known.get(&t) != Some(&true));
                    let routed = place.route(scope, None, &type_name(t)).ok();
                    prop_assert_eq!(routed, expected.map(|i| *i as u32 + 1), "{} {}", scope, t);
                }
            }
        }
    }
}
