//! Where data break a JSON Schema that has alternatives. The validator's own account of a broken alternative holds that of
//! each branch, and of all that is in it: more than memory holds for data that mean harm. So only its verdict is asked for,
//! and the place is looked for here, along the data, in so many steps.

use serde_json::{Map, Value};

use super::Violation;
use super::bounds::target;
use crate::event::excerpt;

/// How many schemas are held against a part of the data before the search is given up.
const MAX_STEPS: usize = 10_000;

/// Keywords with schemas in them, which are looked at one by one.
const WITH_SCHEMAS: [&str; 21] = [
    "$ref",
    "$defs",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Whether a schema has alternatives anywhere.
pub(super) fn has_alternatives(schema: &Value) -> bool {
    match schema {
        Value::Object(entries) => {
            entries.iter().any(|(key, value)| matches!(key.as_str(), "anyOf" | "oneOf") || has_alternatives(value))
        }
        Value::Array(items) => items.iter().any(has_alternatives),
        _ => false,
    }
}

/// Where `data`, which break the schema, do so.
pub(super) fn find(schema: &Value, data: &Value) -> Violation {
    let mut search = Search { whole: schema, left: MAX_STEPS };
    let found = search.of(schema, data, Place::default());
    found.unwrap_or_else(|| Violation {
        path: String::new(),
        rule: String::new(),
        found: format!("{} is not accepted", excerpt(&data.to_string())),
    })
}

/// A place in the data and one in the schema, as JSON Pointers.
#[derive(Clone, Debug, Default)]
struct Place {
    path: String,
    rule: String,
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl Place {
    fn rule(&self, keyword: &str) -> Self {
        Self { path: self.path.clone(), rule: format!("{}/{keyword}", self.rule) }
    }

    fn part(&self, name: &str, rule: &str) -> Self {
        Self { path: format!("{}/{}", self.path, escaped(name)), rule: format!("{}/{rule}", self.rule) }
    }

    fn violation(self, found: impl Into<String>) -> Violation {
        Violation { path: self.path, rule: self.rule, found: found.into() }
    }
}

struct Search<'s> {
    whole: &'s Value,
    left: usize,
}

impl<'s> Search<'s> {
    /// The first violation; `None` where none is found.
    fn of(&mut self, schema: &'s Value, data: &Value, at: Place) -> Option<Violation> {
        self.left = self.left.checked_sub(1)?;
        let entries = match schema {
            Value::Bool(true) => return None,
            Value::Bool(false) => return Some(at.violation(format!("{} is not allowed", excerpt(&data.to_string())))),
            Value::Object(entries) => entries,
            _ => return None,
        };
        if let Some(found) = by_itself(entries, data, &at) {
            return Some(found);
        }
        if let Some(Ok(target)) = target(self.whole, schema)
            && let Some(found) = self.of(target, data, at.rule("$ref"))
        {
            return Some(found);
        }
        for (branch, number) in array(entries, "allOf").iter().zip(0..) {
            if let Some(found) = self.of(branch, data, at.rule(&format!("allOf/{number}"))) {
                return Some(found);
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(found) = self.alternatives(array(entries, keyword), keyword, data, &at) {
                return Some(found);
            }
        }
        match data {
            Value::Object(values) => self.properties(entries, values, &at),
            Value::Array(values) => {
                let items = entries.get("items").filter(|_| !entries.contains_key("prefixItems"))?;
                values.iter().zip(0..).find_map(|(value, n)| self.of(items, value, at.part(&n.to_string(), "items")))
            }
            _ => None,
        }
    }

    fn properties(
        &mut self,
        entries: &'s Map<String, Value>,
        values: &Map<String, Value>,
        at: &Place,
    ) -> Option<Violation> {
        let named = entries.get("properties").and_then(Value::as_object);
        for (name, value) in values {
            let found = match named.and_then(|named| named.get(name)) {
                Some(schema) => self.of(schema, value, at.part(name, &format!("properties/{}", escaped(name)))),
                None if entries.contains_key("patternProperties") => None,
                None => match entries.get("additionalProperties") {
                    Some(Value::Bool(false)) => {
                        let what = format!("{:?} was unexpected", excerpt(name));
                        Some(at.rule("additionalProperties").violation(what))
                    }
                    Some(schema) => self.of(schema, value, at.part(name, "additionalProperties")),
                    None => None,
                },
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Where none of the alternatives fits: in the one that is meant, if only one is of the data's kind.
    fn alternatives(&mut self, branches: &'s [Value], keyword: &str, data: &Value, at: &Place) -> Option<Violation> {
        let mut meant = Vec::new();
        for (branch, number) in branches.iter().zip(0..) {
            let place = at.rule(&format!("{keyword}/{number}"));
            let found = self.of(branch, data, place)?;
            // Refused for its kind, it wasn't meant.
            if found.path != at.path || !found.rule.ends_with("/type") {
                meant.push(found);
            }
        }
        match (branches, meant.as_mut_slice()) {
            ([], _) => None,
            (_, [one]) => Some(std::mem::replace(one, Place::default().violation(""))),
            _ => {
                let what = format!("{} fits none of {} alternatives", excerpt(&data.to_string()), branches.len());
                Some(at.rule(keyword).violation(what))
            }
        }
    }
}

fn array<'s>(entries: &'s Map<String, Value>, key: &str) -> &'s [Value] {
    entries.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What a schema says of the data themselves, without what is in them.
fn by_itself(entries: &Map<String, Value>, data: &Value, at: &Place) -> Option<Violation> {
    let own = entries.iter().filter(|(key, _)| !WITH_SCHEMAS.contains(&key.as_str()));
    let own: Map<String, Value> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    let validator = super::json_schema::options().build(&Value::Object(own)).ok()?;
    let error = validator.validate(data).err()?;
    let found = excerpt(&error.to_string());
    Some(Violation { path: at.path.clone(), rule: format!("{}{}", at.rule, error.schema_path()), found })
}
