//! An open file of the simulated disk.

use std::io;

use bytes::Bytes;

use super::{Call, Fault, SimulatedDisk};
use crate::storage::DiskFile;
use crate::storage::memory::refused_to_readers;
use crate::sync::{AtomicBool, Ordering};

/// A file, open.
#[derive(Debug)]
pub(super) struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    name: String,
    writes: bool,
    holds_lock: AtomicBool,
}

impl SimulatedFile {
    pub(super) fn new(disk: SimulatedDisk, inode: u64, name: &str, writes: bool) -> Self {
        Self { disk, inode, name: name.to_owned(), writes, holds_lock: AtomicBool::new(false) }
    }
}

fn to_usize(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.with(Call::Read, |state| Ok(state.inode(self.inode)?.cache().len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.with(Call::Read, |state| {
            let evicts = state.inode(self.inode)?.has_believed_clean() && state.rng.one_in(32);
            if evicts {
                state.inode(self.inode)?.evict();
            }
            let mut length = buffer.len();
            if length > 1 && state.rng.happens(state.faults.short) {
                if state.rng.one_in(2) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                length = 1 + state.rng.below(length as u64 - 1) as usize;
            }
            let cache = state.inode(self.inode)?.cache();
            let rest = cache.get(to_usize(offset)?..).unwrap_or_default();
            let n = rest.len().min(length);
            buffer.iter_mut().zip(rest.iter().take(n)).for_each(|(to, from)| *to = *from);
            Ok(n)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        refused_to_readers(self.writes)?;
        self.disk.change(Call::Write, |state| {
            let at = to_usize(offset)?;
            let fails = state.rng.happens(state.faults.write);
            let mut length = bytes.len();
            if fails || (length > 1 && state.rng.happens(state.faults.short)) {
                length = state.rng.below(length as u64) as usize;
            }
            let grows = (at + length).saturating_sub(state.inode(self.inode)?.cache().len()) as u64;
            let room = if state.held_down.contains(&self.name) { 0 } else { state.room };
            let full = grows > room;
            if full {
                state.without_room.insert(self.name.clone());
                length = length.saturating_sub((grows - room) as usize);
            }
            if state.room != u64::MAX {
                state.room -= grows.min(state.room);
            }
            state.inode(self.inode)?.write(at, bytes.get(..length).unwrap_or_default());
            match (fails, length) {
                (true, _) => Err(Fault::Write.error()),
                (false, 0) if full => Err(Fault::Full.error()),
                (false, 0) if !bytes.is_empty() => Err(io::ErrorKind::Interrupted.into()),
                (false, length) => Ok(length),
            }
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        refused_to_readers(self.writes)?;
        self.disk.change(Call::Write, |state| {
            let length = to_usize(length)?;
            if state.rng.happens(state.faults.write) {
                return Err(Fault::Write.error());
            }
            let before = state.inode(self.inode)?.cache().len();
            let grows = length.saturating_sub(before) as u64;
            let held_down = grows > 0 && state.held_down.contains(&self.name);
            if held_down || grows > state.room {
                state.without_room.insert(self.name.clone());
                return Err(Fault::Full.error());
            }
            if state.room != u64::MAX {
                state.room = state.room - grows + before.saturating_sub(length) as u64;
            }
            state.inode(self.inode)?.set_len(length);
            Ok(())
        })
    }

    fn reserve(&self, length: u64) -> io::Result<bool> {
        self.set_len(length.max(self.len()?)).map(|()| true)
    }

    fn sync(&self) -> io::Result<()> {
        let on_sync = {
            let state = self.disk.state.lock();
            state.on_sync.clone().filter(|_| state.life == self.disk.life && !state.is_cut)
        };
        if let Some(on_sync) = on_sync {
            on_sync(&self.name);
        }
        self.disk.change(Call::Sync, |state| {
            if state.rng.happens(state.faults.sync) {
                let mut rng = state.rng.clone();
                state.inode(self.inode)?.fail_sync(&mut rng);
                state.rng = rng;
                state.failed_syncs.push(self.name.clone());
                return Err(Fault::Sync.error());
            }
            state.inode(self.inode)?.sync();
            Ok(())
        })
    }

    fn map(&self, length: usize) -> io::Result<Bytes> {
        self.disk.with(Call::Read, |state| {
            let cache = state.inode(self.inode)?.cache();
            cache.get(..length).map(Bytes::copy_from_slice).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.disk.with(Call::Read, |state| {
            let inode = state.inode(self.inode)?;
            let free = !inode.locked;
            inode.locked = true;
            if free {
                self.holds_lock.store(true, Ordering::Release);
            }
            Ok(free)
        })
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        // A lock of an earlier life ended with it.
        let alive = state.life == self.disk.life;
        if alive
            && self.holds_lock.load(Ordering::Acquire)
            && let Ok(inode) = state.inode(self.inode)
        {
            inode.locked = false;
        }
    }
}
