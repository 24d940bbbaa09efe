//! Avro records as schemas: what data fit them, what is refused, and which change is wide enough.

use super::*;
use crate::config::compatibility::stricter;
use crate::config::declaration::{SchemaFormat, SchemaRef};
use crate::config::document::DocumentId;
use crate::config::schema::{Validator, Violation};

/// The file of an aggregate: its state, a command, an event, and what they are made of.
const OFFER: &str = r#"[
  {"type": "record", "name": "Offer", "namespace": "offer", "fields": [
    {"name": "by", "type": {"type": "enum", "name": "Channel", "symbols": ["post", "mail"]}},
    {"name": "reviews", "type": {"type": "array", "items": {"type": "record", "name": "Review", "fields": [
      {"name": "who", "type": "string"}, {"name": "on", "type": {"type": "int", "logicalType": "date"}},
      {"name": "of", "type": ["null", "Review"], "default": null}]}}}]},
  {"type": "record", "name": "Send", "namespace": "offer", "fields": [{"name": "by", "type": "Channel"}]},
  {"type": "record", "name": "Sent", "namespace": "offer", "fields": [
    {"name": "amount", "type": "long"},
    {"name": "by", "type": ["null", "Channel"], "default": null},
    {"name": "rate", "type": ["int", "double", "string"]},
    {"name": "token", "type": {"type": "fixed", "name": "Token", "size": 2}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
    {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
    {"name": "review", "type": ["null", "Review"], "default": null}]}]"#;

fn compile(text: &str, name: Option<&str>) -> Result<Validator, Unusable> {
    let document = DocumentId::of(text.as_bytes());
    let schema = SchemaRef { format: SchemaFormat::Avro, document, name: name.map(str::to_owned) };
    Validator::compile(&schema, text.as_bytes())
}

fn refusal(text: &str, name: Option<&str>) -> String {
    let Unusable { what, expected } = compile(text, name).map(drop).unwrap_err();
    format!("{what}; expected {expected}")
}

#[test]
fn data_are_held_against_a_record() {
    let sent = compile(OFFER, Some("Sent")).unwrap();
    let fits = |data: &str| sent.validate(data.as_bytes());
    fits(r#"{"amount": 9223372036854775807, "rate": 1, "token": "\u00ff\n"}"#).unwrap();
    fits(
        r#"{"amount": 1, "rate": "x", "token": "ab", "by": "post", "tags": {"a": "b"}, "at": 5,
        "review": {"who": "a", "on": 3, "of": {"who": "b", "on": 4}}}"#,
    )
    .unwrap();
    for (data, path, found) in [
        (r#"{"rate": 1, "token": "ab"}"#, "", "\"amount\" is a required property"),
        (r#"{"amount": 1.5, "rate": 1, "token": "ab"}"#, "/amount", "1.5"),
        (r#"{"amount": 9223372036854775808, "rate": 1, "token": "ab"}"#, "/amount", "9223372036854775808"),
        (r#"{"amount": 1, "rate": null, "token": "ab"}"#, "/rate", "null"),
        (r#"{"amount": 1, "rate": 1, "token": "abc"}"#, "/token", "abc"),
        (r#"{"amount": 1, "rate": 1, "token": "a\u0100"}"#, "/token", "\u{100}"),
        (r#"{"amount": 1, "rate": 1, "token": "ab", "by": "fax"}"#, "/by", "fax"),
        (r#"{"amount": 1, "rate": 1, "token": "ab", "tags": {"a": 1}}"#, "/tags/a", "1"),
        (r#"{"amount": 1, "rate": 1, "token": "ab", "amuont": 1}"#, "", "amuont"),
        (
            r#"{"amount": 1, "rate": 1, "token": "ab", "review": {"who": "a", "on": 3, "of": {"who": "b", "on": 4294967296}}}"#,
            "/review/of",
            "4294967296",
        ),
    ] {
        let Violation { path: at, rule, found: what } = fits(data).unwrap_err();
        assert!(at == path && what.contains(found), "{data}: at {at}, rule {rule}: {what}");
    }
    let send = compile(OFFER, Some("Send")).unwrap();
    assert!(send.validate(br#"{"by": "post"}"#).is_ok() && send.validate(b"{}").is_err());
    assert!(compile(OFFER, Some("Offer")).unwrap().validate(br#"{"by": "mail", "reviews": []}"#).is_ok());
}

#[test]
fn what_is_no_record_of_an_aggregate_is_refused() {
    let record = |name: &str, namespace: &str, fields: &str| {
        format!(r#"{{"type": "record", "name": "{name}", "namespace": "{namespace}", "fields": [{fields}]}}"#)
    };
    for (text, name, expected) in [
        (
            OFFER.to_owned(),
            None,
            "the schema holds 3 records; expected the file and one of them, such as \"...#Offer\"",
        ),
        (
            OFFER.to_owned(),
            Some("Sned"),
            "no record \"Sned\"; expected one of Offer, Send, Sent (did you mean \"Send\"?)",
        ),
        (
            format!("[{}, {}]", record("A", "a", ""), record("B", "b", "")),
            Some("A"),
            "the namespaces of the records are a, b",
        ),
        (r#"{"type": "record", "name": "A", "fields": []}"#.to_owned(), None, "the namespaces of the records are none"),
        (r#""string""#.to_owned(), None, "the schema is no record"),
        (r#"["null", "string"]"#.to_owned(), None, "the schema is no record"),
        ("[".to_owned(), None, "the schema: "),
        (record("A", "a", r#"{"name": "x", "type": "Unknown"}"#), None, "the schema: "),
        (record("A", "a", r#"{"name": "x", "type": "int", "default": "x"}"#), None, "the schema: "),
        (record("A", "a", r#"{"name": "x-y", "type": "int"}"#), None, "the schema: "),
        (" ".repeat(MAX_SCHEMA_LEN + 1), None, "MAX_SCHEMA_LEN"),
    ] {
        let refused = refusal(&text, name);
        assert!(refused.contains(expected), "{expected}\nnot in\n{refused}");
    }
}

/// Each record names the one before twice: written out they would be two to the power of their number.
#[test]
fn types_that_grow_without_bound_are_refused() {
    let first = r#"{"type": "record", "name": "R0", "namespace": "a", "fields": []}"#.to_owned();
    let doubled = |n: usize| {
        let before = n - 1;
        format!(
            r#"{{"type": "record", "name": "R{n}", "namespace": "a", "fields": [
                {{"name": "x", "type": "R{before}"}}, {{"name": "y", "type": "R{before}"}}]}}"#
        )
    };
    let file: Vec<String> = std::iter::once(first.clone()).chain((1..16).map(doubled)).collect();
    assert!(refusal(&format!("[{}]", file.join(",")), Some("R15")).contains("MAX_AVRO_TYPES"));
    let nested = |n: usize| {
        format!(
            r#"{{"type": "record", "name": "R{n}", "namespace": "a", "fields": [{{"name": "x", "type": "R{}"}}]}}"#,
            n - 1
        )
    };
    let file: Vec<String> = std::iter::once(first).chain((1..500).map(nested)).collect();
    assert!(refusal(&format!("[{}]", file.join(",")), Some("R499")).contains("MAX_AVRO_DEPTH"));
}

#[test]
fn a_record_may_become_wider_and_no_stricter() {
    let record = |fields: &str| {
        let text = format!(r#"{{"type": "record", "name": "A", "namespace": "a", "fields": [{fields}]}}"#);
        as_json_schema(text.as_bytes(), None).unwrap()
    };
    let with = |n: &str, symbols: &str, u: &str, more: &str| {
        record(&format!(
            r#"{{"name": "n", {n}}}, {{"name": "c", "type": {{"type": "enum", "name": "C", "symbols": [{symbols}]}}}},
            {{"name": "u", "type": [{u}]}}{more}"#
        ))
    };
    let (int, two, union) = (r#""type": "int""#, r#""x", "y""#, r#""int", "string""#);
    let old = with(int, two, union, "");
    for (new, wide) in [
        (with(r#""type": "long""#, two, union, ""), true),
        (with(r#""type": "double""#, two, union, ""), true),
        (with(r#""type": "int", "default": 3"#, two, union, ""), true),
        (with(int, r#""x", "y", "z""#, union, ""), true),
        (with(int, two, r#""null", "string", "long""#, ""), true),
        (with(int, two, union, r#", {"name": "d", "type": "string", "default": ""}"#), true),
        (with(r#""type": "string""#, two, union, ""), false),
        (with(int, r#""x""#, union, ""), false),
        (with(int, two, r#""null", "int""#, ""), false),
        (with(int, two, union, r#", {"name": "d", "type": "string"}"#), false),
        (record(r#"{"name": "n", "type": "int"}"#), false),
    ] {
        assert_eq!(stricter(&old, &new).is_none(), wide, "{new}: {:?}", stricter(&old, &new));
    }
}
