//! The file `LOCK`: held while a store is open, and telling other processes who holds it and how far the log is durable.
//!
//! ```text
//!  0  magic "ATLASLK1"                                                        8
//!  8  process id of the holder                                                4
//! 12  zero                                                                    4
//! 16  durable end: address; written before anything up to it is acknowledged  8
//! 24  clean end: address of the log's end if it was closed cleanly, else 0    8
//! 32  CRC of bytes 0..32                                                      4
//! ```
//!
//! It is not synced with each commit: after a power loss it may be older than the log, never newer.

use std::io;
use std::sync::Arc;

use super::format::Reader;
use super::{Address, OpenError, ReadError};
use crate::storage::{Disk, DiskFile};
use crate::sync::Mutex;

const NAME: &str = "LOCK";
const MAGIC: &[u8; 8] = b"ATLASLK1";
const LEN: usize = 36;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LockState {
    pub(crate) process_id: u32,
    pub(crate) durable_end: Address,
    pub(crate) clean_end: Address,
}

impl LockState {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u64::from(self.process_id).to_le_bytes());
        out.extend_from_slice(&self.durable_end.to_u64().to_le_bytes());
        out.extend_from_slice(&self.clean_end.to_u64().to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let covered = bytes.get(..LEN - 4)?;
        let mut fields = Reader::new(bytes);
        let magic: [u8; 8] = fields.array()?;
        let process_id = fields.u64()? as u32;
        let durable_end = Address::from_u64(fields.u64()?);
        let clean_end = Address::from_u64(fields.u64()?);
        let whole = magic == *MAGIC && fields.u32()? == crc32fast::hash(covered);
        whole.then_some(Self { process_id, durable_end, clean_end })
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: Arc<dyn DiskFile>,
    state: Mutex<LockState>,
}

fn read(file: &dyn DiskFile) -> io::Result<LockState> {
    let mut bytes = [0; LEN];
    // Another process may be writing it: what doesn't check is read again a few times.
    for _ in 0..8 {
        file.read_up_to(0, &mut bytes)?;
        if let Some(state) = LockState::decode(&bytes) {
            return Ok(state);
        }
    }
    Ok(LockState::default())
}

impl LockFile {
    /// Takes the lock of the directory, creating the file where `create`; gives what the last holder left.
    pub(crate) fn take(disk: &dyn Disk, create: bool) -> Result<(Self, LockState), OpenError> {
        let file = match disk.open(NAME, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => {
                return Err(OpenError::NotFound { dir: String::new() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let created = disk.create(NAME).and_then(|file| disk.sync_dir("").map(|()| file));
                created.map_err(ReadError::io(NAME))?
            }
            other => other.map_err(ReadError::io(NAME))?,
        };
        if !file.try_lock().map_err(ReadError::io(NAME))? {
            let state = read(&*file).map_err(ReadError::io(NAME))?;
            return Err(OpenError::Held { process_id: state.process_id });
        }
        let found = read(&*file).map_err(ReadError::io(NAME))?;
        let state = LockState { process_id: std::process::id(), ..found };
        let lock = Self { file, state: Mutex::new(state) };
        lock.write(|_| {}).map_err(ReadError::io(NAME))?;
        Ok((lock, found))
    }

    /// Reads what the file says, without taking the lock.
    pub(crate) fn look(disk: &dyn Disk) -> Result<LockState, ReadError> {
        match disk.open(NAME, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LockState::default()),
            other => read(&*other.map_err(ReadError::io(NAME))?).map_err(ReadError::io(NAME)),
        }
    }

    fn write(&self, change: impl FnOnce(&mut LockState)) -> io::Result<()> {
        let mut state = self.state.lock();
        change(&mut state);
        self.file.write_all_at(0, &state.encode())
    }

    /// States that the log is durable up to `end`, as it was found at open.
    pub(crate) fn set_found(&self, end: Address) -> io::Result<()> {
        self.write(|state| state.durable_end = end)
    }

    /// States that the log is durable up to `end`, and open.
    pub(crate) fn set_durable(&self, end: Address) -> io::Result<()> {
        self.write(|state| {
            state.durable_end = end;
            state.clean_end = Address::START;
        })
    }

    /// As [`set_durable`](Self::set_durable), durably: what the file said before is forgotten.
    pub(crate) fn forget(&self, end: Address) -> io::Result<LockState> {
        self.set_durable(end)?;
        self.file.sync()?;
        Ok(*self.state.lock())
    }

    /// States that the log was closed cleanly at `end`, durably.
    pub(crate) fn set_clean(&self, end: Address) -> io::Result<()> {
        self.write(|state| {
            state.durable_end = end;
            state.clean_end = end;
        })?;
        self.file.sync()
    }
}
