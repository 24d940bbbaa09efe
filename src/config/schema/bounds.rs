//! Whether holding data against a JSON Schema is bounded: what refers to what ends, does so soon, and is not too much written
//! out. Keywords that are applied to the same value (`anyOf`, `$ref` and the like) may be nested only so deep, so that the
//! depth of the whole follows from that of the data.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Unusable;

/// How many schemas a schema may come to, with those that it refers to written out.
const MAX_SUBSCHEMAS: u64 = 100_000;
/// How deep schemas may stand in each other, with those that they refer to.
const MAX_DEEP: usize = 1_000;
/// How many keywords that apply to one value may be nested.
const MAX_NESTED: usize = 12;

/// Keywords whose schema, or schemas, are applied to the same value.
const TO_THE_SAME: [&str; 9] = ["$ref", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "dependentSchemas"];
/// Keywords whose value is a schema, an array of them, or an object of them.
const ONE: [&str; 11] = [
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const MANY: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "$defs"];

/// Refuses a schema that isn't bounded.
pub(super) fn check(schema: &Value) -> Result<(), Unusable> {
    let mut walk = Walk { whole: schema, sizes: BTreeMap::new(), nested: BTreeMap::new() };
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        walk.nested(schema, 0)?;
        parts(schema, |_, part| open.push(part));
    }
    if walk.size(schema, 0) > MAX_SUBSCHEMAS {
        let what = "the schema is too large, with what it refers to written out";
        return Err(Unusable::new(what, format!("at most MAX_SUBSCHEMAS = {MAX_SUBSCHEMAS} schemas")));
    }
    Ok(())
}

fn too_nested() -> Unusable {
    let what = "the schema applies too many others to one value, one in the other";
    Unusable::new(what, format!("at most MAX_NESTED = {MAX_NESTED}, and none that leads back to itself"))
}

/// Calls `each` with the schemas that stand in a schema, and the keyword that they stand under.
pub(super) fn parts<'s>(schema: &'s Value, mut each: impl FnMut(&'s str, &'s Value)) {
    let Value::Object(entries) = schema else { return };
    for (key, value) in entries {
        let key = key.as_str();
        match value {
            Value::Object(_) | Value::Bool(_) if ONE.contains(&key) => each(key, value),
            Value::Array(items) if MANY.contains(&key) => items.iter().for_each(|item| each(key, item)),
            Value::Object(items) if NAMED.contains(&key) => items.values().for_each(|item| each(key, item)),
            _ => {}
        }
    }
}

/// What a `$ref` points to: only places in the schema itself, by JSON Pointer.
pub(super) fn target<'s>(whole: &'s Value, schema: &Value) -> Option<Result<&'s Value, Unusable>> {
    let reference = schema.get("$ref")?.as_str()?;
    let found = reference.strip_prefix('#').and_then(|pointer| whole.pointer(pointer));
    let unusable = || {
        Unusable::new(
            format!("the schema refers to {:?}", crate::event::excerpt(reference)),
            "a place of the schema itself, such as \"#/$defs/offer\"".to_owned(),
        )
    };
    Some(found.ok_or_else(unusable))
}

struct Walk<'s> {
    whole: &'s Value,
    /// Of schemas that were looked at, by where they stand in memory; `None` while they are.
    sizes: BTreeMap<*const Value, u64>,
    nested: BTreeMap<*const Value, Option<usize>>,
}

impl<'s> Walk<'s> {
    /// How many schemas it comes to. One that leads back to itself counts once.
    fn size(&mut self, schema: &'s Value, around: usize) -> u64 {
        let key: *const Value = schema;
        if let Some(size) = self.sizes.get(&key) {
            return *size;
        }
        if around > MAX_DEEP {
            return u64::MAX;
        }
        self.sizes.insert(key, 1);
        let mut size: u64 = 1;
        let mut of = Vec::new();
        parts(schema, |key, part| {
            if key != "$defs" {
                of.push(part)
            }
        });
        of.extend(target(self.whole, schema).and_then(Result::ok));
        for part in of {
            size = size.saturating_add(self.size(part, around + 1));
        }
        self.sizes.insert(key, size);
        size
    }

    /// How many keywords that apply to the same value are nested in it.
    fn nested(&mut self, schema: &'s Value, around: usize) -> Result<usize, Unusable> {
        let key: *const Value = schema;
        match self.nested.get(&key) {
            Some(Some(nested)) if around + nested <= MAX_NESTED => return Ok(*nested),
            Some(_) => return Err(too_nested()),
            None if around > MAX_NESTED => return Err(too_nested()),
            None => {}
        }
        self.nested.insert(key, None);
        let mut of = Vec::new();
        parts(schema, |key, part| {
            if TO_THE_SAME.contains(&key) {
                of.push(part)
            }
        });
        if let Some(found) = target(self.whole, schema) {
            of.push(found?);
        }
        let mut nested = 0;
        for part in of {
            nested = nested.max(1 + self.nested(part, around + 1)?);
        }
        self.nested.insert(key, Some(nested));
        Ok(nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: &Value) -> String {
        check(schema).map_err(|Unusable { what, expected, .. }| format!("{what}; expected {expected}")).unwrap_err()
    }

    #[test]
    fn what_has_no_end_or_is_too_much_is_refused() {
        let chain = |of: fn(usize) -> Value, n: usize| {
            let mut definitions: serde_json::Map<String, Value> =
                (1..n).map(|k| (format!("a{k}"), of(k - 1))).collect();
            definitions.insert("a0".to_owned(), json!({ "minLength": 9 }));
            json!({ "$defs": definitions, "$ref": format!("#/$defs/a{}", n - 1) })
        };
        let one = |k: usize| json!({ "$ref": format!("#/$defs/a{k}") });
        assert!(check(&chain(one, 10)).is_ok());
        assert!(refused(&chain(one, 7_000)).contains("MAX_NESTED"));
        let doubled = |k: usize| {
            let again = json!({ "items": { "$ref": format!("#/$defs/a{k}") } });
            json!({ "properties": { "x": again.clone(), "y": again } })
        };
        assert!(refused(&chain(doubled, 40)).contains("MAX_SUBSCHEMAS"));
        assert!(refused(&json!({ "$ref": "#" })).contains("leads back"));
        assert!(refused(&json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/a" }] } } })).contains("leads back"));
        assert!(refused(&json!({ "properties": { "a": { "$ref": "other.json" } } })).contains("refers to"));
        let tree = json!({ "properties": { "left": { "anyOf": [{ "type": "null" }, { "$ref": "#" }] } } });
        assert!(check(&tree).is_ok(), "it leads back by way of a smaller value");
    }
}
