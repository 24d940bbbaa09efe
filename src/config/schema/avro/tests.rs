//! Avro records as schemas: what data fit them, what is refused and where, which change is wide enough, and that the crate
//! `apache-avro` says the same.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::read;
use crate::config::compatibility::stricter;
use crate::config::declaration::{SchemaFormat, SchemaRef};
use crate::config::document::DocumentId;
use crate::config::json::Source;
use crate::config::schema::{MAX_SCHEMA_LEN, Unusable, check_file};

/// The file of an aggregate: its state, a command, an event, and what they are made of.
const OFFER: &str = r#"[
  {"type": "record", "name": "Offer", "namespace": "offer", "fields": [
    {"name": "by", "type": "Channel"},
    {"name": "reviews", "type": {"type": "array", "items": {"type": "record", "name": "Review", "fields": [
      {"name": "who", "type": {"type": "string", "logicalType": "uuid"}}, {"name": "on", "type": {"type": "int", "logicalType": "date"}},
      {"name": "of", "type": ["null", "offer.Review"], "default": null}]}}}]},
  {"type": "enum", "name": "Channel", "namespace": "offer", "symbols": ["post", "mail"]},
  {"type": "record", "name": "Send", "namespace": "offer", "fields": [{"name": "by", "type": "Channel"}]},
  {"type": "record", "name": "Sent", "namespace": "offer", "fields": [
    {"name": "amount", "type": "long"},
    {"name": "by", "type": ["null", "Channel"], "default": null},
    {"name": "rate", "type": ["int", "double", "string"]},
    {"name": "token", "type": {"type": "fixed", "name": "Token", "namespace": "shared", "size": 2}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "default": ""},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
    {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
    {"name": "again", "type": ["null", "shared.Token"], "default": null},
    {"name": "review", "type": ["null", "Review"], "default": null}]}]"#;

const WHO: &str = "01912f0e-0000-7000-8000-000000000001";

fn schema_of(text: &str, name: Option<&str>) -> Result<Json, Unusable> {
    let document = DocumentId::of(text.as_bytes());
    let schema = SchemaRef { format: SchemaFormat::Avro, document, name: name.map(str::to_owned) };
    crate::config::schema::as_json_schema(&schema, text.as_bytes())
}

fn refusal(text: &str, name: Option<&str>) -> String {
    let Unusable { what, expected, .. } = schema_of(text, name).unwrap_err();
    format!("{what}; expected {expected}")
}

fn faults(text: &str) -> String {
    let mut source = Source::new("a.avsc", text.as_bytes()).unwrap();
    assert!(check_file(SchemaFormat::Avro, &mut source).is_none(), "{text}");
    source.faults.iter().map(|fault| fault.to_string() + "\n").collect()
}

fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "{name}", "namespace": "a", "fields": [{fields}]}}"#)
}

#[test]
fn data_are_held_against_a_record() {
    use crate::config::schema::{Validator, Violation};
    let compile = |name: &str| {
        let document = DocumentId::of(OFFER.as_bytes());
        let schema = SchemaRef { format: SchemaFormat::Avro, document, name: Some(name.to_owned()) };
        Validator::compile(&schema, OFFER.as_bytes()).unwrap()
    };
    let sent = compile("Sent");
    let with = |more: &str| format!(r#"{{"amount": 1, "rate": 1, "token": "ab"{more}}}"#);
    let fits = |data: &str| sent.validate(data.as_bytes());
    fits(r#"{"amount": 9223372036854775807, "rate": 1, "token": "\u00ff\n"}"#).unwrap();
    fits(&with(r#", "by": null, "tags": {"a": "b"}, "at": 5, "again": "xy", "price": "\u0001""#)).unwrap();
    fits(&with(&format!(r#", "review": {{"who": "{WHO}", "on": 3, "of": {{"who": "{WHO}", "on": 4}}}}"#))).unwrap();
    let deep = format!(r#", "review": {{"who": "{WHO}", "on": 3, "of": {{"who": "{WHO}", "on": 4294967296}}}}"#);
    for (data, path, found) in [
        (r#"{"rate": 1, "token": "ab"}"#.to_owned(), "", "\"amount\" is a required property"),
        (r#"{"amount": 1.5, "rate": 1, "token": "ab"}"#.to_owned(), "/amount", "1.5"),
        (r#"{"amount": 9223372036854775808, "rate": 1, "token": "ab"}"#.to_owned(), "/amount", "9223372036854775808"),
        (r#"{"amount": 1, "rate": null, "token": "ab"}"#.to_owned(), "/rate", "null fits none of 3 alternatives"),
        (r#"{"amount": 1, "rate": 1, "token": "abc"}"#.to_owned(), "/token", "abc"),
        (r#"{"amount": 1, "rate": 1, "token": "a\u0100"}"#.to_owned(), "/token", "\u{100}"),
        (with(r#", "by": "fax""#), "/by", "fax"),
        (with(r#", "again": "x""#), "/again", "\"x\""),
        (with(r#", "tags": {"a": 1}"#), "/tags/a", "1"),
        (with(r#", "amuont": 1"#), "", "amuont"),
        (with(r#", "review": {"who": "me", "on": 1}"#), "/review/who", "me"),
        (with(&deep), "/review/of/on", "4294967296"),
    ] {
        let Violation { path: at, rule, found: what } = fits(&data).unwrap_err();
        assert!(at == path && what.contains(found), "{data}: at {at}, rule {rule}: {what}");
    }
    assert!(compile("Send").validate(br#"{"by": "post"}"#).is_ok() && compile("Send").validate(b"{}").is_err());
    assert!(compile("Offer").validate(br#"{"by": "mail", "reviews": []}"#).is_ok());
}

#[test]
fn the_record_is_chosen_by_name() {
    for (text, name, expected) in [
        (OFFER.to_owned(), None, "the schema holds 3 records; expected one of them, such as \"...#Offer\""),
        (
            OFFER.to_owned(),
            Some("Sned"),
            "no record \"Sned\"; expected one of Offer, Send, Sent (did you mean \"Send\"?)",
        ),
        (OFFER.to_owned(), Some("Channel"), "no record \"Channel\""),
        ("[]".to_owned(), None, "the schema"),
        (" ".repeat(MAX_SCHEMA_LEN + 1), None, "MAX_SCHEMA_LEN"),
    ] {
        let refused = refusal(&text, name);
        assert!(refused.contains(expected), "{expected}\nnot in\n{refused}");
    }
    assert!(schema_of(OFFER, Some("offer.Sent")).is_ok(), "with its namespace");
    assert!(schema_of(&record("A", ""), None).is_ok());
}

#[test]
fn every_fault_of_a_file_has_its_place() {
    let text = r#"[
{"type": "record", "name": "A", "namespace": "a", "fields": [
 {"name": "x", "type": "Unknwon"}, {"name": "x", "type": "integer"}, {"name": "x-y", "type": []},
 {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["a", "a", "b c"]}},
 {"name": "f", "type": {"type": "fixed", "name": "F", "size": -1}}, {"nmae": "g", "type": "int"},
 {"name": "u", "type": ["int", "int", ["null"]]}, {"name": "d", "type": "int", "default": "x"},
 {"name": "m", "type": {"type": "map", "value": "int"}}, {"name": "r", "type": {"type": "recrod", "name": "R", "fields": []}}, 7]},
{"type": "record", "name": "Unknown", "namespace": "a"},
{"type": "enum", "name": "E", "namespace": "a", "symbols": []},
{"type": "record", "name": "b.B", "fields": []}, "string", {"type": "record", "fields": [], "doc": {"a": 1}}]"#;
    let found = faults(text);
    for expected in [
        "a.avsc:3:24: unknown type \"Unknwon\"; expected a type of Avro, or one of this file (did you mean \"Unknown\"?)",
        "a.avsc:3:45: the field \"x\" stands twice in this record",
        "a.avsc:3:58: unknown type \"integer\"",
        "a.avsc:3:79: \"x-y\" is not a name",
        "a.avsc:3:94: the union has no types",
        "a.avsc:4:71: the symbol \"a\" stands twice",
        "a.avsc:4:76: the symbol \"b c\" is not a name",
        "a.avsc:5:63: the size of a fixed is a number",
        "a.avsc:5:69: the key \"name\" of a field is missing (there is \"nmae\")",
        "a.avsc:6:32: \"int\" stands twice in this union",
        "a.avsc:6:39: a union stands in a union",
        "a.avsc:6:91: the default is a string, which is not of the field's type",
        "a.avsc:7:24: the key \"values\" of a map is missing (there is \"value\")",
        "a.avsc:7:89: unknown type \"recrod\"; expected one of record, enum, fixed, array, map (did you mean \"record\"?)",
        "a.avsc:7:128: a field is a number",
        "a.avsc:8:1: the key \"fields\" of a record is missing",
        "a.avsc:9:1: the type \"a.E\" is defined twice",
        "a.avsc:9:60: the enum has no symbols",
        "a.avsc:10:50: the schema is a string; expected a record, or an array of records",
        "a.avsc:10:60: the key \"name\" of a record is missing",
        "a.avsc:1:1: the namespaces of the records are a, b",
    ] {
        assert!(found.contains(expected), "{expected}\nnot in\n{found}");
    }
    assert_eq!(found.lines().count(), 21, "{found}");
    assert!(
        faults(r#"{"type": "record", "name": "A", "name": "B", "fields": []}"#).contains("stands twice in this object")
    );
    assert!(
        faults(r#"{"type": "record", "name": "A", "fields": []}"#).contains("the namespaces of the records are none")
    );
}

/// Files that would take memory or time without bound: types that double with each that names them, texts that are written
/// out again and again, defaults that lead to defaults.
#[test]
fn what_grows_without_bound_is_refused() {
    let growing = |of: &dyn Fn(usize) -> String, count: usize| {
        let all: Vec<String> = std::iter::once(record("R0", "")).chain((1..count).map(of)).collect();
        format!("[{}]", all.join(","))
    };
    let doubled = |n: usize| {
        let field = |name: &str| format!(r#"{{"name": "{name}", "type": "R{}", "default": {{}}}}"#, n - 1);
        record(&format!("R{n}"), &format!("{}, {}", field("x"), field("y")))
    };
    assert!(refusal(&growing(&doubled, 40), Some("R39")).contains("MAX_SCHEMA_LEN"));
    let nested = |n: usize| record(&format!("R{n}"), &format!(r#"{{"name": "x", "type": "R{}"}}"#, n - 1));
    assert!(refusal(&growing(&nested, 500), Some("R499")).contains("MAX_AVRO_DEPTH"));
    let symbols: Vec<String> = (0..8_000).map(|n| format!("\"S{n}\"")).collect();
    let named =
        format!(r#"{{"name": "f", "type": {{"type": "enum", "name": "E", "symbols": [{}]}}}}"#, symbols.join(","));
    let many: Vec<String> = (0..1_000).map(|n| format!(r#"{{"name": "f{n}", "type": "E"}}"#)).collect();
    assert!(refusal(&record("R", &format!("{named},{}", many.join(","))), None).contains("MAX_SCHEMA_LEN"));
    let looping = r#"[{"type":"record","name":"A","namespace":"n","fields":[{"name":"a","type":["A",{"type":"map","values":"int"}],"default":{}}]},
        {"type":"record","name":"B","namespace":"n","fields":[{"name":"b","type":"A","default":{}}]}]"#;
    assert!(schema_of(looping, Some("B")).is_ok());
    let other = r#"[{"type":"record","name":"B","namespace":"n","fields":[{"name":"a","type":["null","A"]}]},
        {"type":"record","name":"A","namespace":"n","fields":[{"name":"b","type":["null","B"]}]}]"#;
    assert_eq!(
        schema_of(other, Some("B")).unwrap()["$defs"].as_object().unwrap().len(),
        1,
        "one that leads to the other"
    );
}

#[test]
fn a_record_may_become_wider_and_no_stricter() {
    let schema = |fields: &str| schema_of(&record("A", fields), None).unwrap();
    let with = |n: &str, symbols: &str, u: &str, more: &str| {
        schema(&format!(
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
        (schema(r#"{"name": "n", "type": "int"}"#), false),
    ] {
        assert_eq!(stricter(&old, &new).is_none(), wide, "{new}: {:?}", stricter(&old, &new));
    }
    // A union may get branches, whatever it was.
    let of = |union: &str| schema(&format!(r#"{{"name": "u", "type": {union}}}"#));
    let inner = record("B", r#"{"name": "x", "type": "int"}"#);
    let other = record("C", r#"{"name": "y", "type": "int"}"#);
    let named = r#"{"type": "enum", "name": "E", "symbols": ["x"]}"#;
    for (before, after, wide) in [
        (r#"["null", "int"]"#.to_owned(), r#"["null", "int", "string"]"#.to_owned(), true),
        (r#"["null", "string"]"#.to_owned(), r#"["null", "string", "int"]"#.to_owned(), true),
        (r#""string""#.to_owned(), r#"["string", "int"]"#.to_owned(), true),
        (r#""string""#.to_owned(), r#"["null", "string"]"#.to_owned(), true),
        (r#""null""#.to_owned(), r#"["null", "int"]"#.to_owned(), true),
        (format!(r#"["null", {inner}]"#), format!(r#"["null", {inner}, {other}]"#), true),
        (format!(r#"["null", {named}]"#), format!(r#"["null", {named}, "int"]"#), true),
        (r#"["int", "string"]"#.to_owned(), r#""int""#.to_owned(), false),
        (r#"["null", "int", "string"]"#.to_owned(), r#"["null", "int"]"#.to_owned(), false),
    ] {
        let verdict = stricter(&of(&before), &of(&after));
        assert_eq!(verdict.is_none(), wide, "{before} -> {after}: {verdict:?}");
    }
}

/// A type, and data that fit it.
fn typed() -> impl Strategy<Value = (Json, Json)> {
    let leaf = prop_oneof![
        Just((json!("null"), json!(null))),
        any::<bool>().prop_map(|value| (json!("boolean"), json!(value))),
        any::<i32>().prop_map(|value| (json!("int"), json!(value))),
        any::<i64>().prop_map(|value| (json!("long"), json!(value))),
        (-1e9..1e9).prop_map(|value| (json!("double"), json!(value))),
        "[a-z]{0,4}".prop_map(|value| (json!("string"), json!(value))),
        "[a-z]{3}".prop_map(|value| (json!({ "type": "fixed", "name": "?", "size": 3 }), json!(value))),
        (0..2_usize)
            .prop_map(|n| (json!({ "type": "enum", "name": "?", "symbols": ["x", "y"] }), json!(["x", "y"][n]))),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(of, data)| (json!({ "type": "array", "items": of }), json!([data, data]))),
            inner.clone().prop_map(|(of, data)| (json!({ "type": "map", "values": of }), json!({ "k": data }))),
            proptest::collection::vec(inner, 0..3).prop_map(|fields| {
                let named = |n: usize| format!("f{n}");
                let of: Vec<Json> =
                    fields.iter().enumerate().map(|(n, (of, _))| json!({ "name": named(n), "type": of })).collect();
                let data: serde_json::Map<String, Json> =
                    fields.into_iter().enumerate().map(|(n, (_, data))| (named(n), data)).collect();
                (json!({ "type": "record", "name": "?", "fields": of }), Json::Object(data))
            }),
        ]
    })
}

/// Gives each type that needs one a name of its own.
fn name(of: &mut Json, count: &mut u32) {
    match of {
        Json::Object(entries) => {
            if entries.get("name") == Some(&json!("?")) {
                *count += 1;
                entries.insert("name".to_owned(), json!(format!("N{count}")));
            }
            entries.values_mut().for_each(|value| name(value, count));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| name(item, count)),
        _ => {}
    }
}

proptest! {
    /// What is accepted here is accepted by `apache-avro`, file and data; and data that fit are.
    #[test]
    fn the_reference_says_the_same((mut of, data) in typed(), (_, other) in typed(), nullable in any::<bool>()) {
        name(&mut of, &mut 0);
        let of = if nullable && of != json!("null") { json!(["null", of]) } else { of };
        let file = json!({ "type": "record", "name": "R", "namespace": "a", "fields": [{ "name": "v", "type": of }] });
        let text = file.to_string();
        let ours = schema_of(&text, None);
        let reference = apache_avro::Schema::parse_str(&text).unwrap();
        let ours = jsonschema::draft202012::new(&ours.unwrap()).unwrap();
        for (data, fits) in [(data, true), (other, false), (json!(null), nullable)] {
            let data = json!({ "v": data });
            if fits {
                prop_assert!(ours.is_valid(&data), "{} refuses {}", text, data);
            }
            if ours.is_valid(&data) {
                let value = apache_avro::types::Value::try_from(data.clone()).unwrap();
                prop_assert!(value.resolve(&reference).is_ok(), "{} should refuse {}", text, data);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\",: a-z]{0,60}") {
        let _ = schema_of(&text, None);
    }

    /// A file of the right words in any order.
    #[test]
    fn no_file_panics(words in proptest::collection::vec(prop_oneof![
        Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"type\""), Just("\"record\""),
        Just("\"name\""), Just("\"fields\""), Just("\"a.B\""), Just("\"enum\""), Just("\"symbols\""), Just("\"items\""),
        Just("\"array\""), Just("1"), Just("null"),
    ], 0..40)) {
        let text = words.concat();
        if let Ok(mut source) = Source::new("a.avsc", text.as_bytes())
            && let Some(root) = source.parse()
            && let Some(file) = read(&mut source, &root)
        {
            let _ = file.record(None);
        }
    }
}
