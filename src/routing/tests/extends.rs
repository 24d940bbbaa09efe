//! Trees that extend another: what they take from it, what they refuse, and what becomes of them when it changes.

use super::*;
use crate::config::ActivateOptions;

const C: &str = "LOAN_OFFER_LOST_COMPLETE_1";
const CALL: &str = "[{\"name\": \"h\", \"target\": {\"queue\": \"mail\"}}]";

impl Place {
    /// A folder with these files alone.
    pub(super) fn files(&self, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = self.trees.path().join("files");
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        for (file, text) in files {
            write(&root.join(file), text);
        }
        root
    }

    pub(super) fn import_files(&self, tree: &str, files: &[(&str, &str)]) -> Result<u32, ConfigError> {
        Ok(self.catalog.import(&self.files(files), &tree.parse().unwrap())?.revision)
    }

    fn types(&self, tree: &str, revision: u32) -> Vec<String> {
        let shown = self.catalog.show(&tree.parse().unwrap(), revision).unwrap();
        shown.documents.keys().map(ToString::to_string).collect()
    }
}

fn tree(text: &str) -> TreeScope {
    text.parse().unwrap()
}

#[test]
fn a_tree_takes_what_it_does_not_say_itself() {
    let place = Place::new();
    let base = place.import("_/loans", &[A, B], "[]");
    place.activate(&[("_/loans", base)]).unwrap();
    let files = [
        ("tree.json", r#"{"extends": "_/loans"}"#),
        ("queues.json", r#"{"letters": {}}"#),
        ("2/loan/offer/sent/complete.json", r#"{"handlers": [{"name": "h", "target": {"queue": "mail"}}]}"#),
    ];
    let own = place.import_files("bank/loans", &files).unwrap();
    place.activate(&[("bank/loans", own)]).unwrap();
    assert_eq!(place.types("bank/loans", own), [A, B]);
    let plan = |scope: &str, event_type| place.router.route(&scope.parse().unwrap(), None, event_type).unwrap();
    assert_eq!(plan("bank/loans", B).handlers.len(), 1);
    assert_eq!((plan("bank/loans", A).handlers.len(), plan("other/loans", B).handlers.len()), (0, 0));
    let queues = place.catalog.queues(&"bank/loans".parse().unwrap());
    assert_eq!(queues.keys().map(Name::as_str).collect::<Vec<_>>(), ["letters", "mail"]);
    // What was written comes out again, and is the same revision.
    let out = place.trees.path().join("out");
    place.catalog.export(&tree("bank/loans"), own, &out).unwrap();
    let again = place.catalog.import(&out, &tree("bank/loans")).unwrap();
    assert!(again.repeated && again.revision == own);
    let everything = place.everything();
    let place = place.reopen(|disk| disk.remove("catalog.redb").unwrap());
    assert_eq!(place.everything(), everything);
}

#[test]
fn a_tree_that_removes_a_type_lacks_it() {
    let place = Place::new();
    let base = place.import("_/loans", &[A, B], "[]");
    let files = [("tree.json", format!(r#"{{"extends": "_/loans", "remove": ["{B}"]}}"#))];
    let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    let own = place.import_files("bank/loans", &files).unwrap();
    assert_eq!(place.types("bank/loans", own), [A]);
    assert!(matches!(place.activate(&[("_/loans", base), ("bank/loans", own)]), Err(ConfigError::Incomplete(_))));
    let files = [("tree.json", format!("{{\n \"extends\": \"_/loans\", \"remove\": [\"{C}\"]}}"))];
    let error = place.import_files("bank/loans", &[("tree.json", &files[0].1)]).unwrap_err().to_string();
    assert!(error.starts_with("tree.json:2:35: _/loans, revision 1, has no document for LOAN_OFFER_LOST"), "{error}");
}

#[test]
fn what_can_not_be_extended_is_refused_with_its_place() {
    let place = Place::new();
    let base = place.import("_/loans", &[A], "[]");
    place.activate(&[("_/loans", base)]).unwrap();
    let refused = |of: &str, extended: &str| {
        let text = format!("{{\"extends\": \"{extended}\"}}");
        place.import_files(of, &[("tree.json", &text)]).unwrap_err().to_string()
    };
    assert!(refused("bank/loans", "_/cards").starts_with("tree.json:1:13: the tree _/cards that this one extends"));
    assert!(refused("bank/cards", "_/loans").contains("of another application"));
    assert!(refused("_/loans", "_/loans").contains("_/loans would extend itself"));
    let own = place.import_files("bank/loans", &[("tree.json", r#"{"extends": "_/loans"}"#)]).unwrap();
    place.activate(&[("bank/loans", own)]).unwrap();
    assert!(refused("_/loans", "bank/loans").contains("_/loans would extend itself"));
}

#[test]
fn dependents_are_named_and_made_anew_in_the_same_activation() {
    let place = Place::new();
    let base = place.import("_/loans", &[A], "[]");
    place.activate(&[("_/loans", base)]).unwrap();
    let own = place.import_files("bank/loans", &[("tree.json", r#"{"extends": "_/loans"}"#)]).unwrap();
    place.activate(&[("bank/loans", own)]).unwrap();
    let variant = place.import_files("bank/loans/v", &[("tree.json", r#"{"extends": "bank/loans"}"#)]).unwrap();
    place.activate(&[("bank/loans/v", variant)]).unwrap();
    // A new type: the dependents lack it until they are made anew.
    let newer = place.import("_/loans", &[A, B], CALL);
    assert!(matches!(place.activate(&[("_/loans", newer)]), Err(ConfigError::Incomplete(_))));
    let options = ActivateOptions { dependents: true, ..ActivateOptions::default() };
    let activated = place.catalog.activate_with(&[(tree("_/loans"), newer)], &options).unwrap();
    assert_eq!(activated.trees.len(), 3, "{activated:?}");
    assert_eq!(place.store_records("act"), 4, "one activation for all");
    for scope in ["bank/loans", "third/loans"] {
        let plan = place.router.route(&scope.parse().unwrap(), Some("v"), B).unwrap();
        assert_eq!(plan.handlers.len(), 1, "{scope}");
    }
    // Without a new type they may stay behind, and are named.
    let third = place.import("_/loans", &[A, B], "[]");
    let activated = place.activate(&[("_/loans", third)]).unwrap();
    assert_eq!(activated.dependents, [tree("bank/loans")]);
    // One that no longer fits is refused, and nothing changes.
    let files = [
        ("tree.json", r#"{"extends": "_/loans"}"#),
        ("2/loan/offer/sent/complete.json", r#"{"handlers": [{"name": "h", "target": {"queue": "mail"}}]}"#),
    ];
    let own = place.import_files("bank/loans", &files).unwrap();
    place.activate(&[("bank/loans", own)]).unwrap();
    let without = place.folder(&[A, B], &[], "[]");
    std::fs::remove_file(without.join("queues.json")).unwrap();
    let without = place.catalog.import(&without, &tree("_/loans")).unwrap().revision;
    let error = place.catalog.activate_with(&[(tree("_/loans"), without)], &options).unwrap_err().to_string();
    assert!(error.contains("bank/loans: 2/loan/offer/sent/complete.json:1:49: unknown queue"), "{error}");
    assert_eq!(place.catalog.active(&tree("_/loans")).unwrap(), Some(third));
}

#[test]
fn as_many_trees_as_may_extend_each_other_are_routed_and_no_more_are_made() {
    let place = Place::new();
    // A whole one of many types, so that the first of the row is recorded as the difference from it.
    let names: Vec<String> = (0..8).map(|n| format!("LOAN_STEP{n}_DO_COMPLETE_1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let whole = place.import("whole/loans", &names, "[]");
    place.activate(&[("whole/loans", whole)]).unwrap();
    let folder = place.folder(&names, &[], "[]");
    write(&folder.join("1/LOAN/STEP0/DO/COMPLETE.json"), &format!("{{\"handlers\": {CALL}}}"));
    let first = place.catalog.import(&folder, &tree("t0/loans")).unwrap().revision;
    place.activate(&[("t0/loans", first)]).unwrap();
    let extend = |n: usize| {
        let text = format!("{{\"extends\": \"t{}/loans\"}}", n - 1);
        place.import_files(&format!("t{n}/loans"), &[("tree.json", &text)])
    };
    for n in 1..=crate::config::MAX_EXTENDS {
        let revision = extend(n).unwrap();
        place.activate(&[(&format!("t{n}/loans"), revision)]).unwrap();
    }
    for name in &names {
        assert!(place.route("t16/loans", None, name).is_ok(), "{name}");
    }
    assert!(matches!(place.route("t16/loans", None, C), Err(RouteError::NoDocument { .. })));
    assert!(extend(17).unwrap_err().to_string().contains("at most MAX_EXTENDS = 16"));
    // The row would grow at its other end: refused, before anything is recorded.
    place.import_files("t0/loans", &[("tree.json", r#"{"extends": "whole/loans"}"#)]).unwrap();
    let staged =
        place.catalog.trees().unwrap().into_iter().find(|known| known.tree == tree("t0/loans")).unwrap().latest;
    let options = ActivateOptions { dependents: true, ..ActivateOptions::default() };
    let error = place.catalog.activate_with(&[(tree("t0/loans"), staged)], &options).unwrap_err().to_string();
    assert!(error.contains("t16/loans: tree.json:1:1: t16/loans would extend 17 trees"), "{error}");
    let place = place.reopen(|disk| disk.remove("catalog.redb").unwrap());
    assert!(place.route("t16/loans", None, names[3]).is_ok());
}
