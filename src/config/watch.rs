//! Seeing that a folder has changed, by looking at it: names, sizes and times of its files. For development, where a tree is
//! checked on each save.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::fault::ConfigError;
use super::tree::MAX_TREE_FILES;

/// A folder that is looked at again and again.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    seen: Option<Files>,
}

/// Size and time of each file.
type Files = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

impl Watch {
    /// A folder that wasn't looked at yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), seen: None }
    }

    /// Whether anything in the folder is other than when it was last looked at; `true` the first time.
    ///
    /// # Errors
    /// [`ConfigError::Io`] where the folder can't be read. It counts as not looked at then.
    pub fn changed(&mut self) -> Result<bool, ConfigError> {
        let before = self.seen.take();
        let mut files = Files::new();
        match walk(&self.folder, &mut files) {
            // Gone for a moment, as when another takes its place: looked at again once it is there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && before.is_some() => {
                self.seen = Some(Files::new());
                return Ok(false);
            }
            walked => walked.map_err(ConfigError::io(&self.folder))?,
        }
        let changed = before.as_ref() != Some(&files);
        self.seen = Some(files);
        Ok(changed)
    }
}

/// As many files as a tree may have, and one more; links aren't followed into folders.
fn walk(folder: &Path, files: &mut Files) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if files.len() > MAX_TREE_FILES {
            return Ok(());
        }
        // What goes while it is looked at has changed; the next look sees that it is gone.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            match walk(&entry.path(), files) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        } else if let Ok(metadata) = fs::metadata(entry.path()) {
            files.insert(entry.path(), (metadata.len(), metadata.modified().ok()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(folder.path());
        assert!(watch.changed().unwrap() && !watch.changed().unwrap());
        fs::create_dir(folder.path().join("1")).unwrap();
        assert!(!watch.changed().unwrap(), "an empty folder is nothing");
        fs::write(folder.path().join("1/a.json"), "{}").unwrap();
        assert!(watch.changed().unwrap() && !watch.changed().unwrap());
        fs::write(folder.path().join("1/a.json"), "{ }").unwrap();
        assert!(watch.changed().unwrap());
        fs::remove_file(folder.path().join("1/a.json")).unwrap();
        assert!(watch.changed().unwrap());
        let (path, away) = (folder.path().to_owned(), folder.path().with_extension("away"));
        fs::rename(&path, &away).unwrap();
        assert!(!watch.changed().unwrap(), "gone for a moment");
        fs::write(away.join("b.json"), "{}").unwrap();
        fs::rename(&away, &path).unwrap();
        assert!(watch.changed().unwrap());
        assert!(Watch::new("no-such-folder").changed().is_err());
    }
}
