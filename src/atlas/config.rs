//! One configuration tree: imported, activated.

use std::path::{Path, PathBuf};

use super::{Atlas, blocking};
use crate::config::{Activated, Imported};
use crate::error::Error;
use crate::event::{TreeScope, VocabularyError};

/// One configuration tree.
#[derive(Clone, Debug)]
pub struct ConfigHandle {
    pub(super) atlas: Atlas,
    pub(super) tree: Result<TreeScope, VocabularyError>,
}

/// A revision that was imported and isn't active yet, or is active already.
#[derive(Clone, Debug)]
pub struct Staged {
    atlas: Atlas,
    imported: Imported,
}

impl ConfigHandle {
    /// Imports a folder as a revision of the tree, without activating it.
    ///
    /// # Errors
    /// [`Error::Config`] with every fault of the folder; nothing is written then.
    pub async fn import(&self, dir: impl AsRef<Path>) -> Result<Staged, Error> {
        let tree = self.tree.clone()?;
        let (catalog, dir) = (self.atlas.0.catalog.clone(), PathBuf::from(dir.as_ref()));
        let imported = blocking(&self.atlas.0.runtime, move || Ok(catalog.import(&dir, &tree)?)).await?;
        Ok(Staged { atlas: self.atlas.clone(), imported })
    }

    /// The revision that is active.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub async fn active(&self) -> Result<Option<u32>, Error> {
        let (catalog, tree) = (self.atlas.0.catalog.clone(), self.tree.clone()?);
        blocking(&self.atlas.0.runtime, move || Ok(catalog.active(&tree)?)).await
    }
}

impl Staged {
    /// What the import did.
    pub fn imported(&self) -> &Imported {
        &self.imported
    }

    /// Makes the revision the one that events are routed by from now on.
    ///
    /// # Errors
    /// [`Error::Config`] where the tree isn't complete; nothing changes then.
    pub async fn activate(&self) -> Result<Activated, Error> {
        let (catalog, tree) = (self.atlas.0.catalog.clone(), (self.imported.tree.clone(), self.imported.revision));
        blocking(&self.atlas.0.runtime, move || Ok(catalog.activate(&[tree])?)).await
    }
}
