//! The files at the root of a tree that say what holds for all of it: `queues.json`, `constants.json`, `tree.json`.
//! `types.json` is read by `types_file`.

use std::collections::{BTreeMap, BTreeSet};

use super::constants::{self, Constants};
use super::document::QueueOptions;
use super::fault::Fault;
use super::json::{Node, Source, Value};
use super::read::{array, boolean, integer, name, object, string, unsupported, vocabulary, wrong_kind};
use super::schema_refs::SchemaRefs;
use crate::event::{EventType, Name, TreeScope};

const TREE_KEYS: [&str; 3] = ["extends", "remove", "keyframes"];

/// A file that was read.
pub(super) struct Read<T> {
    /// What it says, without what is wrong in it; `None` where nothing is known.
    pub(super) known: Option<T>,
    /// What is wrong in it.
    pub(super) faults: Vec<Fault>,
}

impl<T> Read<T> {
    /// What it says, where nothing is wrong in it.
    pub(super) fn whole(self) -> Result<T, Vec<Fault>> {
        match self.known {
            Some(known) if self.faults.is_empty() => Ok(known),
            _ => Err(self.faults),
        }
    }
}

/// Reads a file with `of`, which says what is wrong to the source.
pub(super) fn read<T>(file: &str, bytes: &[u8], of: impl FnOnce(&mut Source<'_>, &Node) -> Option<T>) -> Read<T> {
    match Source::new(file, bytes) {
        Ok(mut source) => {
            let known = source.parse().and_then(|node| of(&mut source, &node));
            Read { known, faults: source.faults }
        }
        Err(fault) => Read { known: None, faults: vec![fault] },
    }
}

/// Reads `queues.json`: an object of names and options. Their schemas are read by `schemas`, which has what is wrong in the
/// files of these.
pub(super) fn queues(file: &str, bytes: &[u8], schemas: &mut SchemaRefs<'_>) -> Read<BTreeMap<Name, QueueOptions>> {
    read(file, bytes, |source, node| {
        let Value::Object(entries) = &node.value else {
            wrong_kind(source, node, "the list of queues", "an object of names and options");
            return None;
        };
        let mut queues = BTreeMap::new();
        for (key, node) in entries {
            let queue = name(source, key.offset, "queue", &key.text);
            let options = queue_options(source, node, schemas);
            if let Some(queue) = queue {
                queues.insert(queue, options);
            }
        }
        Some(queues)
    })
}

const QUEUE_KEYS: [&str; 6] = ["max_depth", "max_receives", "ordered", "groups", "ingest", "schema"];

/// The options of one queue; what is wrong in them is as if it weren't there.
fn queue_options(source: &mut Source<'_>, node: &Node, schemas: &mut SchemaRefs<'_>) -> QueueOptions {
    let Some(entries) = object(source, node, "the options of a queue", &QUEUE_KEYS) else {
        return QueueOptions::default();
    };
    let max_depth = entries.get("max_depth").and_then(|node| integer(source, node, "max_depth", 1..=i64::MAX));
    let receives = 1..=i64::from(QueueOptions::MAX_RECEIVES);
    let max_receives = entries.get("max_receives").and_then(|node| integer(source, node, "max_receives", receives));
    let ordered = entries.get("ordered").and_then(|node| boolean(source, node, "ordered"));
    let ingest = entries.get("ingest").and_then(|node| boolean(source, node, "ingest")).unwrap_or_default();
    if ingest && let Some((key, _)) = entries.0.iter().find(|(key, _)| key.text == "groups") {
        source.fault(
            key.offset,
            "an input queue has \"groups\"",
            "\"ingest\" without \"groups\": each message comes in once",
        );
    }
    QueueOptions {
        ingest,
        schema: entries.get("schema").and_then(|node| schemas.read(source, node)),
        max_depth: max_depth.and_then(|n| u64::try_from(n).ok()),
        max_receives: max_receives.and_then(|n| u32::try_from(n).ok()),
        ordered: ordered.unwrap_or_default(),
        groups: entries.get("groups").map(|node| groups(source, node)).unwrap_or_default(),
    }
}

fn groups(source: &mut Source<'_>, node: &Node) -> Vec<Name> {
    let mut groups: Vec<Name> = Vec::new();
    let items = array(source, node, "groups").unwrap_or_default();
    if items.len() > QueueOptions::MAX_GROUPS {
        let expected = format!("at most {} (MAX_GROUPS)", QueueOptions::MAX_GROUPS);
        source.fault(node.offset, format!("{} groups", items.len()), expected);
    }
    for item in items {
        let Some(text) = string(source, item, "a group") else { continue };
        let Some(group) = name(source, item.offset, "group", text) else { continue };
        if groups.contains(&group) {
            source.fault(item.offset, format!("the group {group} stands twice"), "each group once");
        } else {
            groups.push(group);
        }
    }
    groups
}

/// Reads `constants.json`: an object of names and values.
pub(super) fn constants(file: &str, bytes: &[u8]) -> Read<Constants> {
    read(file, bytes, |source, node| {
        let Value::Object(entries) = &node.value else {
            wrong_kind(source, node, "the list of constants", "an object of names and values");
            return None;
        };
        let mut constants = Constants::default();
        for (key, node) in entries {
            if constants::is_name(&key.text) {
                constants.0.insert(key.text.clone(), source.slice(node).to_owned());
            } else {
                let what = format!("{:?} can't be the name of a constant", crate::event::excerpt(&key.text));
                source.fault(key.offset, what, "1 to 64 letters, digits and underscores, such as region");
            }
        }
        Some(constants)
    })
}

/// What `tree.json` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TreeFile {
    /// The tree that this one extends, and what to say where that can't be.
    pub(super) extends: Option<(TreeScope, Fault)>,
    /// Types of that tree which this one has no document for, and what to say where it has none either.
    pub(super) remove: BTreeMap<EventType, Fault>,
}

/// Reads `tree.json`. Nothing is known of it where the tree that it extends isn't.
pub(super) fn tree(file: &str, bytes: &[u8]) -> Read<TreeFile> {
    read(file, bytes, |source, node| {
        let entries = object(source, node, "the tree", &TREE_KEYS)?;
        if let Some((key, _)) = entries.0.iter().find(|(key, _)| key.text == "keyframes") {
            unsupported(source, key.offset, "the key \"keyframes\"");
        }
        let extends = entries.get("extends").map(|node| extended(source, node));
        let mut remove = BTreeMap::new();
        if let Some(node) = entries.get("remove") {
            if extends.is_none() {
                source.fault(node.offset, "there is \"remove\" and no \"extends\"", "the tree to remove types from");
            }
            for item in array(source, node, "remove").unwrap_or_default() {
                let Some(text) = string(source, item, "a type") else { continue };
                match text.parse::<EventType>() {
                    Ok(event_type) => {
                        let fault = source.fault_at(item.offset, "", "");
                        if remove.insert(event_type.clone(), fault).is_some() {
                            source.fault(item.offset, format!("the type {event_type} stands twice"), "each type once");
                        }
                    }
                    Err(error) => vocabulary(source, item.offset, &error),
                }
            }
        }
        // A key that isn't known may have been meant to be `extends`.
        let is_known = entries.0.iter().all(|(key, _)| TREE_KEYS.contains(&key.text.as_str()));
        match extends {
            _ if !is_known => None,
            Some(None) => None,
            extends => Some(TreeFile { extends: extends.flatten(), remove }),
        }
    })
}

fn extended(source: &mut Source<'_>, node: &Node) -> Option<(TreeScope, Fault)> {
    let text = string(source, node, "extends")?;
    match text.parse() {
        Ok(tree) => Some((tree, source.fault_at(node.offset, "", ""))),
        Err(error) => {
            vocabulary(source, node.offset, &error);
            None
        }
    }
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
    use crate::config::schema_refs::Files;

    fn queues(file: &str, bytes: &[u8]) -> Read<BTreeMap<Name, QueueOptions>> {
        let files = Files::from([("schemas/a.json", &b"{\"type\": 1}"[..]), ("schemas/b.json", b"true")]);
        let mut schemas = SchemaRefs::new(&files, false);
        let Read { known, faults } = super::queues(file, bytes, &mut schemas);
        Read { known, faults: [faults, schemas.faults].concat() }
    }

    fn lines<T>(read: Read<T>) -> String {
        read.faults.iter().map(|fault| fault.to_string() + "\n").collect()
    }

    #[test]
    fn queues_have_options() {
        let read = queues("queues.json", br#"{"mail": {}, "letters": {"max_depth": 5}}"#).whole().unwrap();
        assert_eq!(read.values().map(|q| q.max_depth).collect::<Vec<_>>(), [Some(5), None]);
        let faults = lines(queues("queues.json", br#"{"a b": {}, "m": {"depth": 1}, "n": {"max_depth": 0}, "o": 1}"#));
        assert_eq!(faults.lines().count(), 4, "{faults}");
        let text = br#"{"m": {"max_receives": 3, "ordered": true, "groups": ["a", "b"]}}"#;
        let read = queues("queues.json", text).whole().unwrap();
        let options = read.values().next().unwrap();
        let groups: Vec<&str> = options.groups.iter().map(Name::as_str).collect();
        assert_eq!((options.max_receives, options.ordered, groups), (Some(3), true, vec!["a", "b"]));
        for (options, expected) in [
            (r#"{"max_receives": 0}"#, "max_receives is 0; expected a whole number from 1 to 1000"),
            (r#"{"max_receives": 1001}"#, "max_receives is 1001"),
            (r#"{"ordered": 1}"#, "ordered is a number; expected true or false"),
            (r#"{"groups": ["a", "b", "a"]}"#, "the group a stands twice; expected each group once"),
            (r#"{"groups": ["a b"]}"#, "a b"),
            (r#"{"groups": [1]}"#, "a group is a number; expected a string"),
            (r#"{"groups": "a"}"#, "groups is a string; expected an array"),
            (r#"{"max_receive": 1}"#, "did you mean \"max_receives\""),
            (r#"{"ingest": "yes"}"#, "ingest is a string; expected true or false"),
            (r#"{"ingest": true, "groups": ["a"]}"#, "an input queue has \"groups\""),
            (r#"{"schema": 1}"#, "schema is a number; expected a JSON Schema"),
            (r#"{"schema": "schemas/c.json"}"#, "there is no file \"schemas/c.json\""),
        ] {
            let faults = lines(queues("queues.json", format!(r#"{{"m": {options}}}"#).as_bytes()));
            assert!(faults.lines().count() == 1, "{faults}");
            assert!(faults.contains(expected), "{faults}");
        }
        let many: Vec<String> = (0..=QueueOptions::MAX_GROUPS).map(|number| format!("\"g{number}\"")).collect();
        let faults = lines(queues("queues.json", format!(r#"{{"m": {{"groups": [{}]}}}}"#, many.join(",")).as_bytes()));
        assert!(faults.contains("17 groups; expected at most 16 (MAX_GROUPS)"), "{faults}");
    }

    #[test]
    fn constants_are_kept_as_written() {
        let read = constants("constants.json", br#"{"region": "eu", "limit": 1.10, "desks": [ 1, {"a":2} ]}"#)
            .whole()
            .unwrap();
        assert_eq!(read.to_json(), r#"{"desks":[ 1, {"a":2} ],"limit":1.10,"region":"eu"}"#);
        let faults = lines(constants("constants.json", br#"{"a b": 1, "2": 1, "a": 1, "a": 2}"#));
        assert_eq!(faults.lines().count(), 3, "{faults}");
        assert!(lines(constants("constants.json", b"[]")).contains("the list of constants is an array"));
    }

    #[test]
    fn a_tree_extends_another() {
        assert_eq!(tree("tree.json", b"{}").whole().unwrap(), TreeFile::default());
        let read = tree("tree.json", br#"{"extends": "_/loans", "remove": ["A_B_C_D_1"]}"#).whole().unwrap();
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
