//! Whether a JSON Schema accepts all that another one accepts, by their form: what can't be seen to be as wide counts as
//! stricter.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keywords that say nothing about what is accepted.
const ANNOTATIONS: [&str; 10] = [
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "$schema",
    "$id",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// Keywords of a number: a larger one accepts more, or less.
const AT_MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const AT_LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

/// Where `new` is stricter than `old`, or can't be seen to be as wide: a JSON Pointer into the schema and what differs. `None`
/// where it accepts all that `old` does.
pub(super) fn stricter(old: &Value, new: &Value) -> Option<String> {
    compare(old, new, "")
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
    if refers(old) || refers(new) {
        let said = |schema: &Map<String, Value>| -> Map<String, Value> {
            let kept = schema.iter().filter(|(key, _)| !ANNOTATIONS.contains(&key.as_str()));
            kept.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        return (said(old) != said(new)).then(|| format!("at {at:?}: it has a $ref and is not the same as before"));
    }
    new.iter().find_map(|(key, value)| keyword(old, key, value, new, at))
}

/// Whether a schema refers to another place anywhere in it: what that says isn't followed.
fn refers(schema: &Map<String, Value>) -> bool {
    schema.contains_key("$ref") || schema.contains_key("$dynamicRef")
}

fn keyword(old: &Map<String, Value>, key: &str, value: &Value, new: &Map<String, Value>, at: &str) -> Option<String> {
    let before = old.get(key);
    if ANNOTATIONS.contains(&key) || before == Some(value) && !matches!(key, "properties" | "additionalProperties") {
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
            let accepted = |schema: &Map<String, Value>| match (schema.get("enum"), schema.get("const")) {
                (Some(Value::Array(values)), _) => Some(values.clone()),
                (_, Some(value)) => Some(vec![value.clone()]),
                _ => None,
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
        "items" => compare(before.unwrap_or(&Value::Bool(true)), value, &here),
        "uniqueItems" if *value == Value::Bool(false) => None,
        _ if AT_MOST.contains(&key) => match (before.and_then(Value::as_f64), value.as_f64()) {
            (Some(before), Some(now)) if now >= before => None,
            _ => stricter("the limit is lower than before"),
        },
        _ if AT_LEAST.contains(&key) => match (before.and_then(Value::as_f64), value.as_f64()) {
            (Some(before), Some(now)) if now <= before => None,
            _ => stricter("the limit is higher than before"),
        },
        _ => stricter("it is new, or not as before"),
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
            json!({ "properties": { "c": { "maxLength": 6 } }, "additionalProperties": { "maximum": 3 } , "type": "object"}),
        ] {
            let found = stricter(&old, &wider);
            // A property that the old schema didn't allow may be anything; one that it has must fit the others' schema.
            let expected = wider.get("additionalProperties").is_some();
            assert_eq!(found.is_some(), expected, "{wider}: {found:?}");
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
            (json!({ "not": {} }), "\"/not\": it is new"),
            (json!({ "$ref": "#/$defs/a" }), "it has a $ref"),
            (json!(false), "nothing is accepted"),
        ] {
            let found = stricter(&old, &new).unwrap_or_else(|| panic!("{new} is stricter"));
            assert!(found.contains(place), "{place} not in {found}");
        }
    }
}
