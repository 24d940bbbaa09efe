//! Trees of one application are much alike: what they share is stored once, and nobody can tell.

use super::*;

/// Seven types.
fn types() -> Vec<String> {
    (0..7).map(|n| format!("LOAN_STEP{n}_DO_COMPLETE_1")).collect()
}

#[test]
fn a_revision_that_differs_little_is_recorded_as_the_difference() {
    let place = Place::new();
    let names = types();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    place.import("bank/loans", &names, "[]");
    let size = |place: &Place| {
        let records = place.store.records(crate::log::RecordKind::Configuration, crate::log::Address::START).unwrap();
        records.map(|record| record.unwrap().body.len()).sum::<usize>()
    };
    let whole = size(&place);
    let folder = place.folder(&names[1..], &names, "[]");
    write(&folder.join("1/loan/step1/do/complete.json"), "{\"handlers\": [], \"description\": \"other\"}");
    std::fs::remove_file(folder.join("1/LOAN/STEP1/DO/COMPLETE.json")).unwrap();
    let revision = place.catalog.import(&folder, &"cash/loans".parse().unwrap()).unwrap().revision;
    assert!((size(&place) - whole) * 3 < whole, "{} after {whole}", size(&place) - whole);
    let shown = place.catalog.show(&"cash/loans".parse().unwrap(), revision).unwrap();
    assert_eq!(shown.documents.len(), 6);
    assert_eq!(shown.files[names[1]], "1/loan/step1/do/complete.json");
    let everything = place.everything();
    let place = place.reopen(|disk| disk.remove("catalog.redb").unwrap());
    assert_eq!(place.everything(), everything);
    let out = place.trees.path().join("out");
    assert_eq!(place.catalog.export(&"cash/loans".parse().unwrap(), revision, &out).unwrap().files, 8);
    assert!(place.catalog.import(&out, &"cash/loans".parse().unwrap()).unwrap().repeated);
}
