//! A record of an Avro file as the JSON Schema that it amounts to, over data in plain JSON: a value of a union stands as it
//! is, without the name of its branch around it. The file is read by the crate `apache-avro`.
//!
//! Source: the Apache Avro specification, 1.12, "Schema Declaration" and "JSON Encoding".

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use serde_json::{Map, Value, json};

use super::{MAX_SCHEMA_LEN, Unusable};
use crate::config::nearest::nearest;
use crate::event::excerpt;

/// How deep the types of a record may be nested, with those that it names.
const MAX_AVRO_DEPTH: usize = 48;
/// How many types a record may be made of, with those that it names, each time that it does.
const MAX_AVRO_TYPES: usize = 4096;

/// The record `name` of the file `text` as a JSON Schema; without a name, the one record that the file holds.
pub(super) fn as_json_schema(text: &[u8], name: Option<&str>) -> Result<Value, Unusable> {
    let bad = |what: String| Unusable { what, expected: "Avro records of one namespace, in JSON".to_owned() };
    if text.len() > MAX_SCHEMA_LEN {
        return Err(super::too_long(text.len()));
    }
    let text = std::str::from_utf8(text).map_err(|error| bad(format!("the schema is not UTF-8: {error}")))?;
    let file = Schema::parse_str(text).map_err(|error| bad(format!("the schema: {}", excerpt(&with_cause(&error)))))?;
    let mut names = BTreeMap::new();
    collect(&file, &mut names);
    let records = records(&file).ok_or_else(|| bad("the schema is no record, and no array of records".to_owned()))?;
    let namespaces: BTreeSet<Option<&str>> = records.iter().map(|record| record.name.namespace()).collect();
    if namespaces.len() > 1 || namespaces.contains(&None) {
        let named: Vec<&str> = namespaces.into_iter().map(|name| name.unwrap_or("none")).collect();
        return Err(bad(format!("the namespaces of the records are {}", named.join(", "))));
    }
    let record = choose(&records, name)?;
    let mut writer =
        Writer { names, left: MAX_AVRO_TYPES, depth: 0, open: Vec::new(), shared: BTreeSet::new(), again: false };
    let mut whole = writer.record(record)?;
    // A type that holds itself can't be written out: it is named instead.
    let mut definitions = Map::new();
    while let Some(name) = writer.shared.iter().find(|name| !definitions.contains_key(*name)).cloned() {
        let Some(&schema) = writer.names.get(&name) else { break };
        writer.again = true;
        let written = writer.schema(schema)?;
        definitions.insert(name, written);
    }
    if let (false, Value::Object(entries)) = (definitions.is_empty(), &mut whole) {
        entries.insert("$defs".to_owned(), Value::Object(definitions));
    }
    Ok(whole)
}

/// An error with what caused it: that says where in the file.
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The records of a file: one, or an array of them.
fn records(file: &Schema) -> Option<Vec<&RecordSchema>> {
    match file {
        Schema::Union(union) => union.variants().iter().map(record_of).collect(),
        one => record_of(one).map(|record| vec![record]),
    }
}

fn record_of(schema: &Schema) -> Option<&RecordSchema> {
    match schema {
        Schema::Record(record) => Some(record),
        _ => None,
    }
}

fn choose<'a>(records: &[&'a RecordSchema], name: Option<&str>) -> Result<&'a RecordSchema, Unusable> {
    let names = || records.iter().map(|record| record.name.name());
    match (name, records) {
        (None, [one]) => Ok(one),
        (None, _) => Err(Unusable {
            what: format!("the schema holds {} records", records.len()),
            expected: format!("the file and one of them, such as \"...#{}\"", names().next().unwrap_or("Sent")),
        }),
        (Some(name), _) => records.iter().find(|record| record.name.name() == name).copied().ok_or_else(|| {
            let near = nearest(name, names()).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let listed: Vec<&str> = names().collect();
            Unusable {
                what: format!("the schema holds no record {:?}", excerpt(name)),
                expected: format!("one of {}{near}", excerpt(&listed.join(", "))),
            }
        }),
    }
}

/// Finds every type that has a name, wherever it stands.
fn collect<'a>(schema: &'a Schema, names: &mut BTreeMap<String, &'a Schema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.to_string(), schema);
            record.fields.iter().for_each(|field| collect(&field.schema, names));
        }
        Schema::Array(array) => collect(&array.items, names),
        Schema::Map(map) => collect(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect(branch, names)),
        Schema::Enum(named) => drop(names.insert(named.name.to_string(), schema)),
        Schema::Fixed(named) | Schema::Duration(named) | Schema::Uuid(UuidSchema::Fixed(named)) => {
            names.insert(named.name.to_string(), schema);
        }
        Schema::Decimal(decimal) => {
            if let InnerDecimalSchema::Fixed(named) = &decimal.inner {
                names.insert(named.name.to_string(), schema);
            }
        }
        _ => {}
    }
}

struct Writer<'a> {
    names: BTreeMap<String, &'a Schema>,
    /// How many more types may be written.
    left: usize,
    /// How many types are around the place that is written.
    depth: usize,
    /// The records around the place that is written.
    open: Vec<&'a Name>,
    /// The records that hold themselves.
    shared: BTreeSet<String>,
    /// Whether the record that comes next is written although it is shared, as its definition.
    again: bool,
}

impl<'a> Writer<'a> {
    fn schema(&mut self, schema: &'a Schema) -> Result<Value, Unusable> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Unusable {
            what: "the record is too large, with the types that it names".to_owned(),
            expected: format!("at most MAX_AVRO_TYPES = {MAX_AVRO_TYPES} types"),
        })?;
        if self.depth == MAX_AVRO_DEPTH {
            return Err(Unusable {
                what: "the record is nested too deep, with the types that it names".to_owned(),
                expected: format!("at most MAX_AVRO_DEPTH = {MAX_AVRO_DEPTH} types in each other"),
            });
        }
        self.depth += 1;
        let written = self.written_out(schema);
        self.depth -= 1;
        written
    }

    fn written_out(&mut self, schema: &'a Schema) -> Result<Value, Unusable> {
        Ok(match schema {
            Schema::Null => json!({ "type": "null" }),
            Schema::Boolean => json!({ "type": "boolean" }),
            Schema::Int | Schema::Date | Schema::TimeMillis => {
                json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => {
                json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX })
            }
            Schema::Float | Schema::Double => json!({ "type": "number" }),
            Schema::String => json!({ "type": "string" }),
            Schema::Uuid(UuidSchema::String) => json!({ "type": "string", "format": "uuid" }),
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => bytes(None),
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                bytes(Some(fixed.size))
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => bytes(None),
                InnerDecimalSchema::Fixed(fixed) => bytes(Some(fixed.size)),
            },
            Schema::Enum(named) => json!({ "type": "string", "enum": named.symbols }),
            Schema::Array(array) => json!({ "type": "array", "items": self.schema(&array.items)? }),
            Schema::Map(map) => json!({ "type": "object", "additionalProperties": self.schema(&map.types)? }),
            Schema::Union(union) => {
                union_of(union.variants().iter().map(|branch| self.schema(branch)).collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => self.record(record)?,
            Schema::Ref { name } => {
                let known = self.names.get(&name.to_string()).copied();
                let unknown = || Unusable {
                    what: format!("the schema names the unknown type {:?}", excerpt(name.as_ref())),
                    expected: "a type of the same file".to_owned(),
                };
                self.schema(known.ok_or_else(unknown)?)?
            }
        })
    }

    fn record(&mut self, record: &'a RecordSchema) -> Result<Value, Unusable> {
        let again = std::mem::take(&mut self.again);
        if !again && (self.open.contains(&&record.name) || self.shared.contains(&record.name.to_string())) {
            self.shared.insert(record.name.to_string());
            return Ok(json!({ "$ref": format!("#/$defs/{}", record.name) }));
        }
        self.open.push(&record.name);
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in &record.fields {
            properties.insert(field.name.clone(), self.schema(&field.schema)?);
            if field.default.is_none() {
                required.push(field.name.as_str());
            }
        }
        self.open.pop();
        Ok(json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false
        }))
    }
}

/// Bytes: a string with a character for each, up to U+00FF.
fn bytes(size: Option<usize>) -> Value {
    let mut schema = json!({ "type": "string", "pattern": "^[\\u0000-\\u00ff]*$" });
    if let (Some(size), Value::Object(entries)) = (size, &mut schema) {
        entries.insert("minLength".to_owned(), size.into());
        entries.insert("maxLength".to_owned(), size.into());
    }
    schema
}

/// A value of one of several schemas. Where it may also be null, and is of one kind otherwise, that is one schema with two
/// types, whose violations say more than that no branch fits.
fn union_of(branches: Vec<Value>) -> Value {
    let null = json!({ "type": "null" });
    let mut others: Vec<Value> = branches.iter().filter(|branch| **branch != null).cloned().collect();
    let nullable = others.len() < branches.len();
    match (nullable, others.as_mut_slice()) {
        (true, []) => null,
        (false, [one]) => one.take(),
        (true, [Value::Object(one)]) if one.get("type").is_some_and(Value::is_string) => {
            if let Some(kind) = one.get_mut("type") {
                *kind = json!([kind.take(), "null"]);
            }
            if let Some(Value::Array(symbols)) = one.get_mut("enum") {
                symbols.push(Value::Null);
            }
            Value::Object(std::mem::take(one))
        }
        _ => json!({ "anyOf": branches }),
    }
}

#[cfg(test)]
mod tests;
