//! The files at the root of a tree that say what holds for all of it: `queues.json`, `constants.json`, `tree.json`.
//! `types.json` is read by `types_file`.

use std::collections::{BTreeMap, BTreeSet};

use super::constants::{self, Constants};
use super::document::QueueOptions;
use super::fault::Fault;
use super::json::{Source, Value};
use super::read::{array, integer, name, object, string, unsupported, vocabulary, wrong_kind};
use crate::event::{EventType, Name, TreeScope};

/// Reads `queues.json`: an object of names and options.
pub(super) fn queues(file: &str, bytes: &[u8]) -> Result<BTreeMap<Name, QueueOptions>, Vec<Fault>> {
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    let mut queues = BTreeMap::new();
    if let Some(node) = source.parse() {
        let Value::Object(entries) = &node.value else {
            wrong_kind(&mut source, &node, "the list of queues", "an object of names and options");
            return Err(source.faults);
        };
        for (key, node) in entries {
            let queue = name(&mut source, key.offset, "queue", &key.text);
            let Some(options) = object(&mut source, node, "the options of a queue", &["max_depth"]) else { continue };
            let max_depth = options.get("max_depth").and_then(|n| integer(&mut source, n, "max_depth", 1..=i64::MAX));
            if let Some(queue) = queue {
                queues.insert(queue, QueueOptions { max_depth: max_depth.and_then(|n| u64::try_from(n).ok()) });
            }
        }
    }
    if source.faults.is_empty() { Ok(queues) } else { Err(source.faults) }
}

/// Reads `constants.json`: an object of names and values.
pub(super) fn constants(file: &str, bytes: &[u8]) -> Result<Constants, Vec<Fault>> {
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    let mut constants = Constants::default();
    if let Some(node) = source.parse() {
        let Value::Object(entries) = &node.value else {
            wrong_kind(&mut source, &node, "the list of constants", "an object of names and values");
            return Err(source.faults);
        };
        for (key, node) in entries {
            if constants::is_name(&key.text) {
                constants.0.insert(key.text.clone(), source.slice(node).to_owned());
            } else {
                let what = format!("{:?} can't be the name of a constant", crate::event::excerpt(&key.text));
                source.fault(key.offset, what, "1 to 64 letters, digits and underscores, such as region");
            }
        }
    }
    if source.faults.is_empty() { Ok(constants) } else { Err(source.faults) }
}

/// What `tree.json` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TreeFile {
    /// The tree that this one extends, and what to say where that can't be.
    pub(super) extends: Option<(TreeScope, Fault)>,
    /// Types of that tree which this one has no document for, and what to say where it has none either.
    pub(super) remove: BTreeMap<EventType, Fault>,
}

/// Reads `tree.json`.
pub(super) fn tree(file: &str, bytes: &[u8]) -> Result<TreeFile, Vec<Fault>> {
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    let mut found = TreeFile::default();
    if let Some(node) = source.parse()
        && let Some(entries) = object(&mut source, &node, "the tree", &["extends", "remove", "keyframes"])
    {
        if let Some((key, _)) = entries.0.iter().find(|(key, _)| key.text == "keyframes") {
            unsupported(&mut source, key.offset, "the key \"keyframes\"");
        }
        if let Some(node) = entries.get("extends")
            && let Some(text) = string(&mut source, node, "extends")
        {
            match text.parse() {
                Ok(tree) => found.extends = Some((tree, source.fault_at(node.offset, "", ""))),
                Err(error) => vocabulary(&mut source, node.offset, &error),
            }
        }
        if let Some(node) = entries.get("remove") {
            if entries.get("extends").is_none() {
                source.fault(node.offset, "there is \"remove\" and no \"extends\"", "the tree to remove types from");
            }
            for item in array(&mut source, node, "remove").unwrap_or_default() {
                let Some(text) = string(&mut source, item, "a type") else { continue };
                match text.parse::<EventType>() {
                    Ok(event_type) => {
                        let fault = source.fault_at(item.offset, "", "");
                        if found.remove.insert(event_type.clone(), fault).is_some() {
                            source.fault(item.offset, format!("the type {event_type} stands twice"), "each type once");
                        }
                    }
                    Err(error) => vocabulary(&mut source, item.offset, &error),
                }
            }
        }
    }
    if source.faults.is_empty() { Ok(found) } else { Err(source.faults) }
}

impl TreeFile {
    /// The types to remove.
    pub(super) fn removed(&self) -> BTreeSet<EventType> {
        self.remove.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<T: std::fmt::Debug>(result: Result<T, Vec<Fault>>) -> String {
        result.unwrap_err().iter().map(|fault| fault.to_string() + "\n").collect()
    }

    #[test]
    fn queues_have_options() {
        let read = queues("queues.json", br#"{"mail": {}, "letters": {"max_depth": 5}}"#).unwrap();
        assert_eq!(read.values().map(|q| q.max_depth).collect::<Vec<_>>(), [Some(5), None]);
        let faults = lines(queues("queues.json", br#"{"a b": {}, "m": {"depth": 1}, "n": {"max_depth": 0}, "o": 1}"#));
        assert_eq!(faults.lines().count(), 4, "{faults}");
    }

    #[test]
    fn constants_are_kept_as_written() {
        let read = constants("constants.json", br#"{"region": "eu", "limit": 1.10, "desks": [ 1, {"a":2} ]}"#).unwrap();
        assert_eq!(read.to_json(), r#"{"desks":[ 1, {"a":2} ],"limit":1.10,"region":"eu"}"#);
        let faults = lines(constants("constants.json", br#"{"a b": 1, "2": 1, "a": 1, "a": 2}"#));
        assert_eq!(faults.lines().count(), 3, "{faults}");
        assert!(lines(constants("constants.json", b"[]")).contains("the list of constants is an array"));
    }

    #[test]
    fn a_tree_extends_another() {
        assert_eq!(tree("tree.json", b"{}").unwrap(), TreeFile::default());
        let read = tree("tree.json", br#"{"extends": "_/loans", "remove": ["A_B_C_D_1"]}"#).unwrap();
        assert_eq!(read.extends.unwrap().0.to_string(), "_/loans");
        assert_eq!(read.remove.len(), 1);
        let faults = lines(tree("tree.json", br#"{"extends": "loans", "remove": ["A_B", "A_B_C_D_1", "A_B_C_D_1"]}"#));
        assert_eq!(faults.lines().count(), 3, "{faults}");
        for (text, expected) in [
            (r#"{"remove": []}"#, "there is \"remove\" and no \"extends\""),
            (r#"{"extend": "_/loans"}"#, "did you mean \"extends\""),
            (r#"{"keyframes": {}}"#, "\"keyframes\" is not supported yet"),
        ] {
            assert!(lines(tree("tree.json", text.as_bytes())).contains(expected), "{expected}");
        }
    }
}
