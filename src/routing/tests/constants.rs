//! Constants: tenants that differ by values and not by copies.

use super::*;
use crate::routing::Input;

const ONE: &str = "2/loan/offer/sent/complete.json";

#[test]
fn trees_differ_by_constants() {
    let place = Place::new();
    let document = r#"{"handlers": [{"name": "h", "when": ".data.amount > $const.limit",
        "data": "{region: $const.region, limit: $const.limit}", "target": {"queue": "mail"}}]}"#;
    let base = [
        ("queues.json", r#"{"mail": {}}"#),
        ("constants.json", r#"{"limit": 100, "region": "eu"}"#),
        ("types.json", &format!("[\"{B}\"]")),
        (ONE, document),
    ];
    let base = place.import_files("_/loans", &base).unwrap();
    let files = [("tree.json", r#"{"extends": "_/loans"}"#), ("constants.json", r#"{"limit": 10}"#)];
    place.activate(&[("_/loans", base)]).unwrap();
    let own = place.import_files("bank/loans", &files).unwrap();
    place.activate(&[("bank/loans", own)]).unwrap();
    let calls = |scope: &str, amount: u32| {
        let plan = place.router.route(&scope.parse().unwrap(), None, B).unwrap();
        let input = Input::from_json(format!("{{\"data\":{{\"amount\":{amount}}}}}").as_bytes()).unwrap();
        let input = input.beside(&plan.constants);
        let handler = &plan.handlers[0];
        assert!(
            handler.when.as_ref().unwrap().first_is_true(&input).unwrap() == (amount > 100 || scope == "bank/loans")
        );
        handler.data.as_ref().unwrap().outputs(&input).unwrap()
    };
    assert_eq!(calls("bank/loans", 50)[0], r#"{"region":"eu","limit":10}"#);
    assert_eq!(calls("other/loans", 101)[0], r#"{"region":"eu","limit":100}"#);
}

#[test]
fn a_constant_that_is_not_there_is_a_fault_with_its_place() {
    let place = Place::new();
    let document = "{\"handlers\": [{\"name\": \"h\", \"target\": {\"queue\": \"mail\"},\n\
                    \"when\": \"$const.regoin == 1\", \"data\": \"1 as $const | 2\"}]}";
    let files = [("queues.json", "{\"mail\": {}}"), ("constants.json", "{\"region\": 1}"), (ONE, document)];
    let error = place.import_files("bank/loans", &files).unwrap_err().to_string();
    let expected = "2/loan/offer/sent/complete.json:2:17: when: unknown constant \"regoin\"; \
                    expected a constant of constants.json (did you mean \"region\"?)";
    assert_eq!(error.lines().next().unwrap(), expected);
    assert!(error.lines().nth(1).unwrap().contains("the variable $const can't be bound"), "{error}");
}
