//! What hosts can do with configuration without a store: a first tree from events, and expressions on their own.

use atlas::config::{ConfigError, init};
use atlas::routing::{Expression, ExpressionError, Input};

/// The promise of the guide's first command: what is written has a document for each type, and one file a type.
#[test]
fn a_first_tree_has_a_document_for_each_type_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let line = |t: &str| format!(r#"{{"type":"{t}","stream":"s","tenant":"t","application":"loans","data":{{}}}}"#);
    let lines = [line("LOAN_OFFER_SENT_COMPLETE_1"), line("LOAN_OFFER_SENT_COMPLETE_2")].join("\n");
    let tree = dir.path().join("tree");
    assert_eq!(init(&tree, lines.as_bytes()).unwrap().events, 2);
    for version in ["1", "2"] {
        let file = tree.join(version).join("loan/offer/sent/complete.json");
        assert!(std::fs::read_to_string(file).unwrap().contains("\"handlers\": []"));
    }
    assert!(matches!(init(&tree, lines.as_bytes()), Err(ConfigError::NotEmpty { .. })));
}

/// The expressions of the guide's example document.
#[test]
fn the_expressions_of_the_guide_do_what_it_says() {
    let input = Input::from_json(br#"{"stream":"loan-1","data":{"amount_requested":20000}}"#).unwrap();
    let guide = include_str!("../docs/configuration.md");
    for (source, expected) in [
        (".data.amount_requested > 10000", "true"),
        ("{loan: .stream, amount: .data.amount_requested}", r#"{"loan":"loan-1","amount":20000}"#),
    ] {
        assert!(guide.contains(source), "{source}");
        assert_eq!(Expression::compile(source).unwrap().outputs(&input).unwrap(), [expected]);
    }
    let refused = Expression::compile("def f: f; f").unwrap_err();
    assert!(matches!(refused, ExpressionError::Invalid { line: 1, column: 1, .. }), "{refused}");
}
