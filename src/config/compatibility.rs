//! Whether a JSON Schema accepts all that another one accepts, by their form: what can't be seen to be as wide counts as
//! stricter.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::event::excerpt;

/// Keywords that say nothing about what is accepted.
const ANNOTATIONS: [&str; 9] =
    ["title", "description", "default", "examples", "$comment", "$schema", "deprecated", "readOnly", "writeOnly"];
/// Those of them that hold no schema which a reference could point to.
const WORDS: [&str; 4] = ["title", "description", "$comment", "$schema"];
/// How many pairs of alternatives are compared.
const MAX_COMPARED: usize = 10_000;
/// Keywords whose meaning depends on others beside them, or that turn wider into stricter. A schema that has one must stay as
/// it is, at this level and below.
const ENTANGLED: [&str; 17] = [
    "$id",
    "$ref",
    "$dynamicRef",
    "$anchor",
    "$dynamicAnchor",
    "patternProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "if",
    "then",
    "else",
    "not",
    "oneOf",
];
/// Keywords of a number: a larger one accepts more, or less.
const AT_MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const AT_LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

/// Where `new` is stricter than `old`, or can't be seen to be as wide: a JSON Pointer into the schema and what differs. `None`
/// where it accepts all that `old` does.
pub(super) fn stricter(old: &Value, new: &Value) -> Option<String> {
    // What a reference points to may be anywhere.
    if (refers(old) || refers(new)) && without(old, &WORDS) != without(new, &WORDS) {
        return Some("at \"\": it has a $ref and is not the same as before".to_owned());
    }
    compare(old, new, "")
}

/// Whether there is a reference anywhere in a schema.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(entries) => {
            entries.iter().any(|(key, value)| matches!(key.as_str(), "$ref" | "$dynamicRef") || refers(value))
        }
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

/// A schema without its annotations, at this level.
fn plain(schema: &Value) -> Value {
    without(schema, &ANNOTATIONS)
}

/// A schema without some keywords, at this level.
fn without(schema: &Value, keywords: &[&str]) -> Value {
    match schema {
        Value::Object(entries) => {
            let kept = entries.iter().filter(|(key, _)| !keywords.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

fn compare(old: &Value, new: &Value, at: &str) -> Option<String> {
    if old == new || *new == Value::Bool(true) || *old == Value::Bool(false) {
        return None;
    }
    let empty = Map::new();
    let old = match old {
        Value::Object(old) => old,
        Value::Bool(true) => &empty,
        _ => return Some(format!("at {:?}: no schema before", at)),
    };
    let Value::Object(new) = new else { return Some(format!("at {at:?}: nothing is accepted any more")) };
    let entangled = |schema: &Map<String, Value>| ENTANGLED.iter().find(|key| schema.contains_key(**key)).copied();
    if let Some(key) = entangled(old).or_else(|| entangled(new)) {
        let same = plain(&Value::Object(old.clone())) == plain(&Value::Object(new.clone()));
        return (!same).then(|| format!("at {at:?}: it has {key:?} and is not the same as before"));
    }
    let by_keywords = |old: &Map<String, Value>| new.iter().find_map(|(key, value)| keyword(old, key, value, new, at));
    // What fits the old schema fits one of its alternatives: it is enough that each of them is accepted.
    match old.get("anyOf").filter(|_| !new.contains_key("anyOf")).and_then(Value::as_array) {
        Some(alternatives) if by_keywords(old).is_some() => {
            alternatives.iter().find_map(|alternative| compare(alternative, &Value::Object(new.clone()), at))
        }
        _ => by_keywords(old),
    }
}

/// The kinds of values that a keyword of a schema says something about; `None`: all.
fn kinds_of(key: &str) -> Option<&'static [&'static str]> {
    match key {
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => Some(&["number", "integer"]),
        "minLength" | "maxLength" | "pattern" | "format" => Some(&["string"]),
        "items" | "minItems" | "maxItems" | "uniqueItems" => Some(&["array"]),
        "properties" | "required" | "additionalProperties" | "minProperties" | "maxProperties" => Some(&["object"]),
        _ => None,
    }
}

/// A schema as one for each kind of value that it accepts, where it says which.
fn by_kind(schema: &Map<String, Value>) -> Vec<Value> {
    let Some(Value::Array(kinds)) = schema.get("type") else { return vec![Value::Object(schema.clone())] };
    let of_kind = |kind: &Value| {
        let mut schema = schema.clone();
        schema.insert("type".to_owned(), kind.clone());
        let is_of = |value: &Value| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("boolean") => value.is_boolean(),
            Some("string") => value.is_string(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => value.is_number(),
        };
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.retain(is_of);
        }
        Value::Object(schema)
    };
    kinds.iter().map(of_kind).collect()
}

fn keyword(old: &Map<String, Value>, key: &str, value: &Value, new: &Map<String, Value>, at: &str) -> Option<String> {
    let before = old.get(key);
    if ANNOTATIONS.contains(&key) || before == Some(value) && !matches!(key, "properties" | "additionalProperties") {
        return None;
    }
    let accepted = old.get("type").map(names);
    if let (Some(kinds), Some(accepted)) = (kinds_of(key), &accepted)
        && !kinds.iter().any(|kind| accepted.contains(*kind))
    {
        return None;
    }
    let here = format!("{at}/{key}");
    let stricter = |what: &str| Some(format!("at {here:?}: {what}"));
    match key {
        "type" => {
            let Some(before) = before else { return stricter("any type was accepted before") };
            let (before, now) = (names(before), names(value));
            let lost = before
                .iter()
                .find(|name| !(now.contains(name.as_str()) || *name == "integer" && now.contains("number")));
            lost.and_then(|name| stricter(&format!("{name} was accepted before")))
        }
        "required" => {
            let before = before.map(names).unwrap_or_default();
            let added = names(value).into_iter().find(|name| !before.contains(name));
            added.and_then(|name| stricter(&format!("{name:?} was not required before")))
        }
        "enum" | "const" => {
            let accepted = |schema: &Map<String, Value>| {
                let listed = schema.get("enum").and_then(Value::as_array).cloned();
                match (listed, schema.get("const")) {
                    // Which of them are the same value isn't told by their form: 1 is 1.0.
                    (Some(_), Some(one)) => Some(vec![one.clone()]),
                    (Some(values), None) => Some(values),
                    (None, Some(one)) => Some(vec![one.clone()]),
                    (None, None) => None,
                }
            };
            let Some(before) = accepted(old) else { return stricter("any value was accepted before") };
            let now = accepted(new).unwrap_or_default();
            let lost = before.iter().find(|value| !now.contains(value));
            lost.and_then(|value| stricter(&format!("{value} was accepted before")))
        }
        "properties" => properties(old, new, at),
        "additionalProperties" => {
            let open = Value::Bool(true);
            compare(before.unwrap_or(&open), value, &here).or_else(|| properties(old, new, at))
        }
        "anyOf" => {
            let alternatives = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let now = alternatives(value);
            // One that says `anyOf` beside other keywords accepts what fits one of its own alternatives.
            let before = before.map(alternatives).unwrap_or_else(|| by_kind(old));
            if before.len().saturating_mul(now.len()) > MAX_COMPARED {
                return stricter("there are too many alternatives to compare, and they are not the same");
            }
            let is_accepted = |old: &Value| now.contains(old) || now.iter().any(|new| compare(old, new, "").is_none());
            let lost = before.iter().find(|old| !is_accepted(old));
            lost.and_then(|lost| stricter(&format!("{} was accepted before", excerpt(&lost.to_string()))))
        }
        "items" => compare(before.unwrap_or(&Value::Bool(true)), value, &here),
        "uniqueItems" if *value == Value::Bool(false) => None,
        _ if AT_MOST.contains(&key) => match before.map(|before| order(value, before)) {
            Some(Some(Ordering::Greater | Ordering::Equal)) => None,
            _ => stricter("the limit is lower than before"),
        },
        _ if AT_LEAST.contains(&key) => match before.map(|before| order(value, before)) {
            Some(Some(Ordering::Less | Ordering::Equal)) => None,
            _ => stricter("the limit is higher than before"),
        },
        _ => stricter("it is new, or not as before"),
    }
}

/// The order of two numbers; `None` where it can't be told, as a 64-bit float may hold less than is written.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let whole = |value: &Value| value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?).filter(|order| order.is_ne() || a == b),
    }
}

/// Compares all properties that either schema names, by what each says of a property of that name.
fn properties(old: &Map<String, Value>, new: &Map<String, Value>, at: &str) -> Option<String> {
    let named = |schema: &Map<String, Value>| match schema.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        _ => Map::new(),
    };
    let open = Value::Bool(true);
    let others = |schema: &Map<String, Value>| schema.get("additionalProperties").unwrap_or(&open).clone();
    let (before, now) = (named(old), named(new));
    before.keys().chain(now.keys()).find_map(|name| {
        let before = before.get(name).cloned().unwrap_or_else(|| others(old));
        let now = now.get(name).cloned().unwrap_or_else(|| others(new));
        compare(&before, &now, &format!("{at}/properties/{name}"))
    })
}

/// A text, or a list of texts, as a set.
fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(name) => BTreeSet::from([name.clone()]),
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_accepts_as_much_is_seen_to() {
        let old = json!({ "type": "object", "required": ["a", "b"], "additionalProperties": false, "properties": {
            "a": { "type": "integer", "minimum": 1 }, "b": { "enum": ["x", "y"] }, "c": { "maxLength": 5 } } });
        for wider in [
            json!(true),
            json!({}),
            json!({ "type": ["object", "null"], "title": "t" }),
            json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "number", "minimum": 0 } } }),
            json!({ "type": "object", "properties": { "b": { "enum": ["x", "y", "z"] }, "d": { "type": "string" } } }),
        ] {
            assert_eq!(stricter(&old, &wider), None, "{wider}");
        }
        let old_union = json!({ "anyOf": [{ "type": "null" }, { "maximum": 3 }] });
        let wider = json!({ "anyOf": [{ "maximum": 4 }, { "type": "string" }, { "type": "null" }] });
        assert_eq!(stricter(&old_union, &wider), None);
        // A property that it no longer names must fit what it says of others.
        let others = json!({ "type": "object", "additionalProperties": { "maximum": 3 } });
        assert!(stricter(&old, &others).is_some());
    }

    #[test]
    fn what_exempts_something_may_not_go() {
        for (old, new) in [
            (json!({ "prefixItems": [{}], "items": { "type": "number" } }), json!({ "items": { "type": "number" } })),
            (
                json!({ "patternProperties": { "^x-": {} }, "additionalProperties": false }),
                json!({ "additionalProperties": false }),
            ),
            (
                json!({ "patternProperties": { "^a": {} }, "additionalProperties": false }),
                json!({ "patternProperties": { "^a": {} }, "additionalProperties": false,
                    "properties": { "ab": { "type": "string" } } }),
            ),
            (
                json!({ "anyOf": [{ "type": "null" }, { "maximum": 3 }] }),
                json!({ "anyOf": [{ "maximum": 2 }, { "type": "null" }] }),
            ),
            (json!({ "contains": { "const": 1 }, "minContains": 0 }), json!({ "contains": { "const": 1 } })),
            (json!({ "enum": [1, 2] }), json!({ "enum": [1, 2], "const": 1 })),
            (json!({ "enum": [1.0], "const": 1 }), json!({ "enum": ["x"] })),
            (
                json!({ "properties": { "a": { "$ref": "#/default" } }, "default": {} }),
                json!({ "properties": { "a": { "$ref": "#/default" } }, "default": { "type": "string" } }),
            ),
            (json!({ "type": ["integer", "null"] }), json!({ "anyOf": [{ "type": "integer" }] })),
            (json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] }), json!({ "type": "null" })),
            (json!({ "maximum": 9_007_199_254_740_993_i64 }), json!({ "maximum": 9_007_199_254_740_992_i64 })),
            (
                json!({ "properties": { "a": { "maximum": 1 } }, "not": { "$ref": "#/properties/a" } }),
                json!({ "properties": { "a": { "maximum": 2 } }, "not": { "$ref": "#/properties/a" } }),
            ),
        ] {
            assert!(stricter(&old, &new).is_some(), "{old} -> {new}");
        }
    }

    /// Schemas and data by chance: one that is seen to be as wide refuses nothing that was accepted.
    #[cfg(feature = "schema")]
    mod by_chance {
        use super::*;
        use proptest::prelude::*;

        fn schema() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(json!({})),
                Just(json!(true)),
                Just(json!(false)),
                prop_oneof![Just("integer"), Just("number"), Just("string"), Just("object"), Just("array")]
                    .prop_map(|kind| json!({ "type": kind })),
                (0..3, 0..3).prop_map(|(a, b)| json!({ "minimum": a, "maximum": b })),
                proptest::collection::vec(0..4, 1..3).prop_map(|values| json!({ "enum": values })),
                (0..4, proptest::collection::vec(0..4, 1..3)).prop_map(|(a, b)| json!({ "const": a, "enum": b })),
                (0..3).prop_map(|n| json!({ "maxItems": n, "minProperties": n })),
            ];
            leaf.prop_recursive(3, 12, 3, |inner| {
                let properties = proptest::collection::btree_map("[ab]", inner.clone(), 0..3);
                let required = proptest::collection::btree_set("[ab]", 0..2);
                prop_oneof![
                    (properties, required, inner.clone()).prop_map(
                        |(p, r, others)| json!({ "properties": p, "required": r, "additionalProperties": others })
                    ),
                    inner.clone().prop_map(|items| json!({ "items": items })),
                    (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "anyOf": [a, b] })),
                    (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "prefixItems": [a], "items": b })),
                    (inner.clone(), inner.clone())
                        .prop_map(|(a, b)| json!({ "type": ["integer", "object"], "anyOf": [a, b] })),
                    inner.clone().prop_map(
                        |of| json!({ "type": ["array", "null"], "items": of, "maxItems": 1, "enum": [null, [1]] })
                    ),
                    inner.prop_map(|not| json!({ "not": not })),
                ]
            })
        }

        fn data() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![Just(json!(null)), (0..4).prop_map(Into::into), Just(json!("x")), Just(json!(1.5))];
            leaf.prop_recursive(3, 10, 3, |inner| {
                prop_oneof![
                    proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                    proptest::collection::btree_map("[abc]", inner, 0..3).prop_map(|entries| json!(entries)),
                ]
            })
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(512))]
            #[test]
            fn as_wide_refuses_nothing(old in schema(), new in schema(), data in proptest::collection::vec(data(), 24)) {
                if stricter(&old, &new).is_none() {
                    let of = |schema: &Value| jsonschema::draft202012::new(schema).unwrap();
                    let (before, after) = (of(&old), of(&new));
                    for data in data {
                        prop_assert!(!before.is_valid(&data) || after.is_valid(&data), "{} refuses {}", new, data);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_stricter_is_said_with_its_place() {
        let old = json!({ "type": "object", "required": ["a"], "properties": {
            "a": { "type": "number", "maximum": 9 }, "b": { "items": { "type": "string" } } } });
        for (new, place) in [
            (json!({ "type": "array" }), "\"/type\": object was accepted"),
            (json!({ "required": ["a", "b"] }), "\"/required\": \"b\""),
            (json!({ "properties": { "a": { "type": "integer" } } }), "\"/properties/a/type\": number was"),
            (json!({ "properties": { "a": { "maximum": 8 } } }), "\"/properties/a/maximum\": the limit is lower"),
            (json!({ "properties": { "d": { "type": "string" } } }), "\"/properties/d/type\": any type"),
            (json!({ "properties": { "b": { "items": { "type": "null" } } } }), "\"/properties/b/items/type\""),
            (json!({ "additionalProperties": false }), "\"/additionalProperties\": nothing"),
            (json!({ "not": {} }), "it has \"not\""),
            (json!({ "propertyNames": { "maxLength": 2 } }), "\"/propertyNames\": it is new"),
            (json!({ "$ref": "#/$defs/a" }), "it has a $ref"),
            (json!(false), "nothing is accepted"),
        ] {
            let found = stricter(&old, &new).unwrap_or_else(|| panic!("{new} is stricter"));
            assert!(found.contains(place), "{place} not in {found}");
        }
    }
}
