//! redb over the seam: the derived databases live on the same disk as the log.

use std::io;
use std::sync::Arc;

use redb::{Database, StorageBackend};
use thiserror::Error;

use super::{Disk, DiskFile};

/// A derived database cannot be read or written. The log is unharmed; `atlas rebuild` makes the file anew.
#[derive(Debug, Error)]
#[error("{file}: {source}")]
pub struct DatabaseError {
    /// The file's name in the data directory.
    pub file: &'static str,
    /// What redb says.
    #[source]
    pub source: Box<redb::Error>,
}

impl DatabaseError {
    /// Says which file an error of redb is about.
    pub(crate) fn of<E: Into<redb::Error>>(file: &'static str) -> impl Fn(E) -> Self {
        move |error| Self { file, source: Box::new(error.into()) }
    }
}

#[derive(Debug)]
struct Backend(Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(offset, data)
    }
}

/// Opens the database `file` of the data directory, made anew where there is none, with `cache_bytes` of cache.
pub(crate) fn open_database(
    disk: &dyn Disk,
    file: &'static str,
    cache_bytes: usize,
) -> Result<Database, DatabaseError> {
    let of = DatabaseError::of::<redb::StorageError>(file);
    let opened = match disk.open(file, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let created = disk.create(file).map_err(|e| of(e.into()))?;
            disk.sync_dir("").map_err(|e| of(e.into()))?;
            created
        }
        other => other.map_err(|e| of(e.into()))?,
    };
    Database::builder()
        .set_cache_size(cache_bytes)
        .create_with_backend(Backend(opened))
        .map_err(DatabaseError::of(file))
}
