//! The directory of a run, removed at its end, also after an error.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine;
use crate::peer::Result;

pub struct RunDir(PathBuf);

impl RunDir {
    pub fn create(parent: &Path) -> Result<Self> {
        let dir = parent.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        if machine::is_in_memory(&dir) {
            eprintln!("warning: {} is in memory, so no sync below costs anything; choose another --dir", dir.display());
        }
        Ok(Self(dir))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        if let Some(parent) = self.0.parent() {
            // Only where it is empty.
            let _ = fs::remove_dir(parent);
        }
    }
}
