//! A record of an Avro file as a JSON Schema, with the types that it names written out where they stand.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::{AvroFile, Definition, defined_name, full_name, size, split, text};
use crate::config::json::{Node, Value};
use crate::config::nearest::nearest;
use crate::config::read::Entries;
use crate::config::schema::{MAX_SCHEMA_LEN, Unusable};
use crate::event::excerpt;

/// How deep the types of a record may be nested, with those that it names.
const MAX_AVRO_DEPTH: usize = 48;
/// What a type counts for beside its names, in bytes of the schema written out.
const TYPE_LEN: usize = 32;

impl AvroFile<'_> {
    /// The record of a name as a JSON Schema; without a name, the only one.
    pub(in crate::config::schema) fn record(&self, name: Option<&str>) -> Result<Json, Unusable> {
        let names = || self.records.iter().map(|full| split(full).1);
        let full = match (name, self.records.as_slice()) {
            (None, [one]) => one.clone(),
            (None, []) => {
                let what = "the schema holds no record".to_owned();
                return Err(Unusable::new(what, "at least one".to_owned()));
            }
            (None, _) => {
                let first = names().next().unwrap_or_default();
                let what = format!("the schema holds {} records", self.records.len());
                return Err(Unusable::new(what, format!("one of them, such as \"...#{first}\"")));
            }
            (Some(name), _) => full_name(name, &self.namespace),
        };
        if !self.records.contains(&full) {
            let name = name.unwrap_or_default();
            let near = nearest(name, names()).or_else(|| names().find(|known| *known == split(&full).1));
            let near = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let listed: Vec<&str> = names().collect();
            let expected = format!("one of {}{near}", excerpt(&listed.join(", ")));
            return Err(Unusable::new(format!("the schema holds no record {:?}", excerpt(name)), expected));
        }
        let mut writer =
            Writer { file: self, left: MAX_SCHEMA_LEN, open: Vec::new(), depth: 0, cyclic: BTreeSet::new() };
        let mut whole = writer.defined(&full)?;
        let mut definitions = Map::new();
        // A type that holds itself can't be written out: it is named instead.
        while let Some(name) = writer.cyclic.iter().find(|name| !definitions.contains_key(*name)).cloned() {
            let written = writer.body(&name)?;
            definitions.insert(name, written);
        }
        if let (false, Json::Object(entries)) = (definitions.is_empty(), &mut whole) {
            entries.insert("$defs".to_owned(), Json::Object(definitions));
        }
        Ok(whole)
    }
}

/// Writes types out.
struct Writer<'f, 'n> {
    file: &'f AvroFile<'n>,
    /// How many more bytes may be written.
    left: usize,
    /// The records around the place that is written.
    open: Vec<String>,
    depth: usize,
    /// The records that hold themselves.
    cyclic: BTreeSet<String>,
}

impl<'n> Writer<'_, 'n> {
    fn pay(&mut self, bytes: usize) -> Result<(), Unusable> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let what = "the record is too large, with the types that it names written out";
            Unusable::new(what, format!("at most MAX_SCHEMA_LEN = {MAX_SCHEMA_LEN} bytes"))
        })?;
        Ok(())
    }

    fn written(&mut self, node: &'n Node, namespace: &str) -> Result<Json, Unusable> {
        if self.depth == MAX_AVRO_DEPTH {
            let what = "the record is nested too deep, with the types that it names";
            return Err(Unusable::new(what, format!("at most MAX_AVRO_DEPTH = {MAX_AVRO_DEPTH} types in each other")));
        }
        self.pay(TYPE_LEN)?;
        self.depth += 1;
        let written = match &node.value {
            Value::String(name) => self.named(name, namespace, false),
            Value::Array(branches) => {
                let branches: Result<Vec<_>, _> =
                    branches.iter().map(|branch| self.written(branch, namespace)).collect();
                branches.map(union)
            }
            Value::Object(entries) => self.object(Entries(entries), namespace),
            _ => Ok(Json::Bool(false)),
        };
        self.depth -= 1;
        written
    }

    fn object(&mut self, entries: Entries<'n>, namespace: &str) -> Result<Json, Unusable> {
        let part = |key| entries.get(key);
        match text(entries, "type") {
            Some("array") => {
                let items = part("items").map(|items| self.written(items, namespace)).transpose()?;
                Ok(json!({ "type": "array", "items": items.unwrap_or_default() }))
            }
            Some("map") => {
                let values = part("values").map(|values| self.written(values, namespace)).transpose()?;
                Ok(json!({ "type": "object", "additionalProperties": values.unwrap_or_default() }))
            }
            Some("record" | "enum" | "fixed") => self.defined(&defined_name(entries, namespace).unwrap_or_default()),
            Some(name) => self.named(name, namespace, text(entries, "logicalType") == Some("uuid")),
            None => part("type").map_or(Ok(Json::Bool(false)), |of| self.written(of, namespace)),
        }
    }

    fn named(&mut self, name: &str, namespace: &str, is_uuid: bool) -> Result<Json, Unusable> {
        Ok(match name {
            "null" => json!({ "type": "null" }),
            "boolean" => json!({ "type": "boolean" }),
            "int" => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
            "long" => json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
            "float" | "double" => json!({ "type": "number" }),
            "string" if is_uuid => json!({ "type": "string", "format": "uuid" }),
            "string" => json!({ "type": "string" }),
            "bytes" => bytes(None),
            _ => return self.defined(&full_name(name, namespace)),
        })
    }

    /// A type that is defined, at a place where it is used.
    fn defined(&mut self, name: &str) -> Result<Json, Unusable> {
        if self.cyclic.contains(name) || self.open.iter().any(|open| open == name) {
            self.cyclic.insert(name.to_owned());
            self.pay(name.len())?;
            return Ok(json!({ "$ref": format!("#/$defs/{name}") }));
        }
        self.body(name)
    }

    fn body(&mut self, name: &str) -> Result<Json, Unusable> {
        let Some(Definition { kind, entries }) = self.file.definitions.get(name).copied() else {
            return Ok(Json::Bool(false));
        };
        match kind {
            "fixed" => Ok(bytes(entries.get("size").and_then(size))),
            "enum" => {
                let symbols = strings(entries, "symbols");
                self.pay(symbols.iter().map(|symbol| symbol.len() + 3).sum())?;
                Ok(json!({ "type": "string", "enum": symbols }))
            }
            _ => {
                self.open.push(name.to_owned());
                let namespace = split(name).0;
                let (mut properties, mut required) = (Map::new(), Vec::new());
                let fields = match entries.get("fields").map(|node| &node.value) {
                    Some(Value::Array(fields)) => fields.as_slice(),
                    _ => &[],
                };
                for field in fields {
                    let Value::Object(field) = &field.value else { continue };
                    let field = Entries(field);
                    let (Some(name), Some(of)) = (text(field, "name"), field.get("type")) else { continue };
                    self.pay(2 * name.len())?;
                    properties.insert(name.to_owned(), self.written(of, namespace)?);
                    if field.get("default").is_none() {
                        required.push(name);
                    }
                }
                self.open.pop();
                Ok(json!({
                    "type": "object", "properties": properties, "required": required, "additionalProperties": false
                }))
            }
        }
    }
}

fn strings<'n>(entries: Entries<'n>, key: &str) -> Vec<&'n str> {
    let text = |node: &'n Node| match &node.value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    match entries.get(key).map(|node| &node.value) {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

/// Bytes: a string with a character for each, up to U+00FF.
fn bytes(size: Option<u32>) -> Json {
    let mut schema = json!({ "type": "string", "pattern": "^[\\u0000-\\u00ff]*$" });
    if let (Some(size), Json::Object(entries)) = (size, &mut schema) {
        entries.insert("minLength".to_owned(), size.into());
        entries.insert("maxLength".to_owned(), size.into());
    }
    schema
}

/// A value of one of several schemas. Where it may also be null, and is of one kind otherwise, that is one schema with two
/// types, whose violations say more than that no branch fits.
fn union(branches: Vec<Json>) -> Json {
    let null = json!({ "type": "null" });
    let mut others: Vec<Json> = branches.iter().filter(|branch| **branch != null).cloned().collect();
    let nullable = others.len() < branches.len();
    match (nullable, others.as_mut_slice()) {
        (true, []) => null,
        (false, [one]) => one.take(),
        (true, [Json::Object(one)]) if one.get("type").is_some_and(Json::is_string) => {
            if let Some(kind) = one.get_mut("type") {
                *kind = json!([kind.take(), "null"]);
            }
            if let Some(Json::Array(symbols)) = one.get_mut("enum") {
                symbols.push(Json::Null);
            }
            Json::Object(std::mem::take(one))
        }
        _ => json!({ "anyOf": branches }),
    }
}
