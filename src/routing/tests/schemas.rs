//! Schemas of types: declared with them, held against events, changed only where nothing that was right becomes wrong.

use super::*;
use crate::config::read_types;
use crate::event::Event;

fn schema(text: &str) -> String {
    format!("[{{\"type\": \"{A}\", \"schema\": {text}}}]")
}

impl Place {
    fn declare(&self, files: &[(&str, &str)]) -> Result<crate::config::Declared, ConfigError> {
        self.catalog.types_declare(&name("loans"), &read_types(&self.files(files))?)
    }

    fn admit(&self, data: &str) -> Result<(), RouteError> {
        let event = Event::new(A, "s").json(data.to_owned());
        self.router.admit(&"bank/loans".parse().unwrap(), &event).map(drop)
    }
}

#[test]
fn data_are_held_against_the_schema_of_their_type() {
    let place = Place::new();
    let document = "1/loan/offer/sent/complete.json";
    let types = schema(r#"{"type": "object", "required": ["amount"], "properties": {"amount": {"minimum": 1}}}"#);
    let files = [("types.json", types.as_str()), (document, "{\"handlers\": []}")];
    let revision = place.import_files("bank/loans", &files).unwrap();
    place.activate(&[("bank/loans", revision)]).unwrap();
    assert!(place.admit("{\"amount\": 5}").is_ok());
    let error = place.admit("{\"amount\": 0}").unwrap_err().to_string();
    assert!(error.contains("at \"/amount\", rule \"/properties/amount/minimum\": 0 is less than"), "{error}");
    let bytes = Event::new(A, "s").bytes("text/plain", "x");
    assert!(place.router.admit(&"bank/loans".parse().unwrap(), &bytes).is_err());
    let place = place.reopen(|disk| disk.remove("catalog.redb").unwrap());
    assert!(place.admit("{}").unwrap_err().to_string().contains("\"amount\" is a required property"));
}

#[test]
fn a_schema_may_only_become_wider() {
    let place = Place::new();
    let first = schema(r#"{"properties": {"a": {"maximum": 9}}}"#);
    assert_eq!(place.declare(&[("types.json", &first)]).unwrap().added.len(), 1);
    let narrower = schema(r#"{"properties": {"a": {"maximum": 8}}}"#);
    let error = place.declare(&[("types.json", &narrower)]).unwrap_err().to_string();
    assert!(error.contains("\"/properties/a/maximum\": the limit is lower than before"), "{error}");
    // The same of a tree that declares it.
    let files = [("types.json", narrower.as_str()), ("1/loan/offer/sent/complete.json", "{\"handlers\": []}")];
    let narrow = place.import_files("bank/loans", &files).unwrap();
    assert!(matches!(place.activate(&[("bank/loans", narrow)]), Err(ConfigError::Incomplete(_))));
    let wider = place.declare(&[
        (
            "types.json",
            "[{\"type\": \"LOAN_OFFER_SENT_COMPLETE_1\", \
        \"schema\": \"schemas/a.json\"}]",
        ),
        ("schemas/a.json", "{}"),
    ]);
    assert_eq!(wider.unwrap().changed.len(), 1);
    assert_eq!(place.declare(&[("types.json", &first)]).unwrap_err().to_string().lines().count(), 1);
}

/// A tree that still has an older schema is behind, and stands in nobody's way: neither a rollback's nor its tenant's.
#[test]
fn trees_with_an_older_schema_can_still_be_activated() {
    let place = Place::new();
    let document = ("1/loan/offer/sent/complete.json", "{\"handlers\": []}");
    let (narrow, wide) = (schema(r#"{"maximum": 9}"#), schema(r#"{"maximum": 10}"#));
    let import = |tree: &str, types: &str| place.import_files(tree, &[("types.json", types), document]).unwrap();
    let first = import("bank/loans", &narrow);
    place.activate(&[("bank/loans", first)]).unwrap();
    let other = import("cash/loans", &narrow);
    place.activate(&[("bank/loans", import("bank/loans", &wide))]).unwrap();
    assert!(place.admit("10").is_ok());
    let activated = place.activate(&[("cash/loans", other)]).unwrap();
    assert!(activated.warnings[0].contains("older schema or upcast of LOAN_OFFER_SENT_COMPLETE_1"), "{activated:?}");
    place.catalog.rollback(&"bank/loans".parse().unwrap(), None, &Default::default()).unwrap();
    assert!(place.admit("10").is_ok() && place.admit("11").is_err(), "what is in use stays");
}

#[test]
fn an_upcast_needs_the_version_before() {
    let place = Place::new();
    let lifted = r#"[{"type": "LOAN_OFFER_SENT_COMPLETE_4", "upcast": ".data"}]"#;
    let error = place.declare(&[("types.json", lifted)]).unwrap_err().to_string();
    assert!(error.contains("upcast, from LOAN_OFFER_SENT_COMPLETE_3, which is not in the catalogue"), "{error}");
    let bad =
        r#"[{"type": "LOAN_OFFER_LOST_COMPLETE_1"}, {"type": "LOAN_OFFER_LOST_COMPLETE_2", "upcast": ".data |"}]"#;
    assert!(place.declare(&[("types.json", bad)]).unwrap_err().to_string().contains("the upcast of LOAN_OFFER_LOST"));
    assert_eq!(place.declare(&[("types.json", &bad.replace(" |", ""))]).unwrap().added.len(), 2);
}

#[test]
fn a_host_knows_its_upcast_functions() {
    let (later, document) = ("LOAN_OFFER_SENT_COMPLETE_2", "{\"handlers\": []}");
    let types = format!(r#"["{A}", {{"type": "{later}", "upcast": {{"function": "offer.lift"}}}}]"#);
    let files = [
        ("types.json", types.as_str()),
        ("1/loan/offer/sent/complete.json", document),
        ("2/loan/offer/sent/complete.json", document),
    ];
    let host = |known: &str| {
        let known = Some(BTreeSet::from([known.to_owned()]));
        Place::with(Bindings { upcasters: known, ..Bindings::default() }).import_files("bank/loans", &files)
    };
    let error = host("offer.lifted").unwrap_err().to_string();
    assert!(error.contains("types.json:1:94: unknown function \"offer.lift\""), "{error}");
    assert!(error.contains("(did you mean \"offer.lifted\"?)"), "{error}");
    assert!(host("offer.lift").is_ok() && Place::new().import_files("bank/loans", &files).is_ok());
}

/// One catalogue for all tenants: whose tree declares another upcast says so to whoever activates it.
#[test]
fn an_upcast_of_another_tenant_is_not_replaced_unseen() {
    let place = Place::new();
    let (later, document) = ("LOAN_OFFER_SENT_COMPLETE_2", "{\"handlers\": []}");
    let activate = |tree: &str, upcast: &str| {
        let types = format!(r#"["{A}", {{"type": "{later}", "upcast": "{upcast}"}}]"#);
        let documents = ["1/loan/offer/sent/complete.json", "2/loan/offer/sent/complete.json"].map(|f| (f, document));
        let files = [("types.json", types.as_str()), documents[0], documents[1]];
        let revision = place.import_files(tree, &files).unwrap();
        place.activate(&[(tree, revision)]).unwrap().warnings
    };
    assert!(activate("bank/loans", ".data").is_empty() && activate("cash/loans", ".data").is_empty());
    let warnings = activate("cash/loans", ".data + {a: 1}");
    let expected = "cash/loans: types.json replaces the upcast to LOAN_OFFER_SENT_COMPLETE_2, for all tenants of loans";
    assert_eq!(warnings, [expected]);
}

/// The file of an aggregate: its events are records of it, and change only where nothing that was right becomes wrong.
#[test]
fn records_of_an_avro_file_are_schemas() {
    let place = Place::new();
    let file = |fields: &str| {
        format!(
            r#"[{{"type": "record", "name": "Send", "namespace": "offer", "fields": []}},
            {{"type": "record", "name": "Sent", "namespace": "offer", "fields": [{fields}]}}]"#
        )
    };
    let types = format!(r#"[{{"type": "{A}", "schema": "schemas/offer.avsc#Sent"}}]"#);
    let import = |avsc: &str| {
        let document = ("1/loan/offer/sent/complete.json", "{\"handlers\": []}");
        place.import_files("bank/loans", &[("types.json", types.as_str()), ("schemas/offer.avsc", avsc), document])
    };
    let first = import(&file(r#"{"name": "amount", "type": "int"}"#)).unwrap();
    place.activate(&[("bank/loans", first)]).unwrap();
    assert!(place.admit("{\"amount\": 5}").is_ok());
    let error = place.admit("{\"amount\": 2147483648}").unwrap_err().to_string();
    assert!(error.contains("at \"/amount\", rule \"/properties/amount/maximum\": 2147483648"), "{error}");
    let narrower = import(&file(r#"{"name": "amount", "type": "int"}, {"name": "by", "type": "string"}"#)).unwrap();
    let error = place.activate(&[("bank/loans", narrower)]).unwrap_err().to_string();
    assert!(error.contains("\"by\" was not required before"), "{error}");
    let wider = file(r#"{"name": "amount", "type": "long"}, {"name": "by", "type": "string", "default": "post"}"#);
    let wider = import(&wider).unwrap();
    place.activate(&[("bank/loans", wider)]).unwrap();
    assert!(place.admit("{\"amount\": 2147483648, \"by\": \"mail\"}").is_ok());
    let error = import("{").unwrap_err().to_string();
    assert!(error.contains("schemas/offer.avsc:1:2: unexpected end of the file"), "{error}");
    let place = place.reopen(|disk| disk.remove("catalog.redb").unwrap());
    assert!(place.admit("{\"amount\": 2147483648}").is_ok() && place.admit("{}").is_err());
}
