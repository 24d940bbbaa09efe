//! The files at the root of a tree: `types.json`, `queues.json`, and those that are not supported yet.

use std::collections::{BTreeMap, BTreeSet};

use super::document::QueueOptions;
use super::fault::{ConfigError, Fault};
use super::json::{Source, Value};
use super::read::{integer, name, object, string, unsupported, vocabulary, wrong_kind};
use crate::event::{EventType, Name};

/// An event type that is declared for an application.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TypeDeclaration {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What it means, for people.
    pub description: Option<String>,
}

/// Reads `types.json`: an array of types, or of objects with `type` and `description`.
pub(super) fn types(file: &str, bytes: &[u8]) -> Result<Vec<TypeDeclaration>, Vec<Fault>> {
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    let mut declarations = Vec::new();
    if let Some(node) = source.parse() {
        let mut known = BTreeSet::new();
        let Value::Array(items) = &node.value else {
            wrong_kind(&mut source, &node, "the list of types", "an array of event types");
            return Err(source.faults);
        };
        for item in items {
            let (text, offset, description) = match &item.value {
                Value::String(text) => (text.as_str(), item.offset, None),
                Value::Object(_) => {
                    let Some(entries) = object(&mut source, item, "a type", &["type", "description", "schema"]) else {
                        continue;
                    };
                    if let Some((key, _)) = entries.0.iter().find(|(key, _)| key.text == "schema") {
                        unsupported(&mut source, key.offset, "the key \"schema\"");
                    }
                    let description = entries.get("description").and_then(|n| string(&mut source, n, "description"));
                    let Some(node) = entries.get("type") else {
                        let expected = "\"type\": TYPE_FLOW_OPERATION_RESULT_VERSION";
                        source.fault(item.offset, "the key \"type\" is missing", expected);
                        continue;
                    };
                    let Some(text) = string(&mut source, node, "type") else { continue };
                    (text, node.offset, description)
                }
                _ => {
                    wrong_kind(&mut source, item, "a type", "a string or an object with \"type\"");
                    continue;
                }
            };
            match text.parse::<EventType>() {
                Ok(event_type) => {
                    if !known.insert(event_type.clone()) {
                        source.fault(offset, format!("the type {event_type} stands twice"), "each type once");
                    }
                    declarations.push(TypeDeclaration { event_type, description: description.map(str::to_owned) });
                }
                Err(error) => vocabulary(&mut source, offset, &error),
            }
        }
    }
    if source.faults.is_empty() { Ok(declarations) } else { Err(source.faults) }
}

/// Reads a file that declares event types, as `types.json` of a tree does: an array of types, or of objects with `type`
/// and `description`. `file` is what errors call it.
///
/// # Errors
/// [`ConfigError::Faults`], with all that is wrong.
pub fn read_types(file: &str, bytes: &[u8]) -> Result<Vec<TypeDeclaration>, ConfigError> {
    types(file, bytes).map_err(ConfigError::Faults)
}

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

/// Reads `tree.json`, whose keys are not supported yet: only `{}` is accepted.
pub(super) fn tree(file: &str, bytes: &[u8]) -> Result<(), Vec<Fault>> {
    const KEYS: [&str; 3] = ["extends", "remove", "keyframes"];
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    if let Some(node) = source.parse()
        && let Some(entries) = object(&mut source, &node, "the tree", &KEYS)
    {
        for (key, _) in entries.0.iter().filter(|(key, _)| KEYS.contains(&key.text.as_str())) {
            unsupported(&mut source, key.offset, &format!("the key {:?}", key.text));
        }
    }
    if source.faults.is_empty() { Ok(()) } else { Err(source.faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<T: std::fmt::Debug>(result: Result<T, Vec<Fault>>) -> String {
        result.unwrap_err().iter().map(|fault| fault.to_string() + "\n").collect()
    }

    #[test]
    fn types_are_names_or_objects() {
        let read = types("types.json", br#"["A_B_C_D_1", {"type": "A_B_C_D_2", "description": "second"}]"#).unwrap();
        assert_eq!(read[1].description.as_deref(), Some("second"));
        let faults = lines(types(
            "types.json",
            br#"["A_B_C_1", {"type": "A_B_C_D_1", "schema": {}}, {"tpye": "x"}, 1, "A_B_C_D_1", "A_B_C_d_1"]"#,
        ));
        for expected in [
            "1:2: event type \"A_B_C_1\" has 4 parts; expected five parts",
            "1:35: the key \"schema\" is not supported yet",
            "1:51: unknown key \"tpye\" in a type; expected one of type, description, schema (did you mean \"type\"?)",
            "1:50: the key \"type\" is missing",
            "1:65: a type is a number",
            "1:68: the type A_B_C_D_1 stands twice",
            "1:81: the result part \"d\"",
        ] {
            assert!(faults.contains(expected), "{expected}\nnot in\n{faults}");
        }
    }

    #[test]
    fn queues_have_options() {
        let read = queues("queues.json", br#"{"mail": {}, "letters": {"max_depth": 5}}"#).unwrap();
        assert_eq!(read.values().map(|q| q.max_depth).collect::<Vec<_>>(), [Some(5), None]);
        let faults = lines(queues("queues.json", br#"{"a b": {}, "m": {"depth": 1}, "n": {"max_depth": 0}, "o": 1}"#));
        assert_eq!(faults.lines().count(), 4, "{faults}");
    }

    #[test]
    fn what_is_not_supported_is_said() {
        assert!(tree("tree.json", b"{}").is_ok());
        assert!(lines(tree("tree.json", br#"{"extends": "_/loans"}"#)).contains("\"extends\" is not supported yet"));
        assert!(lines(tree("tree.json", br#"{"extend": "_/loans"}"#)).contains("did you mean \"extends\""));
    }
}
