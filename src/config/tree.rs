//! A configuration tree in a folder: which files there are, what they say, and all that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::constants::{Constants, MAX_CONSTANTS, MAX_CONSTANTS_LEN};
use super::document::{Document, DocumentId, MAX_FILE_LEN, QueueOptions, Target};
use super::fault::{ConfigError, ExpressionCheck, Fault};
use super::nearest::nearest;
use super::parse_document::{self, Surroundings};
use super::records::Placed;
use super::root_files::{self, TreeFile};
use super::schedules::{self, Schedules};
use super::schema_refs::{SCHEMAS, SchemaRefs};
use super::types_file::{self, Declarations, Reading};
use crate::event::{EventType, Name, TreeScope, excerpt};

/// The most files and folders that a tree may have.
pub const MAX_TREE_FILES: usize = 100_000;
/// The most that all files of a tree may be together, in bytes.
pub const MAX_TREE_BYTES: u64 = 256 << 20;

/// A tree whose files are well formed.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Its own documents.
    pub(super) documents: BTreeMap<EventType, TreeDocument>,
    /// Those of the tree that it extends, but for what it has itself or removes.
    pub(super) inherited: BTreeMap<EventType, Placed>,
    pub(super) removed: BTreeSet<EventType>,
    pub(super) declarations: Declarations,
    /// The tree that it extends, with the revision it was read beside, and what to say where that can't be.
    pub(super) extends: Option<(TreeScope, u32, Fault)>,
    /// Its queues and constants, with those of the tree that it extends.
    pub(super) queues: BTreeMap<Name, QueueOptions>,
    pub(super) constants: Constants,
    /// The texts of the schemas of its own queues.
    pub(super) queue_schemas: BTreeMap<DocumentId, Bytes>,
    /// Its own schedules.
    pub(super) schedules: Schedules,
    /// All other files, by path.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// A document of a tree.
#[derive(Debug)]
pub(super) struct TreeDocument {
    /// Relative to the tree's folder.
    pub(super) file: String,
    pub(super) bytes: Vec<u8>,
    pub(super) id: DocumentId,
    pub(super) document: Document,
}

/// What a tree that extends another takes from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    pub(super) revision: u32,
    pub(super) documents: BTreeMap<EventType, Placed>,
    pub(super) queues: BTreeMap<Name, QueueOptions>,
    pub(super) constants: Constants,
    /// The trees that it extends itself, one behind the other.
    pub(super) behind: Vec<TreeScope>,
}

/// What a tree is read beside.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) expressions: ExpressionCheck,
    /// The host's functions; `None` where there is no host.
    pub(super) functions: Option<&'a BTreeSet<String>>,
    /// The host's upcast functions; `None` where there is no host.
    pub(super) upcasters: Option<&'a BTreeSet<String>>,
    /// The trees that may be extended; `None` where they aren't known, and what depends on them isn't checked.
    pub(super) bases: Option<&'a Bases<'a>>,
}

/// What trees have to give to those that extend them.
pub(super) type Bases<'a> = dyn Fn(&TreeScope) -> Result<Option<Base>, ConfigError> + 'a;

impl Tree {
    /// What its own handlers call, each with the types whose documents do.
    pub(super) fn targets(&self) -> BTreeMap<&Target, Vec<&EventType>> {
        let mut targets: BTreeMap<&Target, Vec<&EventType>> = BTreeMap::new();
        for (event_type, document) in &self.documents {
            for handler in &document.document.handlers {
                let types = targets.entry(&handler.target).or_default();
                if types.last() != Some(&event_type) {
                    types.push(event_type);
                }
            }
        }
        targets
    }

    /// Its own documents, by name and place.
    pub(super) fn placed(&self) -> BTreeMap<EventType, Placed> {
        let placed = |(event_type, document): (&EventType, &TreeDocument)| {
            let path = (document.file != canonical_path(event_type)).then(|| document.file.clone());
            (event_type.clone(), Placed { id: document.id, path })
        };
        self.documents.iter().map(placed).collect()
    }

    /// The type of each document that it has, its own or not, with the file of its own.
    pub(super) fn types(&self) -> BTreeMap<EventType, Option<String>> {
        let inherited = self.inherited.keys().map(|event_type| (event_type.clone(), None));
        let own = self.documents.iter().map(|(event_type, own)| (event_type.clone(), Some(own.file.clone())));
        inherited.chain(own).collect()
    }
}

/// Where the document of a type stands in a tree whose folders are in lower case.
pub(super) fn canonical_path(event_type: &EventType) -> String {
    let [kind, flow, operation, result, version] = event_type.parts().map(str::to_ascii_lowercase);
    format!("{version}/{kind}/{flow}/{operation}/{result}.json")
}

/// Files that are read, by path.
type Found = Vec<(Vec<String>, Vec<u8>)>;

/// Reads the tree in `folder`.
///
/// # Errors
/// [`ConfigError::Faults`] with everything that is wrong in it; [`ConfigError::Io`] where the folder itself can't be read.
pub(super) fn read(folder: &Path, beside: Beside<'_>) -> Result<Tree, ConfigError> {
    let root = folder.canonicalize().map_err(ConfigError::io(folder))?;
    let mut walk = Walk { root, found: 0, bytes: 0, files: Vec::new(), faults: Vec::new() };
    walk.folder(&walk.root.clone(), &mut Vec::new()).map_err(ConfigError::io(folder))?;
    let Walk { files, mut faults, .. } = walk;
    let is_document = |path: &[String]| path.len() != 1 && path.first().is_none_or(|first| first != SCHEMAS);
    let (documents, others): (Found, Found) = files.into_iter().partition(|(path, _)| is_document(path));
    let (mut tree, shared) = of_all(others, beside, &mut faults)?;
    let mut seen: BTreeMap<EventType, String> = BTreeMap::new();
    for (path, bytes) in documents {
        let file = path.join("/");
        let event_type = match type_of(&path) {
            Ok(event_type) => event_type,
            Err(wrong) => {
                faults.push(wrong);
                continue;
            }
        };
        if let Some(other) = seen.insert(event_type.clone(), file.clone()) {
            let what = format!("the type {event_type} has another file, {other}");
            faults.push(fault(&file, what, "one file for each type"));
        }
        let surroundings = Surroundings {
            expressions: beside.expressions,
            queues: shared.queues.as_ref(),
            functions: beside.functions,
            constants: shared.constants.as_ref(),
        };
        let document = match parse_document::check(&file, &bytes, surroundings) {
            Ok(document) => document,
            Err(wrong) => {
                faults.extend(wrong);
                continue;
            }
        };
        let id = DocumentId::of(&bytes);
        tree.inherited.remove(&event_type);
        tree.documents.insert(event_type, TreeDocument { file, bytes, id, document });
    }
    for (schedule, place) in tree.schedules.values() {
        let event_type = &schedule.event_type;
        if !seen.contains_key(event_type) && !tree.inherited.contains_key(event_type) && shared.queues.is_some() {
            let near = nearest(event_type.as_str(), seen.keys().map(EventType::as_str));
            let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            let what = format!("the tree has no document for {event_type}, which the schedule brings");
            let expected = format!("a type with a document{near}");
            faults.push(Fault { what, expected, ..place.clone() });
        }
    }
    faults.extend(shared.constants.as_ref().and_then(too_many));
    if faults.is_empty() {
        tree.queues = shared.queues.unwrap_or_default();
        tree.constants = shared.constants.unwrap_or_default();
        return Ok(tree);
    }
    faults.sort();
    // A file of schemas may be named by types and by queues.
    faults.dedup();
    Err(ConfigError::Faults(faults))
}

/// What holds for all documents of a tree; `None` where it can't be known, as a file can't be read.
struct Shared {
    queues: Option<BTreeMap<Name, QueueOptions>>,
    constants: Option<Constants>,
}

/// Reads the files that are no documents.
fn of_all(others: Found, beside: Beside<'_>, faults: &mut Vec<Fault>) -> Result<(Tree, Shared), ConfigError> {
    let mut tree = Tree::default();
    let mut shared = Shared { queues: Some(BTreeMap::new()), constants: Some(Constants::default()) };
    let (mut said, mut is_known) = (TreeFile::default(), true);
    let named: Vec<(String, &[u8])> = others.iter().map(|(path, bytes)| (path.join("/"), bytes.as_slice())).collect();
    let schemas = named.iter().filter(|(file, _)| file.contains('/')).map(|(file, b)| (file.as_str(), *b)).collect();
    for (file, bytes) in named.iter().filter(|(file, _)| !file.contains('/')) {
        let wrong = match file.as_str() {
            "types.json" => types_file::read(
                file,
                bytes,
                &schemas,
                Reading::Import { expressions: beside.expressions, upcasters: beside.upcasters },
            )
            .map(|declarations| tree.declarations = declarations)
            .err(),
            "queues.json" => {
                let mut refs = SchemaRefs::new(&schemas, false);
                let read = root_files::queues(file, bytes, &mut refs);
                shared.queues = read.known;
                tree.queue_schemas = refs.found;
                Some([read.faults, refs.faults].concat())
            }
            "constants.json" => {
                let read = root_files::constants(file, bytes);
                shared.constants = read.known;
                Some(read.faults)
            }
            "tree.json" => {
                let read = root_files::tree(file, bytes);
                is_known = read.known.is_some();
                said = read.known.unwrap_or_default();
                Some(read.faults)
            }
            "schedules.json" => {
                let read = schedules::schedules(file, bytes);
                tree.schedules = read.known.unwrap_or_default();
                Some(read.faults)
            }
            _ => Some(vec![stray(std::slice::from_ref(file))]),
        };
        faults.extend(wrong.into_iter().flatten());
    }
    tree.removed = said.removed();
    if !is_known {
        // What it takes from the tree that it extends isn't known.
        shared = Shared { queues: None, constants: None };
    }
    if let Some((extended, place)) = said.extends {
        match beside.bases {
            None => shared = Shared { queues: None, constants: None },
            Some(bases) => match bases(&extended)? {
                Some(base) => inherit(&mut tree, &mut shared, &said.remove, base, extended, place, faults),
                None => {
                    shared = Shared { queues: None, constants: None };
                    let what = format!("the tree {extended} that this one extends is not imported");
                    faults.push(Fault { what, expected: "a tree of the store".to_owned(), ..place });
                }
            },
        }
    }
    tree.files = others.into_iter().map(|(path, bytes)| (path.join("/"), bytes)).collect();
    Ok((tree, shared))
}

/// Takes from the base what the tree doesn't say itself.
fn inherit(
    tree: &mut Tree,
    shared: &mut Shared,
    remove: &BTreeMap<EventType, Fault>,
    base: Base,
    extended: TreeScope,
    place: Fault,
    faults: &mut Vec<Fault>,
) {
    let Base { revision, documents, queues, constants, .. } = base;
    for (event_type, place) in remove {
        if !documents.contains_key(event_type) {
            let what = format!("{extended}, revision {revision}, has no document for {event_type}");
            faults.push(Fault { what, expected: "a type of the tree that is extended".to_owned(), ..place.clone() });
        }
    }
    if let Some(own) = &mut shared.queues {
        for (queue, options) in queues {
            own.entry(queue).or_insert(options);
        }
    }
    shared.constants = shared.constants.take().map(|own| own.over(&constants));
    tree.inherited = documents.into_iter().filter(|(event_type, _)| !remove.contains_key(event_type)).collect();
    tree.extends = Some((extended, revision, place));
}

/// Constants that are more than a tree may have, with those of the trees that it extends.
pub(super) fn too_many(constants: &Constants) -> Option<Fault> {
    let (count, length) = (constants.names().count(), constants.to_json().len());
    let wrong = |what: String, expected: String| Some(fault("constants.json", what, expected));
    if count > MAX_CONSTANTS {
        let what = format!("there are {count} constants, with those of the trees that this one extends");
        return wrong(what, format!("at most MAX_CONSTANTS = {MAX_CONSTANTS}"));
    }
    if length > MAX_CONSTANTS_LEN {
        let what = format!("the constants are {length} bytes, with those of the trees that this one extends");
        return wrong(what, format!("at most MAX_CONSTANTS_LEN = {MAX_CONSTANTS_LEN} bytes"));
    }
    None
}

fn fault(file: &str, what: impl Into<String>, expected: impl Into<String>) -> Fault {
    Fault { file: file.to_owned(), line: 1, column: 1, what: what.into(), expected: expected.into() }
}

fn stray(path: &[String]) -> Fault {
    let expected = "<version>/<type>/<flow>/<operation>/<result>.json, schemas/<file>, types.json, queues.json, \
                    constants.json, schedules.json or tree.json";
    fault(&path.join("/"), "this file has no place in a tree", expected)
}

/// The event type that a file is for.
pub(super) fn type_of(path: &[String]) -> Result<EventType, Fault> {
    let [version, kind, flow, operation, result] = path else { return Err(stray(path)) };
    let Some(result) = result.strip_suffix(".json") else { return Err(stray(path)) };
    EventType::from_folder_parts([kind, flow, operation, result, version]).map_err(|error| {
        let (what, expected) = super::read::said(&error);
        fault(&path.join("/"), what, expected)
    })
}

/// A walk over the folder of a tree: reads its files, within limits.
struct Walk {
    root: PathBuf,
    found: usize,
    bytes: u64,
    files: Vec<(Vec<String>, Vec<u8>)>,
    faults: Vec<Fault>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, path: &mut Vec<String>) -> std::io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.found += 1;
            if self.found == MAX_TREE_FILES + 1 {
                let what = format!("the tree has more than {MAX_TREE_FILES} files and folders");
                self.faults.push(fault(&path.join("/"), what, "at most MAX_TREE_FILES"));
            }
            if self.found > MAX_TREE_FILES {
                return Ok(());
            }
            match entry.file_name().into_string() {
                Ok(name) => {
                    path.push(name);
                    if let Err(error) = self.entry(&entry.path(), path) {
                        self.faults.push(fault(&path.join("/"), error.to_string(), "a file that can be read"));
                    }
                    path.pop();
                }
                Err(name) => {
                    path.push(name.to_string_lossy().into_owned());
                    self.faults.push(fault(
                        &path.join("/"),
                        "the name is not UTF-8",
                        "letters, digits and underscores",
                    ));
                    path.pop();
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, at: &Path, path: &mut Vec<String>) -> std::io::Result<()> {
        let kind = fs::symlink_metadata(at)?.file_type();
        let file = || excerpt(&path.join("/"));
        if kind.is_symlink() {
            let target = at.canonicalize()?;
            if !target.starts_with(&self.root) {
                self.faults.push(fault(&file(), "the symbolic link leaves the tree's folder", "a target inside it"));
                return Ok(());
            }
            if !target.is_file() {
                self.faults.push(fault(&file(), "the symbolic link is to no file", "a link to a file, or a folder"));
                return Ok(());
            }
            return self.file(&target, path);
        }
        if kind.is_dir() {
            if path.len() == 1 && path.first().is_some_and(|name| name == "connections") {
                self.faults.push(fault("connections", "connections/ is not supported yet", "a tree without it"));
                return Ok(());
            }
            if path.len() > 1 && path.first().is_some_and(|name| name == SCHEMAS) {
                self.faults.push(fault(&file(), "schemas/ has a folder in it", "files alone"));
                return Ok(());
            }
            if path.len() > 4 {
                let expected = "folders for version, type, flow and operation, and a file for the result";
                self.faults.push(fault(&file(), "the folder is nested too deep", expected));
                return Ok(());
            }
            return self.folder(at, path);
        }
        if kind.is_file() {
            return self.file(at, path);
        }
        self.faults.push(fault(&file(), "this is neither a file nor a folder", "a file"));
        Ok(())
    }

    fn file(&mut self, at: &Path, path: &[String]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        fs::File::open(at)?.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_LEN {
            let size = fs::metadata(at)?.len();
            let what = format!("the file is {size} bytes");
            self.faults.push(fault(&path.join("/"), what, format!("at most MAX_FILE_LEN = {MAX_FILE_LEN} bytes")));
            return Ok(());
        }
        let before = self.bytes;
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_TREE_BYTES {
            if before <= MAX_TREE_BYTES {
                let what = format!("the files of the tree are more than {MAX_TREE_BYTES} bytes");
                self.faults.push(fault(&path.join("/"), what, "at most MAX_TREE_BYTES"));
            }
            return Ok(());
        }
        self.files.push((path.to_vec(), bytes));
        Ok(())
    }
}

/// Beside nothing at all, for tests.
#[cfg(test)]
pub(super) const ALONE: Beside<'static> =
    Beside { expressions: |_, _| Ok(()), functions: None, upcasters: None, bases: None };

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: impl AsRef<[u8]>) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn faults(root: &Path) -> Vec<String> {
        match read(root, ALONE) {
            Err(ConfigError::Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    const EMPTY: &str = "{\"handlers\": []}";

    #[test]
    fn a_tree_is_read() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "1/instore/txn_finalize/upsert_it/complete.json", EMPTY);
        write(dir.path(), "types.json", "[\"A_B_C_D_1\"]");
        write(dir.path(), "queues.json", "{\"mail\": {}}");
        write(dir.path(), "tree.json", "{}");
        let tree = read(dir.path(), ALONE).unwrap();
        assert_eq!(
            tree.documents.keys().map(EventType::as_str).collect::<Vec<_>>(),
            ["INSTORE_TXNFINALIZE_UPSERTIT_COMPLETE_1"]
        );
        assert_eq!((tree.declarations.types.len(), tree.files.len()), (1, 3));
        let path = "1/instore/txn_finalize/upsert_it/complete.json";
        assert_eq!(tree.placed().into_values().next().unwrap().path.as_deref(), Some(path));
        assert!(matches!(read(&dir.path().join("none"), ALONE), Err(ConfigError::Io { .. })));
    }

    #[test]
    #[cfg(unix)]
    fn all_that_is_wrong_in_a_folder_is_said_at_once() {
        use std::os::unix::ffi::OsStrExt;
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), "secret.json", EMPTY);
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "1/a/b_c/d/e.json", EMPTY);
        write(root, "1/a/bc/d/e.json", EMPTY);
        write(root, "1/a/b/d/e.txt", EMPTY);
        write(root, "1/a/b/e.json", EMPTY);
        write(root, "01/a/b/c/d.json", EMPTY);
        write(root, "1/a-b/b/c/d.json", EMPTY);
        write(root, "1/a/b/c/d/e.json", EMPTY);
        write(root, "1/a/b/c/big.json", vec![b' '; MAX_FILE_LEN as usize + 1]);
        write(root, "1/a/b/c/bad.json", "{\"handlers\": [{\"name\": \"x\", \"target\": {\"queue\": \"q\"}}]}");
        write(root, "schemas/deep/a.json", "{}");
        write(root, "schedules.json", "[]");
        write(root, "connections/x.json", "{}");
        write(root, "readme.md", "hello");
        std::os::unix::fs::symlink(outside.path().join("secret.json"), root.join("1/a/b/c/out.json")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("2")).unwrap();
        std::os::unix::fs::symlink(root.join("1"), root.join("3")).unwrap();
        std::os::unix::fs::symlink(root.join("nowhere"), root.join("4")).unwrap();
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"n\xff.json")), EMPTY).unwrap();
        let faults = faults(root);
        for expected in [
            "1/a/bc/d/e.json:1:1: the type A_BC_D_E_1 has another file, 1/a/b_c/d/e.json",
            "1/a/b/d/e.txt:1:1: this file has no place in a tree",
            "1/a/b/e.json:1:1: this file has no place in a tree",
            "01/a/b/c/d.json:1:1: the version part \"01\"",
            "1/a-b/b/c/d.json:1:1: the type part \"a-b\"",
            "1/a/b/c/d:1:1: the folder is nested too deep",
            "1/a/b/c/big.json:1:1: the file is 1048577 bytes; expected at most MAX_FILE_LEN",
            "1/a/b/c/bad.json:1:49: unknown queue \"q\"",
            "schemas/deep:1:1: schemas/ has a folder in it",
            "schedules.json:1:1: the list of schedules is an array",
            "connections:1:1: connections/ is not supported yet",
            "readme.md:1:1: this file has no place in a tree",
            "1/a/b/c/out.json:1:1: the symbolic link leaves the tree's folder",
            "2:1:1: the symbolic link leaves the tree's folder",
            "3:1:1: the symbolic link is to no file",
            "4:1:1: No such file",
            "n\u{fffd}.json:1:1: the name is not UTF-8",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(expected)),
                "{expected}\nnot in\n{}",
                faults.join("\n")
            );
        }
        assert_eq!(faults.len(), 17, "{}", faults.join("\n"));
    }
}
