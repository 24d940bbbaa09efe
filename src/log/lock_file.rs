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
//! It is not synced with each commit: after a power loss it may be older than the log, never newer. So what stands before its
//! durable end was synced, and a recovery need not write it again. Its name is durable
//! before the first segment is created, so no crash leaves segments without it. A later format has another digit in its
//! magic, and its CRC at the same place over the same bytes.

use std::io;
use std::sync::Arc;

use super::format::Reader;
use super::segment::segment_numbers;
use super::{Address, OpenError, ReadError};
use crate::storage::{Disk, DiskFile, FileIdentity, NamesStamp};
use crate::sync::Mutex;

const NAME: &str = "LOCK";
/// The name of a file that is made in the place of one that is missing, until it is whole.
const NEW_NAME: &str = "LOCK.new";
const MAGIC: &[u8; 8] = b"ATLASLK1";
const VERSION: u32 = 1;
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

    /// The format version and what the file says; `None` where it isn't whole.
    fn decode(bytes: &[u8]) -> Option<(u32, Self)> {
        let covered = bytes.get(..LEN - 4)?;
        let mut fields = Reader::new(bytes);
        let magic: [u8; 8] = fields.array()?;
        let process_id = fields.u64()? as u32;
        let durable_end = Address::from_u64(fields.u64()?);
        let clean_end = Address::from_u64(fields.u64()?);
        let version = magic.strip_prefix(b"ATLASLK").and_then(|digit| char::from(*digit.first()?).to_digit(10))?;
        let is_whole = fields.u32()? == crc32fast::hash(covered);
        // Segments count from 1.
        let is_sound = [durable_end, clean_end].iter().all(|end| *end == Address::START || end.segment() > 0);
        (is_whole && is_sound).then_some((version, Self { process_id, durable_end, clean_end }))
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct LockFile {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    identity: Option<FileIdentity>,
    /// The stamp of the directory's names when the file was last seen in place.
    in_place_at: Mutex<Option<NamesStamp>>,
    state: Mutex<LockState>,
}

/// What there is to be read of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    /// It is empty, or isn't what was written.
    Damaged,
    Says(LockState),
}

impl Found {
    /// One that is missing says nothing, as one that is damaged.
    pub(crate) fn state(self) -> LockState {
        match self {
            Self::Missing | Self::Damaged => LockState::default(),
            Self::Says(state) => state,
        }
    }
}

fn read(file: &dyn DiskFile) -> Result<Found, OpenError> {
    let mut bytes = [0; LEN];
    // Another process may be writing it: what doesn't check is read again a few times.
    for _ in 0..8 {
        let length = file.read_up_to(0, &mut bytes).map_err(ReadError::io(NAME))?;
        match LockState::decode(bytes.get(..length).unwrap_or_default()) {
            Some((VERSION, state)) => return Ok(Found::Says(state)),
            Some((found, _)) => {
                return Err(OpenError::NewerFormat { file: NAME.to_owned(), found, known: VERSION });
            }
            None => {}
        }
    }
    Ok(Found::Damaged)
}

/// Whether there is no segment, and no word of `LOCK` that there was one.
pub(crate) fn has_no_log(disk: &dyn Disk) -> Result<bool, OpenError> {
    Ok(!has_segments(disk)? && LockFile::look(disk)?.durable_end == Address::START)
}

fn has_segments(disk: &dyn Disk) -> Result<bool, OpenError> {
    Ok(!segment_numbers(&disk.list("log").map_err(ReadError::io("log"))?).is_empty())
}

fn open(disk: &dyn Disk, name: &str) -> Result<Option<Arc<dyn DiskFile>>, OpenError> {
    match disk.open(name, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(|error| ReadError::io(name)(error).into()),
    }
}

impl LockFile {
    /// Takes the lock of the directory, creating the file where `create` and there is no log yet; gives what the last
    /// holder left.
    pub(crate) fn take(disk: &Arc<dyn Disk>, create: bool) -> Result<(Self, LockState), OpenError> {
        if let Some(file) = open(&**disk, NAME)? {
            return Self::hold(disk, file, NAME);
        }
        if has_segments(&**disk)? {
            // Unless another has begun just now.
            let file = open(&**disk, NAME)?.ok_or(OpenError::LockMissing)?;
            return Self::hold(disk, file, NAME);
        }
        if !create {
            return Err(OpenError::NotFound { dir: String::new() });
        }
        let created = disk.create(NAME).and_then(|file| disk.sync_dir("").map(|()| file));
        Self::hold(disk, created.map_err(ReadError::io(NAME))?, NAME)
    }

    /// As [`take`](Self::take), of a directory whose `LOCK` is missing: under another name, until it is
    /// [put in place](Self::put_in_place). `None` where `LOCK` is there.
    pub(crate) fn take_missing(disk: &Arc<dyn Disk>) -> Result<Option<Self>, OpenError> {
        if open(&**disk, NAME)?.is_some() || !has_segments(&**disk)? {
            return Ok(None);
        }
        let file = match open(&**disk, NEW_NAME)? {
            Some(file) => file,
            None => disk.create(NEW_NAME).map_err(ReadError::io(NEW_NAME))?,
        };
        Self::hold(disk, file, NEW_NAME).map(|(lock, _)| Some(lock))
    }

    /// Gives the file its name, saying that the log is durable up to `end`.
    pub(crate) fn put_in_place(&self, end: Address) -> Result<LockState, ReadError> {
        let state = self.forget(end).map_err(ReadError::io(NEW_NAME))?;
        self.disk.rename(NEW_NAME, NAME).and_then(|()| self.disk.sync_dir("")).map_err(ReadError::io(NAME))?;
        Ok(state)
    }

    fn hold(disk: &Arc<dyn Disk>, file: Arc<dyn DiskFile>, name: &str) -> Result<(Self, LockState), OpenError> {
        if !file.try_lock().map_err(ReadError::io(name))? {
            return Err(OpenError::Held { process_id: read(&*file)?.state().process_id });
        }
        // Before anything is written: a newer version's file is left as it is.
        let found = read(&*file)?;
        if found == Found::Damaged && name == NAME && has_segments(&**disk)? {
            tracing::warn!("LOCK is damaged or empty: what it said of how far the log had gone is not known");
        }
        let found = found.state();
        let state = LockState { process_id: std::process::id(), ..found };
        let identity = file.identity().map_err(ReadError::io(name))?;
        let lock = Self { disk: disk.clone(), file, identity, in_place_at: Mutex::new(None), state: Mutex::new(state) };
        if !lock.has_name(name).map_err(ReadError::io(name))? {
            let changed = io::Error::other("the file was removed or replaced while its lock was taken");
            return Err(ReadError::io(name)(changed).into());
        }
        lock.write(|_| {}).map_err(ReadError::io(name))?;
        Ok((lock, found))
    }

    /// Whether the file that is held is still the one that others find. Looks at the directory first: a look at this file,
    /// which every commit writes, would have the file system keep its times exactly, and each sync pay for that.
    pub(crate) fn is_in_place(&self) -> io::Result<bool> {
        let names = self.disk.names_stamp()?;
        if names.is_some() && *self.in_place_at.lock() == names {
            return Ok(true);
        }
        let is_in_place = self.has_name(NAME)?;
        *self.in_place_at.lock() = names.filter(|_| is_in_place);
        Ok(is_in_place)
    }

    fn has_name(&self, name: &str) -> io::Result<bool> {
        match self.disk.identity(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => Ok(found? == self.identity),
        }
    }

    /// Reads what the file says, without taking the lock.
    pub(crate) fn look_at(disk: &dyn Disk) -> Result<Found, OpenError> {
        match disk.open(NAME, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            other => read(&*other.map_err(ReadError::io(NAME))?),
        }
    }

    /// As [`look_at`](Self::look_at), where it doesn't matter why it says nothing.
    pub(crate) fn look(disk: &dyn Disk) -> Result<LockState, OpenError> {
        Self::look_at(disk).map(Found::state)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_or_names_no_segment_says_nothing() {
        let of = |durable_end: Address, clean_end: Address| LockState { process_id: 7, durable_end, clean_end };
        let end = Address::new(1, 64);
        for state in [of(end, end), of(end, Address::START), of(Address::START, Address::START)] {
            assert_eq!(LockState::decode(&state.encode()), Some((VERSION, state)));
        }
        let of_no_segment = Address::new(0, 64);
        for state in [of(of_no_segment, Address::START), of(end, of_no_segment)] {
            assert_eq!(LockState::decode(&state.encode()), None);
        }
        let mut damaged = of(end, end).encode();
        damaged[20] ^= 1;
        assert_eq!(LockState::decode(&damaged), None);
    }
}
