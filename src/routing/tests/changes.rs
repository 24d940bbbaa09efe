//! Changes of what is active: seen before they are made, refused where somebody was quicker, and taken back.

use super::*;
use crate::config::{ActivateOptions, Change};

const CALL: &str = "[{\"name\": \"h\", \"weight\": 5, \"target\": {\"queue\": \"mail\"}}]";

fn tree(text: &str) -> TreeScope {
    text.parse().unwrap()
}

#[test]
fn a_plan_says_what_an_activation_would_change() {
    let place = Place::new();
    let first = place.import("bank/loans", &[A, B], CALL);
    place.activate(&[("bank/loans", first)]).unwrap();
    assert!(place.catalog.plan(&tree("bank/loans"), first).unwrap().is_empty());
    let folder = place.folder(&[A, "LOAN_OFFER_LOST_COMPLETE_1"], &[], &CALL.replace('5', "6"));
    write(&folder.join("queues.json"), "{\"mail\": {}, \"letters\": {}}");
    write(&folder.join("constants.json"), "{\"region\": \"eu\"}");
    let before = place.store.durable_end();
    let of_folder = place.catalog.plan_folder(&folder, &tree("bank/loans")).unwrap();
    assert_eq!(place.store.durable_end(), before);
    let second = place.catalog.import(&folder, &tree("bank/loans")).unwrap().revision;
    let plan = place.catalog.plan(&tree("bank/loans"), second).unwrap();
    assert_eq!((plan.documents.clone(), plan.active), (of_folder.documents, Some(first)));
    let documents: Vec<_> = plan.documents.iter().map(|d| (d.event_type.as_str(), d.change)).collect();
    let expected = [("LOAN_OFFER_LOST_COMPLETE_1", Change::Added), (A, Change::Changed), (B, Change::Removed)];
    assert_eq!(documents, expected);
    let handler = &plan.documents[1].handlers[0];
    assert_eq!((handler.name.as_str(), handler.change), ("h", Change::Changed));
    let weight = &handler.keys["weight"];
    assert_eq!((weight.before.as_deref(), weight.after.as_deref(), handler.keys.len()), (Some("5"), Some("6"), 1));
    assert_eq!(plan.queues.values().collect::<Vec<_>>(), [&Change::Added, &Change::Changed]);
    assert_eq!(plan.constants["region"].after.as_deref(), Some("\"eu\""));
}

#[test]
fn a_plan_says_what_an_activation_would_be_refused_for() {
    let place = Place::new();
    let first = place.import("bank/loans", &[A, B], CALL);
    place.activate(&[("bank/loans", first)]).unwrap();
    let other = place.import("cash/loans", &[A], CALL);
    let plan = place.catalog.plan(&tree("cash/loans"), other).unwrap();
    assert_eq!(plan.refused.len(), 1);
    assert!(plan.refused[0].to_string().contains(&format!("no document for type {B}")), "{:?}", plan.refused);
    assert!(
        matches!(place.activate(&[("cash/loans", other)]), Err(ConfigError::Incomplete(gaps)) if gaps == plan.refused)
    );
    let folder = place.folder(&[A], &[], CALL);
    assert_eq!(place.catalog.plan_folder(&folder, &tree("cash/loans")).unwrap().refused, plan.refused);
    assert!(place.catalog.plan(&tree("bank/loans"), first).unwrap().refused.is_empty());
}

#[test]
fn an_editor_who_was_slower_is_told() {
    let place = Place::new();
    let (first, second) = (place.import("bank/loans", &[A], "[]"), place.import("bank/loans", &[A], CALL));
    let activate = |revision, expected| {
        let options = ActivateOptions { expected: vec![(tree("bank/loans"), expected)], dependents: false };
        place.catalog.activate_with(&[(tree("bank/loans"), revision)], &options)
    };
    activate(first, None).unwrap();
    let error = activate(second, None).unwrap_err();
    assert!(error.to_string().contains("bank/loans: revision 1 is active; expected no revision"), "{error}");
    assert_eq!(place.route("bank/loans", None, A).unwrap(), first);
    activate(second, Some(first)).unwrap();
    assert!(matches!(activate(first, Some(first)), Err(ConfigError::Changed { .. })));
    let options = ActivateOptions { expected: vec![(tree("cash/loans"), None)], dependents: false };
    let other = place.catalog.activate_with(&[(tree("bank/loans"), first)], &options).unwrap_err().to_string();
    assert!(other.contains("cash/loans is not activated here"), "{other}");
}

#[test]
fn a_rollback_activates_what_was_active_before_and_says_why() {
    let place = Place::new();
    let scope = tree("bank/loans");
    let options = ActivateOptions::default();
    let rollback = |to| place.catalog.with_actor("desk 7").rollback(&scope, to, &options);
    assert!(matches!(rollback(None), Err(ConfigError::NothingBefore { .. })));
    let first = place.import("bank/loans", &[A], "[]");
    place.activate(&[("bank/loans", first)]).unwrap();
    assert!(matches!(rollback(None), Err(ConfigError::NothingBefore { .. })));
    let second = place.import("bank/loans", &[A], CALL);
    let staged = place.import("bank/loans", &[A], &CALL.replace('5', "9"));
    place.activate(&[("bank/loans", second)]).unwrap();
    assert_eq!(rollback(None).unwrap().trees, [(scope.clone(), first, Some(second))]);
    assert_eq!(place.route("bank/loans", None, A).unwrap(), first);
    for never in [staged, 99, first] {
        assert!(matches!(rollback(Some(never)), Err(ConfigError::NothingBefore { .. })), "{never}");
    }
    assert_eq!(rollback(Some(second)).unwrap().trees[0].1, second);
    let history = place.catalog.history(&scope).unwrap();
    let last = history.last().unwrap();
    assert_eq!((last.actor.as_deref(), last.reason.as_deref()), (Some("desk 7"), Some("rollback from 1")));
}
