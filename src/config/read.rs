//! Reading the JSON of configuration files with a fault for everything that is not as it should be: helpers that the
//! readers of documents and of root files share.

use std::time::Duration;

use super::duration;
use super::json::{Key, Node, Source, Value};
use super::nearest::nearest;
use crate::event::{Name, VocabularyError, excerpt};

/// The entries of an object; each key that isn't known is a fault.
pub(super) fn object<'n>(source: &mut Source<'_>, node: &'n Node, what: &str, known: &[&str]) -> Option<Entries<'n>> {
    let expected = if known.is_empty() { "no keys".to_owned() } else { format!("one of {}", known.join(", ")) };
    object_of(source, node, what, known, &expected)
}

/// As [`object`], where what is expected is said in other words.
pub(super) fn object_of<'n>(
    source: &mut Source<'_>,
    node: &'n Node,
    what: &str,
    known: &[&str],
    expected: &str,
) -> Option<Entries<'n>> {
    let Value::Object(entries) = &node.value else {
        wrong_kind(source, node, what, "an object");
        return None;
    };
    for (key, _) in entries {
        if !known.contains(&key.text.as_str()) {
            let near = nearest(&key.text, known.iter().copied());
            let near = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let unknown = format!("unknown key {:?} in {what}", excerpt(&key.text));
            source.fault(key.offset, unknown, format!("{expected}{near}"));
        }
    }
    Some(Entries(entries))
}

/// The entries of an object whose keys are known.
#[derive(Clone, Copy)]
pub(super) struct Entries<'n>(pub(super) &'n [(Key, Node)]);

impl<'n> Entries<'n> {
    pub(super) fn get(self, key: &str) -> Option<&'n Node> {
        self.0.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }
}

pub(super) fn wrong_kind(source: &mut Source<'_>, node: &Node, what: &str, expected: &str) {
    source.fault(node.offset, format!("{what} is {}", node.value.kind()), expected);
}

pub(super) fn string<'n>(source: &mut Source<'_>, node: &'n Node, what: &str) -> Option<&'n str> {
    match &node.value {
        Value::String(text) => Some(text),
        _ => {
            wrong_kind(source, node, what, "a string");
            None
        }
    }
}

pub(super) fn array<'n>(source: &mut Source<'_>, node: &'n Node, what: &str) -> Option<&'n [Node]> {
    match &node.value {
        Value::Array(items) => Some(items),
        _ => {
            wrong_kind(source, node, what, "an array");
            None
        }
    }
}

pub(super) fn boolean(source: &mut Source<'_>, node: &Node, what: &str) -> Option<bool> {
    match node.value {
        Value::Bool(value) => Some(value),
        _ => {
            wrong_kind(source, node, what, "true or false");
            None
        }
    }
}

/// A whole number in a range.
pub(super) fn integer(
    source: &mut Source<'_>,
    node: &Node,
    what: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    let number = match &node.value {
        Value::Number(text) => text.parse::<i64>().ok().filter(|number| range.contains(number)),
        _ => None,
    };
    if number.is_none() {
        let found = match &node.value {
            Value::Number(text) => excerpt(text),
            other => other.kind().to_owned(),
        };
        source.fault(node.offset, format!("{what} is {found}"), whole_number(&range));
    }
    number
}

fn whole_number(range: &std::ops::RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (i64::MIN, i64::MAX) => "a whole number of 64 bits".to_owned(),
        (from, i64::MAX) => format!("a whole number from {from}"),
        (from, to) => format!("a whole number from {from} to {to}"),
    }
}

/// A number in a range.
pub(super) fn number(
    source: &mut Source<'_>,
    node: &Node,
    what: &str,
    range: std::ops::RangeInclusive<f64>,
) -> Option<f64> {
    let found = match &node.value {
        Value::Number(text) => {
            if let Some(number) = text.parse::<f64>().ok().filter(|number| range.contains(number)) {
                return Some(number);
            }
            excerpt(text)
        }
        other => other.kind().to_owned(),
    };
    source.fault(
        node.offset,
        format!("{what} is {found}"),
        format!("a number from {} to {}", range.start(), range.end()),
    );
    None
}

pub(super) fn duration(source: &mut Source<'_>, node: &Node, what: &str) -> Option<Duration> {
    let text = string(source, node, what)?;
    let parsed = duration::parse(text);
    if parsed.is_none() {
        source.fault(node.offset, format!("{what} is {:?}, which is no duration", excerpt(text)), duration::EXPECTED);
    }
    parsed
}

/// A name of the vocabulary, at `offset`.
pub(super) fn name(source: &mut Source<'_>, offset: usize, what: &'static str, text: &str) -> Option<Name> {
    match Name::parse(what, text) {
        Ok(name) => Some(name),
        Err(error) => {
            vocabulary(source, offset, &error);
            None
        }
    }
}

/// A fault from an error of the vocabulary, whose text says both what is wrong and what is expected.
pub(super) fn vocabulary(source: &mut Source<'_>, offset: usize, error: &VocabularyError) {
    let (what, expected) = said(error);
    source.fault(offset, what, expected);
}

/// What an error of the vocabulary says is wrong, and what it expects.
pub(super) fn said(error: &VocabularyError) -> (String, String) {
    let text = error.to_string();
    match text.split_once("; expected ") {
        Some((what, expected)) => (what.to_owned(), expected.to_owned()),
        None => (text, "a word of the vocabulary".to_owned()),
    }
}

/// Says that something of the format is not supported by this version.
pub(super) fn unsupported(source: &mut Source<'_>, offset: usize, what: &str) {
    source.fault(offset, format!("{what} is not supported yet"), "a tree without it");
}
