//! Writes into zero-filled space, round and round.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::peer::Result;

/// Bytes of a file that writes go round in.
const SPACE: u64 = 128 << 20;

/// A file filled with zeros and synced.
pub struct Bare {
    file: File,
    at: AtomicU64,
}

impl Bare {
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("bare"))?;
        let zeros = vec![0; 1 << 20];
        for at in 0..SPACE >> 20 {
            file.write_all_at(&zeros, at << 20)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: AtomicU64::new(0) })
    }

    /// One pwrite, round and round.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        let mut at = self.at.fetch_add(len, Ordering::Relaxed);
        if at + len > SPACE {
            self.at.store(len, Ordering::Relaxed);
            at = 0;
        }
        Ok(self.file.write_all_at(bytes, at)?)
    }

    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}
