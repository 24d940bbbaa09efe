//! redb over the seam: the derived databases live on the same disk as the log.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, StorageBackend, StorageError};
use thiserror::Error;

use super::{Disk, DiskFile, Fence, MemoryDisk, RealDisk};

/// Up to this size a file is checked whole when it is opened, in bytes; a larger one takes too long.
const CHECKED_AT_OPEN_BYTES: u64 = 32 << 20;
/// How much of a database is kept in memory while it is verified, in bytes.
const VERIFY_CACHE_BYTES: usize = 16 << 20;

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
struct Backend {
    file: Arc<dyn DiskFile>,
    fence: Fence,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fence.pass_with_room(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not again: after a sync that failed nobody knows what is on the disk.
        self.fence.pass(|| self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fence.pass_with_room(|| self.file.write_all_at(offset, data))
    }
}

/// Opens the database `file` of the data directory, made anew where there is none or it is damaged, with `cache_bytes` of
/// cache; nothing is written once `fence` is shut.
pub(crate) fn open_or_make_anew(
    disk: &dyn Disk,
    file: &'static str,
    cache_bytes: usize,
    fence: &Fence,
) -> Result<Database, DatabaseError> {
    match open_database(disk, file, cache_bytes, fence) {
        Err(error) if is_damage(&error.source) => {
            tracing::warn!(%error, "makes a derived database anew: it is damaged");
            make_database_anew(disk, file, cache_bytes, fence)
        }
        other => other,
    }
}

/// Whether an error says that the file isn't one that can be used, whatever is tried.
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        _ => false,
    }
}

/// Opens the database `file`, made anew where there is none.
pub(crate) fn open_database(
    disk: &dyn Disk,
    file: &'static str,
    cache_bytes: usize,
    fence: &Fence,
) -> Result<Database, DatabaseError> {
    let of = DatabaseError::of::<redb::StorageError>(file);
    let opened = match disk.open(file, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return make_database_anew(disk, file, cache_bytes, fence);
        }
        other => other.map_err(|e| of(e.into()))?,
    };
    let length = opened.len().map_err(|e| of(e.into()))?;
    unpanicked(file, || {
        let mut database = open_file(opened, cache_bytes, fence)?;
        if (1..=CHECKED_AT_OPEN_BYTES).contains(&length) {
            // What it mends it mends by going back to an earlier commit: the log has what is missing then.
            database.check_integrity()?;
        }
        Ok(database)
    })
}

/// Makes an empty database in the place of whatever is there: under another name, and renamed once it is whole, so that a
/// crash leaves none that can't be opened. The one that was there must be closed.
pub(crate) fn make_database_anew(
    disk: &dyn Disk,
    file: &'static str,
    cache_bytes: usize,
    fence: &Fence,
) -> Result<Database, DatabaseError> {
    let of = DatabaseError::of::<StorageError>(file);
    let temporary = format!("{file}.new");
    let created = disk.create(&temporary).map_err(|e| of(e.into()))?;
    let database = unpanicked(file, || open_file(created, cache_bytes, fence))?;
    disk.rename(&temporary, file).and_then(|()| disk.sync_dir("")).map_err(|e| of(e.into()))?;
    Ok(database)
}

/// Checks the database `file` in the folder `dir` whole, on a copy in memory: writes nothing. A file that is not there is
/// fine: it is derived. Nobody may write to it meanwhile.
///
/// # Errors
/// The file can't be read, or is damaged.
pub fn verify_database(dir: &Path, file: &'static str) -> Result<(), DatabaseError> {
    copy_database(&RealDisk::new(dir), file)?.map_or(Ok(()), |copy| verify_copy(&copy, file))
}

/// As [`verify_database`], of a copy that is the caller's.
pub(crate) fn verify_copy(copy: &MemoryDisk, file: &'static str) -> Result<(), DatabaseError> {
    let of = DatabaseError::of::<StorageError>(file);
    let copy = copy.open(file, true).map_err(|e| of(e.into()))?;
    unpanicked(file, || {
        let whole = open_file(copy, VERIFY_CACHE_BYTES, &Fence::default())?.check_integrity()?;
        if whole { Ok(()) } else { Err(StorageError::Corrupted("a page isn't what was written".to_owned()).into()) }
    })
}

/// The database `file` copied into memory, where opening it may mend it; `None` where there is none.
pub(crate) fn copy_database(disk: &dyn Disk, file: &'static str) -> Result<Option<MemoryDisk>, DatabaseError> {
    let of = DatabaseError::of::<StorageError>(file);
    let original = match disk.open(file, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| of(e.into()))?,
    };
    let memory = MemoryDisk::new();
    let copy = memory.create(file).map_err(|e| of(e.into()))?;
    let length = original.len().map_err(|e| of(e.into()))?;
    let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
    while at < length {
        let read = original.read_up_to(at, &mut buffer).map_err(|e| of(e.into()))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        copy.write_all_at(at, bytes).map_err(|e| of(e.into()))?;
        at += read as u64;
    }
    Ok(Some(memory))
}

fn open_file(file: Arc<dyn DiskFile>, cache_bytes: usize, fence: &Fence) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(cache_bytes).create_with_backend(Backend { file, fence: fence.clone() })
}

/// Runs `work` on `file`. redb panics on some damage, which is an error like any other here.
fn unpanicked<T>(
    file: &'static str,
    work: impl FnOnce() -> Result<T, redb::DatabaseError>,
) -> Result<T, DatabaseError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(DatabaseError::of(file)),
        Err(panic) => {
            tracing::debug!(file, said = said(panic.as_ref()), "redb gave up on a file");
            Err(DatabaseError::of(file)(StorageError::Corrupted("a page isn't what was written".to_owned())))
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason is known")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "catalog.redb";
    const TABLE: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("t");

    fn insert(database: &Database, round: u64) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for key in 0..500 {
            table.insert(key * 4 + round, key)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn bytes_of(disk: &MemoryDisk) -> Vec<u8> {
        let file = disk.open(FILE, false).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        bytes
    }

    fn written() -> Vec<u8> {
        let disk = MemoryDisk::new();
        let database = open_database(&disk, FILE, 1 << 20, &Fence::default()).unwrap();
        (0..4).for_each(|round| insert(&database, round).unwrap());
        drop(database);
        bytes_of(&disk)
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_panic_and_can_be_made_anew() {
        let whole = written();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, &whole).unwrap();
        verify_database(folder.path(), FILE).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole, "verifying writes nothing");
        verify_database(folder.path(), "dispatch.redb").unwrap();
        let (mut found, mut anew) = (0, 0);
        // Every place of the header, then places all over.
        for offset in (0..320).chain((320..whole.len()).step_by(whole.len() / 200)) {
            let mut damaged = whole.clone();
            damaged[offset] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            found += usize::from(verify_database(folder.path(), FILE).is_err());
            let disk = MemoryDisk::new();
            disk.create(FILE).unwrap().write_all_at(0, &damaged).unwrap();
            if let Err(error) = open_database(&disk, FILE, 1 << 20, &Fence::default()) {
                assert!(error.to_string().starts_with("catalog.redb: "), "{error}");
                anew += 1;
            }
            let database = open_or_make_anew(&disk, FILE, 1 << 20, &Fence::default()).unwrap();
            insert(&database, 0).unwrap();
        }
        assert!(found > 20, "{found}");
        assert!(anew > 10, "{anew}");
    }

    #[test]
    fn a_file_that_is_cut_or_of_something_else_is_made_anew() {
        let whole = written();
        for content in [&whole[..1], &whole[..4096], &whole[..whole.len() / 2], &[7; 10_000][..]] {
            let disk = MemoryDisk::new();
            disk.create(FILE).unwrap().write_all_at(0, content).unwrap();
            let database = open_or_make_anew(&disk, FILE, 1 << 20, &Fence::default()).unwrap();
            insert(&database, 0).unwrap();
        }
    }

    #[test]
    fn nothing_is_written_beyond_the_fence() {
        let (disk, fence) = (MemoryDisk::new(), Fence::default());
        let database = open_database(&disk, FILE, 1 << 20, &fence).unwrap();
        insert(&database, 0).unwrap();
        let before = bytes_of(&disk);
        fence.close();
        insert(&database, 1).unwrap_err();
        // It writes when it is closed as well.
        drop(database);
        assert!(bytes_of(&disk) == before);
        open_database(&disk, FILE, 1 << 20, &Fence::default()).unwrap();
    }
}
