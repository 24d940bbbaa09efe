//! Recorded history looked at again: explained, lifted, and routed by a tree that isn't active.

use serde_json::json;

use super::*;
use crate::config::{Declarations, TypeDeclaration, Upcast};
use crate::event::Event;
use crate::log::{Append, RecordedEvent};
use crate::routing::{Against, Compared, Counts, Differing, Trial, Upcaster, WhatIf, WhatIfOutcome};

const GUARDED: &str = r#"[{"name": "h", "when": ".data.n > 2", "data": "{n: .data.n}, .stream",
    "target": {"queue": "mail"}}]"#;

impl Place {
    /// Appends events of a type with these numbers, routed by what is active.
    fn ingest(&self, scope: &str, event_type: &str, numbers: std::ops::Range<u32>) {
        let scope: Scope = scope.parse().unwrap();
        for n in numbers {
            let mut event = Event::new(event_type, format!("s{}", n % 3)).data(&json!({ "n": n }));
            event.revision = self.router.route(&scope, None, event_type).ok().map(|plan| plan.revision);
            self.store.append(Append::to(&scope).event(event)).unwrap();
        }
    }

    fn last(&self) -> RecordedEvent {
        self.store.read(crate::log::Query::new().backward()).unwrap().next().unwrap().unwrap()
    }

    fn what_if(&self, dir: &Path, tree: &str, options: &WhatIf) -> (WhatIfOutcome, Vec<Differing>) {
        let mut told = Vec::new();
        let each = |differing| -> Result<(), RouteError> {
            told.push(differing);
            Ok(())
        };
        let outcome = self.router.what_if(&self.store, dir, &tree.parse().unwrap(), options, each, |_, _| {});
        (outcome.unwrap(), told)
    }
}

#[test]
fn a_recorded_event_is_explained_with_what_its_expressions_give() {
    let place = Place::new();
    let revision = place.import("bank/loans", &[A], GUARDED);
    place.activate(&[("bank/loans", revision)]).unwrap();
    place.ingest("bank/loans", A, 2..4);
    let event = place.last();
    let explained = place.router.explain_recorded(&event, revision).unwrap();
    assert_eq!(explained.file, "1/LOAN/OFFER/SENT/COMPLETE.json");
    let handler = &explained.handlers[0];
    let Some(Trial::Called(Some(calls))) = &handler.trial else { panic!("{handler:?}") };
    assert_eq!(calls.iter().map(|call| call.get()).collect::<Vec<_>>(), [r#"{"n":3}"#, "\"s0\""]);
    assert_eq!(handler.line, 1);
    let skipped = place.store.read(crate::log::Query::new()).unwrap().next().unwrap().unwrap();
    let explained = place.router.explain_recorded(&skipped, revision).unwrap();
    assert!(matches!(explained.handlers[0].trial, Some(Trial::Skipped)));
}

#[test]
fn history_is_routed_by_a_tree_that_is_not_active() {
    let place = Place::new();
    let first = place.import("_/loans", &[A, B], GUARDED);
    let own = place.import("cash/loans", &[A, B], "[]");
    place.activate(&[("_/loans", first), ("cash/loans", own)]).unwrap();
    place.ingest("bank/loans", A, 0..10_000);
    place.ingest("cash/loans", A, 0..10);
    place.ingest("bank/loans", B, 0..10);
    let end = place.store.durable_end();
    let folder = place.folder(&[A, B], &[], &GUARDED.replace("> 2", "> 4").replace("\"h\"", "\"h\", \"weight\": 3"));
    write(
        &folder.join("2/LOAN/OFFER/SENT/COMPLETE.json"),
        r#"{"handlers": [{"name": "new", "target": {"queue": "mail"}}]}"#,
    );
    let (outcome, told) = place.what_if(&folder, "_/loans", &WhatIf { in_full: 1, ..WhatIf::default() });
    assert_eq!(place.store.durable_end(), end, "nothing is written");
    // Of A, 3 and 4 are called no more; of B, all have the new handler, and seven had the old one.
    assert_eq!((outcome.events, outcome.differing, outcome.unrouted_before), (10_010, 12, 0));
    let h = outcome.handlers[&name("h")];
    let before = Counts { events: 9_997 + 7, calls: 2 * 10_004, skipped: 3 + 3, failed: 0 };
    let after = Counts { events: 9_995, calls: 2 * 9_995, skipped: 5, failed: 0 };
    assert_eq!(h, Compared { before, after });
    assert_eq!(outcome.handlers[&name("new")].after.events, 10);
    assert_eq!(told.iter().map(|differing| differing.position).collect::<Vec<_>>()[..3], [4, 5, 10_011]);
    let trials: Vec<bool> =
        told.iter().map(|d| d.handlers[0].before.as_ref().is_some_and(|before| before.trial.is_some())).collect();
    assert_eq!(trials.iter().filter(|told| **told).count(), 1, "one in full");
    // However many threads, and whatever part of the range.
    for threads in [1, 3, 8] {
        let (again, lines) = place.what_if(&folder, "_/loans", &WhatIf { threads, ..WhatIf::default() });
        assert_eq!((again, lines.len()), (outcome.clone(), told.len()));
    }
    let part = WhatIf { after: 4, up_to: Some(10_015), type_prefix: Some(A.to_owned()), ..WhatIf::default() };
    assert_eq!(place.what_if(&folder, "_/loans", &part).1.len(), 1);
    let scoped = WhatIf { scope: Some("cash/loans".parse().unwrap()), ..WhatIf::default() };
    assert_eq!(place.what_if(&folder, "_/loans", &scoped).0.events, 0, "its own tree serves it");
    // Against what is active now, once that is the folder itself, nothing differs; against what was recorded, as before.
    let second = place.catalog.import(&folder, &"_/loans".parse().unwrap()).unwrap().revision;
    place.activate(&[("_/loans", second)]).unwrap();
    let active = WhatIf { against: Against::Active, ..WhatIf::default() };
    assert_eq!(place.what_if(&folder, "_/loans", &active).0.differing, 0);
    assert_eq!(place.what_if(&folder, "_/loans", &WhatIf::default()).0.differing, 12);
}

#[test]
fn data_are_lifted_version_by_version() {
    let place = Place::new();
    let lifted = |event_type: &str, upcast| TypeDeclaration {
        upcast: Some(upcast),
        ..TypeDeclaration::of(event_type.parse().unwrap())
    };
    let third = "LOAN_OFFER_SENT_COMPLETE_3";
    let mut declared = Declarations::of([A.parse().unwrap()]);
    declared.types.push(lifted(B, Upcast::Jq("{amount: .data.n, was: .type}".to_owned())));
    declared.types.push(lifted(third, Upcast::Function("third".to_owned())));
    place.catalog.types_declare(&name("loans"), &declared).unwrap();
    place.ingest("bank/loans", A, 5..6);
    let error = place.router.lift(&place.last()).unwrap_err().to_string();
    assert!(error.contains(third) && error.contains("no upcast function \"third\""), "{error}");
    let upcasters = |gives: &'static str| {
        let upcaster = Upcaster::new(move |data| {
            assert!(data.starts_with(b"{\"amount\":5"));
            Ok(gives.as_bytes().to_vec())
        });
        BTreeMap::from([("third".to_owned(), upcaster)])
    };
    let router = Router::with_upcasters(place.catalog.clone(), upcasters("[3]"));
    let found = router.lift(&place.last()).unwrap();
    assert_eq!((found.event_type.as_str(), &found.data[..]), (third, &b"[3]"[..]));
    let router = Router::with_upcasters(place.catalog.clone(), upcasters("no json"));
    assert!(router.lift(&place.last()).unwrap_err().to_string().contains("gives no JSON"));
    place.ingest("bank/loans", third, 1..2);
    assert_eq!(&router.lift(&place.last()).unwrap().data[..], b"{\"n\":1}", "the newest stays as it is");
}
