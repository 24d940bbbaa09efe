//! A revision as a folder again, byte for byte as it was imported.

use std::fs;
use std::path::{Component, Path};

use serde::Serialize;

use super::catalog::Catalog;
use super::fault::ConfigError;
use super::init::check_empty;
use crate::event::TreeScope;

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The tree.
    pub tree: TreeScope,
    /// The revision.
    pub revision: u32,
    /// How many files were written.
    pub files: usize,
}

impl Catalog {
    /// Writes a revision of a tree into the folder `dir`, which must be empty or new: the files that were imported, each
    /// byte for byte. Of a tree that extends another, what its author wrote; importing the folder again gives the same
    /// revision as long as the tree that it extends is the same. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::UnknownRevision`], [`ConfigError::NotEmpty`], [`ConfigError::Io`], or an error of the store.
    pub fn export(&self, tree: &TreeScope, revision: u32, dir: &Path) -> Result<Exported, ConfigError> {
        let info = self.inner.revision_of_tree(tree, revision)?;
        check_empty(dir)?;
        let own = self.inner.derived.own_routes(revision)?;
        let documents = own.iter().map(|(event_type, placed)| (placed.path(event_type), placed.id));
        let files: Vec<_> = info.files.iter().map(|(path, id)| (path.clone(), *id)).chain(documents).collect();
        fs::create_dir_all(dir).map_err(ConfigError::io(dir))?;
        for (path, id) in &files {
            let missing = ConfigError::Damaged { place: format!("catalog.redb, document {id}"), what: "it is missing" };
            let bytes = self.inner.derived.document(*id)?.ok_or(missing)?;
            if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
                let what = "a file whose path leaves its tree";
                return Err(ConfigError::Damaged { place: format!("catalog.redb, revision {revision}"), what });
            }
            let file = dir.join(path);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).map_err(ConfigError::io(folder))?;
            }
            fs::write(&file, &bytes).map_err(ConfigError::io(&file))?;
        }
        Ok(Exported { tree: tree.clone(), revision, files: files.len() })
    }
}
