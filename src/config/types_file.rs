//! `types.json`, of a tree or by itself: event types to declare for an application, with their schemas and upcasts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;

use super::constants::Constants;
use super::declaration::{TypeDeclaration, Upcast};
use super::document::{DocumentId, MAX_FILE_LEN};
use super::fault::{ConfigError, ExpressionCheck, Fault};
use super::json::{Node, Source, Value};
use super::nearest::nearest;
use super::read::{object, string, vocabulary, wrong_kind};
use super::schema_refs::{Files, SCHEMAS, SchemaRefs};
use crate::event::{EventType, excerpt};

const KEYS: [&str; 4] = ["type", "description", "schema", "upcast"];

/// Event types to declare, with the texts of their schemas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declarations {
    /// The types, in the order of the file.
    pub types: Vec<TypeDeclaration>,
    pub(super) schemas: BTreeMap<DocumentId, Bytes>,
}

/// What `types.json` is read for.
#[derive(Clone, Copy)]
pub(super) enum Reading<'a> {
    /// To be imported: upcasts are checked, and that schemas can be used.
    Import {
        expressions: ExpressionCheck,
        /// The host's upcast functions; `None` where there is no host.
        upcasters: Option<&'a BTreeSet<String>>,
    },
    /// To be declared: upcasts are checked later.
    Declare,
    /// Again, after it was imported, perhaps by a build that can use other schemas.
    Again,
}

/// Reads `types.json`: an array of types, or of objects with `type` and what else is known of it.
pub(super) fn read(
    file: &str,
    bytes: &[u8],
    files: &Files<'_>,
    reading: Reading<'_>,
) -> Result<Declarations, Vec<Fault>> {
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    let Some(node) = source.parse() else { return Err(source.faults) };
    let Value::Array(items) = &node.value else {
        wrong_kind(&mut source, &node, "the list of types", "an array of event types");
        return Err(source.faults);
    };
    let mut reader = Reader {
        source,
        reading,
        found: Declarations::default(),
        named: BTreeSet::new(),
        schemas: SchemaRefs::new(files, matches!(reading, Reading::Again)),
    };
    for item in items {
        reader.item(item);
    }
    let Reader { mut source, mut found, schemas, .. } = reader;
    source.faults.extend(schemas.faults);
    found.schemas = schemas.found;
    if source.faults.is_empty() { Ok(found) } else { Err(source.faults) }
}

struct Reader<'a> {
    source: Source<'a>,
    reading: Reading<'a>,
    found: Declarations,
    named: BTreeSet<EventType>,
    schemas: SchemaRefs<'a>,
}

impl Reader<'_> {
    fn item(&mut self, item: &Node) {
        let source = &mut self.source;
        match &item.value {
            Value::String(text) => {
                if let Some(event_type) = self.event_type(item.offset, text) {
                    self.found.types.push(TypeDeclaration::of(event_type));
                }
            }
            Value::Object(_) => {
                let Some(entries) = object(source, item, "a type", &KEYS) else { return };
                let description = entries.get("description").and_then(|n| string(source, n, "description"));
                let Some(node) = entries.get("type") else {
                    let expected = "\"type\": TYPE_FLOW_OPERATION_RESULT_VERSION";
                    source.fault(item.offset, "the key \"type\" is missing", expected);
                    return;
                };
                let Some(text) = string(source, node, "type") else { return };
                let event_type = self.event_type(node.offset, text);
                let schema = entries.get("schema").and_then(|node| self.schemas.read(&mut self.source, node));
                let upcast = entries.get("upcast").and_then(|node| self.upcast(node));
                if let Some(event_type) = event_type {
                    let description = description.map(str::to_owned);
                    self.found.types.push(TypeDeclaration { event_type, description, schema, upcast });
                }
            }
            _ => wrong_kind(source, item, "a type", "a string or an object with \"type\""),
        }
    }

    fn event_type(&mut self, offset: usize, text: &str) -> Option<EventType> {
        match text.parse::<EventType>() {
            Ok(event_type) => {
                if !self.named.insert(event_type.clone()) {
                    self.source.fault(offset, format!("the type {event_type} stands twice"), "each type once");
                }
                Some(event_type)
            }
            Err(error) => {
                vocabulary(&mut self.source, offset, &error);
                None
            }
        }
    }

    fn upcast(&mut self, node: &Node) -> Option<Upcast> {
        match &node.value {
            Value::String(text) => {
                if let Reading::Import { expressions, .. } = self.reading
                    && let Err(fault) = expressions(text, Some(&Constants::default()))
                {
                    let offset = self.source.inside_string(node.offset, fault.offset);
                    self.source.fault(offset, format!("upcast: {}", fault.what), fault.expected);
                }
                Some(Upcast::Jq(text.clone()))
            }
            Value::Object(_) => {
                let entries = object(&mut self.source, node, "upcast", &["function"])?;
                let Some(function) = entries.get("function") else {
                    self.source.fault(node.offset, "the key \"function\" is missing", "{\"function\": NAME}");
                    return None;
                };
                let name = string(&mut self.source, function, "function")?;
                if let Reading::Import { upcasters: Some(known), .. } = self.reading
                    && !known.contains(name)
                {
                    let near = nearest(name, known.iter().map(String::as_str));
                    let near = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                    let expected = format!("an upcast function that the host registers{near}");
                    self.source.fault(function.offset, format!("unknown function {:?}", excerpt(name)), expected);
                    return None;
                }
                Some(Upcast::Function(name.to_owned()))
            }
            _ => {
                wrong_kind(&mut self.source, node, "upcast", "an expression in jq, or {\"function\": NAME}");
                None
            }
        }
    }
}

/// Reads event types to declare: from a file like `types.json` of a tree, or from a folder with `types.json` in it. Schemas
/// that it names by file stand in `schemas/` beside it.
///
/// # Errors
/// [`ConfigError::Faults`], with all that is wrong; [`ConfigError::Io`].
pub fn read_types(path: &Path) -> Result<Declarations, ConfigError> {
    let file = if path.is_dir() { path.join("types.json") } else { path.to_owned() };
    let read = |path: &Path| -> Result<Vec<u8>, ConfigError> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(ConfigError::io(path))?;
        file.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes).map_err(ConfigError::io(path))?;
        if bytes.len() as u64 <= MAX_FILE_LEN {
            return Ok(bytes);
        }
        let what = format!("the file is larger than {MAX_FILE_LEN} bytes");
        let expected = format!("at most MAX_FILE_LEN = {MAX_FILE_LEN} bytes");
        Err(ConfigError::Faults(vec![Fault { file: path.display().to_string(), line: 1, column: 1, what, expected }]))
    };
    let bytes = read(&file)?;
    let mut schemas = BTreeMap::new();
    let folder = file.parent().unwrap_or(Path::new("")).join(SCHEMAS);
    if let Ok(entries) = std::fs::read_dir(&folder) {
        for entry in entries {
            let entry = entry.map_err(ConfigError::io(&folder))?;
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.path().is_file()) {
                schemas.insert(format!("{SCHEMAS}/{name}"), read(&entry.path())?);
            }
        }
    }
    let files = schemas.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    self::read(&file.display().to_string(), &bytes, &files, Reading::Declare).map_err(ConfigError::Faults)
}

impl Declarations {
    /// Types without anything else known of them.
    pub fn of(types: impl IntoIterator<Item = EventType>) -> Self {
        Self { types: types.into_iter().map(TypeDeclaration::of).collect(), schemas: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        let faults = read("types.json", text.as_bytes(), &Files::new(), Reading::Declare).unwrap_err();
        faults.iter().map(|fault| fault.to_string() + "\n").collect()
    }

    #[test]
    fn types_are_names_or_objects() {
        let text = br#"["A_B_C_D_1", {"type": "A_B_C_D_2", "description": "second", "upcast": ".data"}]"#;
        let read = read("types.json", text, &Files::new(), Reading::Declare).unwrap();
        assert_eq!(read.types[1].description.as_deref(), Some("second"));
        assert_eq!(read.types[1].upcast, Some(Upcast::Jq(".data".to_owned())));
        let faults = faults(r#"["A_B_C_1", {"tpye": "x"}, 1, "A_B_C_D_1", "A_B_C_D_1", "A_B_C_d_1"]"#);
        for expected in [
            "1:2: event type \"A_B_C_1\" has 4 parts; expected five parts",
            "1:14: unknown key \"tpye\" in a type; expected one of type, description, schema, upcast (did you mean \"type\"?)",
            "1:13: the key \"type\" is missing",
            "1:28: a type is a number",
            "1:44: the type A_B_C_D_1 stands twice",
            "1:57: the result part \"d\"",
        ] {
            assert!(faults.contains(expected), "{expected}\nnot in\n{faults}");
        }
    }

    #[test]
    fn schemas_and_upcasts_are_looked_at() {
        let faults = faults(
            r#"[{"type": "A_B_C_D_1", "schema": 1}, {"type": "A_B_C_D_2", "schema": "schemas/a.json"},
 {"type": "A_B_C_D_3", "schema": "a.txt", "upcast": {"function": 1}}, {"type": "A_B_C_D_4", "upcast": {}}]"#,
        );
        for expected in [
            "1:34: schema is a number; expected a JSON Schema, or a file",
            "1:70: there is no file \"schemas/a.json\"",
            "2:34: schema is \"a.txt\"; expected a file such as",
            "2:66: function is a number",
            "2:103: the key \"function\" is missing",
        ] {
            assert!(faults.contains(expected), "{expected}\nnot in\n{faults}");
        }
    }
}
