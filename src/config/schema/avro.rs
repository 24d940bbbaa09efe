//! Avro files: records of one namespace, each as the JSON Schema that it amounts to, over data in plain JSON: a value of a
//! union stands as it is, without the name of its branch around it.
//!
//! Read here, and not by the crate `apache-avro`, which tells neither all faults nor their places, takes the last of two
//! definitions of one name, and follows defaults without end; `tests` hold this against it.
//!
//! Source: the Apache Avro specification, 1.12, "Schema Declaration" and "JSON Encoding".

mod check;
#[cfg(feature = "schema")]
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::json::{Node, Source, Value};
use crate::config::read::{Entries, wrong_kind};
use check::Reader;

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
const COMPLEX: [&str; 5] = ["record", "enum", "fixed", "array", "map"];

/// A file of records.
pub(super) struct AvroFile<'n> {
    namespace: String,
    /// By full name.
    definitions: BTreeMap<String, Definition<'n>>,
    /// The full names of those that an event type may follow, in the order of the file.
    records: Vec<String>,
}

/// A record, an enum or a fixed.
#[derive(Clone, Copy)]
struct Definition<'n> {
    kind: &'n str,
    entries: Entries<'n>,
}

/// Reads a file; what is wrong in it is said to `source`.
pub(super) fn read<'n>(source: &mut Source<'_>, root: &'n Node) -> Option<AvroFile<'n>> {
    let before = source.faults.len();
    let types = match &root.value {
        Value::Array(types) => types.as_slice(),
        _ => std::slice::from_ref(root),
    };
    let mut reader = Reader { source, definitions: BTreeMap::new(), top: Vec::new() };
    for node in types {
        reader.define(node, "");
    }
    let top = std::mem::take(&mut reader.top);
    for node in types {
        match (&node.value, kind_of(node)) {
            (Value::Object(_), Some("record" | "enum" | "fixed")) => reader.check(node, "", true),
            _ => wrong_kind(reader.source, node, "the schema", "a record, or an array of records of one namespace"),
        }
    }
    let namespaces: BTreeSet<&str> = top.iter().map(|name| split(name).0).collect();
    if namespaces.len() > 1 || namespaces.contains("") {
        let named: Vec<&str> = namespaces.iter().map(|name| if name.is_empty() { "none" } else { name }).collect();
        let what = format!("the namespaces of the records are {}", named.join(", "));
        reader.source.fault(root.offset, what, "one namespace for all, the name of the aggregate");
    }
    let Reader { source, definitions, .. } = reader;
    let namespace = namespaces.first().map(|name| (*name).to_owned())?;
    let is_record = |name: &String| definitions.get(name).is_some_and(|found| found.kind == "record");
    let records: Vec<String> = top.iter().filter(|name| is_record(name)).cloned().collect();
    (source.faults.len() == before).then_some(AvroFile { namespace, definitions, records })
}

fn text<'n>(entries: Entries<'n>, key: &str) -> Option<&'n str> {
    match entries.get(key).map(|node| &node.value) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The `type` of a type that is an object, where that is a name.
fn kind_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Object(entries) => text(Entries(entries), "type"),
        _ => None,
    }
}

/// Namespace and name.
fn split(full: &str) -> (&str, &str) {
    full.rsplit_once('.').unwrap_or(("", full))
}

/// The full name of a type that is defined or named within a namespace.
fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The full name that a definition gives its type.
fn defined_name(entries: Entries<'_>, enclosing: &str) -> Option<String> {
    Some(full_name(text(entries, "name")?, text(entries, "namespace").unwrap_or(enclosing)))
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// How many bytes a fixed has.
fn size(node: &Node) -> Option<u32> {
    match &node.value {
        Value::Number(text) => text.parse::<u32>().ok().filter(|size| *size <= i32::MAX as u32),
        _ => None,
    }
}
