//! Schemas that `types.json` and `queues.json` name: a JSON Schema as it stands, or a file of `schemas/` beside.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use bytes::Bytes;

use super::declaration::{SchemaFormat, SchemaRef};
use super::document::DocumentId;
use super::fault::Fault;
use super::json::{Node, Source, Value};
use super::nearest::nearest;
use super::read::wrong_kind;
use super::schema;
use crate::event::excerpt;

/// The folder of a tree that holds schemas in files of their own.
pub(super) const SCHEMAS: &str = "schemas";

/// The files that may be named, by path.
pub(super) type Files<'a> = BTreeMap<&'a str, &'a [u8]>;

/// What a file says of schemas, as it is read.
pub(super) struct SchemaRefs<'a> {
    files: &'a Files<'a>,
    /// What was imported is read again, perhaps by a build that can use other schemas.
    again: bool,
    /// The texts of those that were found.
    pub(super) found: BTreeMap<DocumentId, Bytes>,
    /// Those that can be used.
    usable: HashSet<SchemaRef>,
    /// The files of schemas that were looked at: what is wrong in one is said once.
    looked_at: BTreeMap<String, Option<Node>>,
    /// What is wrong in them.
    pub(super) faults: Vec<Fault>,
}

impl<'a> SchemaRefs<'a> {
    pub(super) fn new(files: &'a Files<'a>, again: bool) -> Self {
        let (found, usable, looked_at) = (BTreeMap::new(), HashSet::new(), BTreeMap::new());
        Self { files, again, found, usable, looked_at, faults: Vec::new() }
    }

    /// A JSON Schema as it stands, or a file of `schemas/`, for Avro with the name of a record in it.
    pub(super) fn read(&mut self, source: &mut Source<'_>, node: &Node) -> Option<SchemaRef> {
        let (format, text, name, file) = match &node.value {
            Value::Object(_) | Value::Bool(_) => {
                let text = Bytes::copy_from_slice(source.slice(node).as_bytes());
                (SchemaFormat::JsonSchema, text, None, None)
            }
            Value::String(text) => {
                let (format, path, name) = self.schema_file(source, node, text)?;
                let bytes = Bytes::copy_from_slice(self.files.get(path).copied().unwrap_or_default());
                (format, bytes, name, Some(path))
            }
            _ => {
                let expected = "a JSON Schema, or a file such as \"schemas/offer.json\" or \"schemas/offer.avsc#Sent\"";
                wrong_kind(source, node, "schema", expected);
                return None;
            }
        };
        let document = DocumentId::of(&text);
        let found = SchemaRef { format, document, name };
        if !self.again && !self.usable.contains(&found) {
            if file.is_some_and(|path| !self.look_at(source, path, format, &text)) {
                return None;
            }
            if let Err(unusable) = schema::check(&found, &text) {
                self.unusable(source, node, file, &text, unusable);
                return None;
            }
            self.usable.insert(found.clone());
        }
        self.found.insert(document, text);
        Some(found)
    }

    /// Which file is meant, and what in it.
    fn schema_file<'t>(
        &self,
        source: &mut Source<'_>,
        node: &Node,
        text: &'t str,
    ) -> Option<(SchemaFormat, &'t str, Option<String>)> {
        let (path, name) = match text.split_once('#') {
            Some((path, name)) => (path, Some(name.to_owned())),
            None => (text, None),
        };
        let format = match path.rsplit_once('.') {
            Some((_, "avsc")) => SchemaFormat::Avro,
            Some((_, "json")) if name.is_none() => SchemaFormat::JsonSchema,
            _ => {
                let expected = "a file such as \"schemas/offer.json\" or \"schemas/offer.avsc#Sent\"";
                source.fault(node.offset, format!("schema is {:?}", excerpt(text)), expected);
                return None;
            }
        };
        if self.files.contains_key(path) {
            return Some((format, path, name));
        }
        let inside = format!("{SCHEMAS}/{path}");
        let inside = self.files.keys().copied().find(|known| *known == inside);
        let near = inside.or_else(|| nearest(path, self.files.keys().copied()));
        let near = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let what = format!("there is no file {:?}", excerpt(path));
        source.fault(node.offset, what, format!("a file of {SCHEMAS}/{near}"));
        None
    }

    /// Whether a file of schemas is right in itself.
    fn look_at(&mut self, beside: &Source<'_>, path: &str, format: SchemaFormat, bytes: &[u8]) -> bool {
        if let Some(looked_at) = self.looked_at.get(path) {
            return looked_at.is_some();
        }
        let file = file_beside(beside, path);
        let root = match Source::new(&file, bytes) {
            Ok(mut source) => {
                let root = schema::check_file(format, &mut source);
                self.faults.extend(source.faults);
                root
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        };
        let is_right = root.is_some();
        self.looked_at.insert(path.to_owned(), root);
        is_right
    }

    /// A schema can't be used: said where in it, as far as that is known.
    fn unusable(
        &mut self,
        source: &mut Source<'_>,
        node: &Node,
        file: Option<&str>,
        text: &[u8],
        unusable: schema::Unusable,
    ) {
        let schema::Unusable { what, expected, at } = unusable;
        match file.and_then(|path| Some((path, self.looked_at.get(path)?.as_ref()?.at(&at)?.offset))) {
            Some((path, offset)) if !at.is_empty() => {
                let file = file_beside(source, path);
                if let Ok(source) = Source::new(&file, text) {
                    self.faults.push(source.fault_at(offset, what, expected));
                }
            }
            _ => {
                let offset = node.at(&at).map_or(node.offset, |place| place.offset);
                source.fault(offset, what, expected);
            }
        }
    }
}

/// The name of a file that stands beside another.
fn file_beside(source: &Source<'_>, path: &str) -> String {
    let folder = Path::new(source.file).parent().unwrap_or(Path::new(""));
    folder.join(path).display().to_string()
}
