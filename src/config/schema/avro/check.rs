//! What is wrong in an Avro file: all of it, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use super::{COMPLEX, Definition, PRIMITIVES, defined_name, full_name, is_name, kind_of, size, split, text};
use crate::config::json::{Node, Source, Value};
use crate::config::nearest::nearest;
use crate::config::read::{Entries, array, string, wrong_kind};
use crate::event::excerpt;

/// Finds and checks types.
pub(super) struct Reader<'n, 's, 't> {
    pub(super) source: &'s mut Source<'t>,
    pub(super) definitions: BTreeMap<String, Definition<'n>>,
    /// Those that stand by themselves.
    pub(super) top: Vec<String>,
}

impl<'n> Reader<'n, '_, '_> {
    /// Finds every type that is defined, wherever it stands: a type may be named before it is defined.
    pub(super) fn define(&mut self, node: &'n Node, namespace: &str) {
        self.define_in(node, namespace, true);
    }

    fn define_in(&mut self, node: &'n Node, namespace: &str, by_itself: bool) {
        match &node.value {
            Value::Array(branches) => branches.iter().for_each(|branch| self.define_in(branch, namespace, false)),
            Value::Object(entries) => {
                let entries = Entries(entries);
                let mut inside = namespace.to_owned();
                if let Some(kind @ ("record" | "enum" | "fixed")) = text(entries, "type")
                    && let Some(name) = defined_name(entries, namespace)
                {
                    split(&name).0.clone_into(&mut inside);
                    if self.definitions.insert(name.clone(), Definition { kind, entries }).is_some() {
                        let what = format!("the type {:?} is defined twice", excerpt(&name));
                        self.source.fault(node.offset, what, "one definition, and its name elsewhere");
                    }
                    if by_itself {
                        self.top.push(name);
                    }
                }
                let parts = ["type", "items", "values"].into_iter().filter_map(|key| entries.get(key));
                parts.for_each(|part| self.define_in(part, &inside, false));
                if let Some(Value::Array(fields)) = entries.get("fields").map(|node| &node.value) {
                    for field in fields {
                        if let Value::Object(field) = &field.value
                            && let Some(of) = Entries(field).get("type")
                        {
                            self.define_in(of, &inside, false);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn check(&mut self, node: &'n Node, namespace: &str, by_itself: bool) {
        match &node.value {
            Value::String(name) => self.check_named(node, name, namespace),
            Value::Array(branches) => self.check_union(node, branches, namespace),
            Value::Object(entries) => {
                let entries = Entries(entries);
                let Some(of) = entries.get("type") else { return self.missing(node, entries, "type", "a type") };
                match &of.value {
                    Value::String(kind) => self.check_complex(node, of, kind, entries, namespace),
                    _ if by_itself => {}
                    _ => self.check(of, namespace, false),
                }
            }
            _ => wrong_kind(self.source, node, "a type", "a name, an object with \"type\", or an array of types"),
        }
    }

    fn missing(&mut self, node: &Node, entries: Entries<'_>, key: &str, of: &str) {
        let near = nearest(key, entries.0.iter().map(|(key, _)| key.text.as_str()));
        let near = near.map(|near| format!(" (there is {near:?})")).unwrap_or_default();
        self.source.fault(node.offset, format!("the key {key:?} of {of} is missing{near}"), format!("{key:?}: ..."));
    }

    fn check_named(&mut self, node: &Node, name: &str, namespace: &str) {
        let full = full_name(name, namespace);
        if PRIMITIVES.contains(&name) || self.definitions.contains_key(&full) {
            return;
        }
        let short = self.definitions.keys().map(|known| split(known).1);
        let known = PRIMITIVES.into_iter().chain(short).chain(self.definitions.keys().map(String::as_str));
        let near = nearest(name, known).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let expected = format!("a type of Avro, or one of this file{near}");
        self.source.fault(node.offset, format!("unknown type {:?}", excerpt(name)), expected);
    }

    fn check_union(&mut self, node: &Node, branches: &'n [Node], namespace: &str) {
        if branches.is_empty() {
            self.source.fault(node.offset, "the union has no types", "at least one");
        }
        let mut seen = BTreeSet::new();
        for branch in branches {
            let of = match &branch.value {
                Value::Array(_) => {
                    self.source.fault(branch.offset, "a union stands in a union", "its types, beside the others");
                    continue;
                }
                Value::String(name) if PRIMITIVES.contains(&name.as_str()) => name.clone(),
                Value::String(name) => full_name(name, namespace),
                Value::Object(entries) => match defined_name(Entries(entries), namespace) {
                    Some(name) => name,
                    None => text(Entries(entries), "type").unwrap_or_default().to_owned(),
                },
                _ => String::new(),
            };
            if !of.is_empty() && !seen.insert(of.clone()) {
                let what = format!("{:?} stands twice in this union", excerpt(&of));
                self.source.fault(branch.offset, what, "each type once");
            }
            self.check(branch, namespace, false);
        }
    }

    fn check_complex(&mut self, node: &Node, of: &Node, kind: &str, entries: Entries<'n>, namespace: &str) {
        let a_kind = || format!("{} {kind}", if kind.starts_with(['a', 'e']) { "an" } else { "a" });
        match kind {
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                match entries.get(key) {
                    Some(part) => self.check(part, namespace, false),
                    None => self.missing(node, entries, key, &a_kind()),
                }
            }
            "record" | "enum" | "fixed" => {
                self.check_name(node, entries, &a_kind());
                let inside = defined_name(entries, namespace).map(|name| split(&name).0.to_owned());
                let key = match kind {
                    "record" => "fields",
                    "enum" => "symbols",
                    _ => "size",
                };
                let Some(part) = entries.get(key) else { return self.missing(node, entries, key, &a_kind()) };
                match kind {
                    "record" => self.check_fields(part, &inside.unwrap_or_default()),
                    "enum" => self.check_symbols(part),
                    _ if size(part).is_none() => {
                        wrong_kind(self.source, part, "the size of a fixed", "a whole number of bytes, up to 2^31 - 1");
                    }
                    _ => {}
                }
            }
            _ if text(entries, "name").is_some() && COMPLEX.iter().any(|known| nearest(kind, [*known]).is_some()) => {
                let near = nearest(kind, COMPLEX).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                let what = format!("unknown type {:?}", excerpt(kind));
                self.source.fault(of.offset, what, format!("one of {}{near}", COMPLEX.join(", ")));
            }
            _ => self.check_named(of, kind, namespace),
        }
    }

    fn check_name(&mut self, node: &Node, entries: Entries<'n>, of: &str) {
        let Some(name) = entries.get("name") else { return self.missing(node, entries, "name", of) };
        let expected = "letters, digits and underscores, with dots before them for a namespace";
        for (node, may_be_empty) in [(Some(name), false), (entries.get("namespace"), true)] {
            let Some(node) = node else { continue };
            let Some(text) = string(self.source, node, "a name") else { continue };
            let is_empty = may_be_empty && text.is_empty();
            if !is_empty && !text.split('.').all(is_name) {
                self.source.fault(node.offset, format!("{:?} is not a name", excerpt(text)), expected);
            }
        }
    }

    fn check_fields(&mut self, node: &'n Node, namespace: &str) {
        let mut seen = BTreeSet::new();
        for field in array(self.source, node, "fields").unwrap_or_default() {
            let Value::Object(entries) = &field.value else {
                wrong_kind(self.source, field, "a field", "an object with \"name\" and \"type\"");
                continue;
            };
            let entries = Entries(entries);
            match entries.get("name") {
                None => self.missing(field, entries, "name", "a field"),
                Some(node) => {
                    let name = string(self.source, node, "name");
                    if let Some(name) = name.filter(|name| !is_name(name)) {
                        let what = format!("{:?} is not a name", excerpt(name));
                        self.source.fault(node.offset, what, "letters, digits and underscores");
                    }
                    if let Some(name) = name.filter(|name| !seen.insert(*name)) {
                        let what = format!("the field {:?} stands twice in this record", excerpt(name));
                        self.source.fault(node.offset, what, "each field once");
                    }
                }
            }
            match entries.get("type") {
                None => self.missing(field, entries, "type", "a field"),
                Some(of) => {
                    self.check(of, namespace, false);
                    if let Some(default) = entries.get("default") {
                        self.check_default(default, of, namespace);
                    }
                }
            }
        }
    }

    fn check_symbols(&mut self, node: &'n Node) {
        let symbols = array(self.source, node, "symbols").unwrap_or_default();
        if symbols.is_empty() && matches!(node.value, Value::Array(_)) {
            self.source.fault(node.offset, "the enum has no symbols", "at least one");
        }
        let mut seen = BTreeSet::new();
        for symbol in symbols {
            let Some(text) = string(self.source, symbol, "a symbol") else { continue };
            if !is_name(text) || !seen.insert(text) {
                let what = if is_name(text) { "stands twice" } else { "is not a name" };
                let what = format!("the symbol {:?} {what}", excerpt(text));
                self.source.fault(symbol.offset, what, "letters, digits and underscores, each symbol once");
            }
        }
    }

    /// Whether a default is of the kind of its field; what is inside it isn't looked at, as defaults are never filled in.
    fn check_default(&mut self, default: &Node, of: &Node, namespace: &str) {
        let fits = match &of.value {
            Value::Array(branches) => branches.iter().any(|branch| self.default_fits(default, branch, namespace)),
            _ => self.default_fits(default, of, namespace),
        };
        if !fits {
            let what = format!("the default is {}, which is not of the field's type", default.value.kind());
            self.source.fault(default.offset, what, "a value of that type");
        }
    }

    fn default_fits(&self, default: &Node, of: &Node, namespace: &str) -> bool {
        let kind = match &of.value {
            Value::String(name) if PRIMITIVES.contains(&name.as_str()) => name.as_str(),
            Value::String(name) => match self.definitions.get(&full_name(name, namespace)) {
                Some(definition) => definition.kind,
                None => return true,
            },
            _ => match kind_of(of) {
                Some(kind) => kind,
                None => return true,
            },
        };
        match (kind, &default.value) {
            ("null", Value::Null) | ("boolean", Value::Bool(_)) | ("array", Value::Array(_)) => true,
            ("int" | "long", Value::Number(number)) => number.parse::<i64>().is_ok(),
            ("float" | "double", Value::Number(_)) => true,
            ("string" | "bytes" | "enum" | "fixed", Value::String(_)) | ("map" | "record", Value::Object(_)) => true,
            (kind, _) => !PRIMITIVES.contains(&kind) && !COMPLEX.contains(&kind),
        }
    }
}
