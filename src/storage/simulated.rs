//! A disk in memory that fails from a seed: it loses what was not synced, tears writes, answers calls with errors, runs
//! full, and after a failed sync pretends that all is well, as Linux does. The same seed and the same calls give the same
//! faults.
//!
//! Each file has what stands on the platter, and what the page cache shows: the platter and the changes since. A sync
//! moves the changes to the platter. [`power_cut`](SimulatedDisk::power_cut) loses any subset of them, in pieces of a
//! sector; [`kill`](SimulatedDisk::kill) ends the process and loses nothing.

mod fault;
mod file;
mod inode;
mod rng;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Disk, DiskFile};
use crate::sync::Mutex;
pub use fault::Fault;
use file::SimulatedFile;
use inode::Inode;
pub use rng::Rng;

/// What is asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A read, a length, a mapping.
    Read,
    /// A write, or a change of the length.
    Write,
    /// A sync of a file.
    Sync,
    /// Anything about names: open, create, rename, remove, list, sync of a folder.
    Name,
}

/// How likely calls fail, each in 65,536.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Reads that fail.
    pub read: u32,
    /// Writes that fail, after a part of them was written.
    pub write: u32,
    /// Syncs that fail: what was to be synced stays in the cache only, believed clean, and is lost later.
    pub sync: u32,
    /// Calls about names that fail.
    pub name: u32,
    /// Reads and writes that do only a part of what was asked, or are interrupted, which is no error.
    pub short: u32,
}

/// Told of each sync before it happens, with the file's name.
pub type OnSync = Arc<dyn Fn(&str) + Send + Sync>;

/// A disk that fails from a seed. Clones share it.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    /// Handles of an earlier life of the machine or process are dead.
    life: u64,
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").field("life", &self.life).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

#[derive(Clone)]
struct State {
    rng: Rng,
    faults: Faults,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changed_names: Vec<NameChange>,
    life: u64,
    /// Changes of the disk until the power goes.
    cut_in: Option<u64>,
    is_cut: bool,
    /// Changes of the disk until a copy of it is made, and the copy.
    copy_in: Option<u64>,
    copy: Option<Box<State>>,
    /// Bytes by which files may still grow.
    room: u64,
    on_sync: Option<OnSync>,
    failed_syncs: Vec<String>,
    /// Files that may not grow.
    held_down: BTreeSet<String>,
    /// Files that were to grow, and for which there was no room.
    without_room: BTreeSet<String>,
    changes: u64,
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl SimulatedDisk {
    /// An empty disk that fails as `seed` says, once [`set_faults`](Self::set_faults) lets it.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::new(seed),
            faults: Faults::default(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changed_names: Vec::new(),
            life: 0,
            cut_in: None,
            is_cut: false,
            copy_in: None,
            copy: None,
            room: u64::MAX,
            on_sync: None,
            failed_syncs: Vec::new(),
            held_down: BTreeSet::new(),
            without_room: BTreeSet::new(),
            changes: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), life: 0 }
    }

    /// Sets how likely calls fail from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Lets the power go at the `changes`-th change of the disk from now on (a write, a sync, a change of a name), in the
    /// middle of it: that call and all later ones fail.
    pub fn cut_power_in(&self, changes: u64) {
        self.state.lock().cut_in = Some(changes);
    }

    /// Whether the power is off.
    pub fn is_cut(&self) -> bool {
        self.state.lock().is_cut
    }

    /// Sets by how many bytes files may still grow; [`u64::MAX`] for any number.
    pub fn set_room(&self, bytes: u64) {
        self.state.lock().room = bytes;
    }

    /// Calls `on_sync` before each sync of a file.
    pub fn on_sync(&self, on_sync: Option<OnSync>) {
        self.state.lock().on_sync = on_sync;
    }

    /// Says that there is no room for these files, or for none in particular, as if the disk were full whenever one is to grow.
    pub fn hold_down(&self, names: &[&str]) {
        self.state.lock().held_down = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Names of the files that were to grow and found no room, since this was last asked.
    pub fn take_without_room(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.state.lock().without_room)
    }

    /// Names of the files whose sync failed since this was last asked.
    pub fn take_failed_syncs(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().failed_syncs)
    }

    /// How often the disk was changed so far.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// The power goes and comes back: of what was not synced any part is lost. All handles so far are dead; the disk as
    /// it is found again is returned.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        let mut state = self.state.lock();
        state.lose_names();
        let State { rng, inodes, .. } = &mut *state;
        let stale = stale_blocks(rng, inodes);
        let odds = rng.odds();
        inodes.values_mut().for_each(|inode| inode.lose(rng, odds, &stale));
        self.next_life(&mut state)
    }

    /// The process is killed: all handles so far are dead, and nothing is lost. The disk is returned as the next process
    /// finds it.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.next_life(&mut self.state.lock())
    }

    fn next_life(&self, state: &mut State) -> Self {
        state.life += 1;
        state.cut_in = None;
        state.is_cut = false;
        state.on_sync = None;
        state.inodes.values_mut().for_each(|inode| inode.locked = false);
        // A file whose name is gone may come back under it: that it is gone isn't durable yet.
        let created = state.changed_names.iter().filter_map(|change| match change {
            NameChange::Create(_, inode) | NameChange::Rename(_, _, inode) => Some(inode),
            NameChange::Remove(_) => None,
        });
        let named: Vec<u64> =
            state.names.values().chain(state.durable_names.values()).chain(created).copied().collect();
        state.inodes.retain(|number, _| named.contains(number));
        Self { state: self.state.clone(), life: state.life }
    }

    /// A disk of its own with the same content, and other faults ahead.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        Self::of(self.state.lock().clone(), seed)
    }

    fn of(state: State, seed: u64) -> Self {
        let calm = Self::new(seed);
        let State { inodes, next_inode, names, durable_names, changed_names, life, .. } = state;
        {
            let mut fresh = calm.state.lock();
            *fresh = State { inodes, next_inode, names, durable_names, changed_names, life, ..fresh.clone() };
        }
        Self { life, state: calm.state }
    }

    /// Makes a copy of the disk just before the `changes`-th change from now on, to be had by
    /// [`take_fork`](Self::take_fork).
    pub fn fork_in(&self, changes: u64) {
        let mut state = self.state.lock();
        state.copy_in = Some(changes);
        state.copy = None;
    }

    /// The disk as it stood at the moment that [`fork_in`](Self::fork_in) named, where that came; as
    /// [`fork`](Self::fork).
    pub fn take_fork(&self, seed: u64) -> Option<Self> {
        let mut state = self.state.lock();
        state.copy_in = None;
        let copy = state.copy.take()?;
        Some(Self::of(*copy, seed))
    }

    /// Damages a file at rest: `damage` may change its bytes as it likes, on the platter and in the cache alike.
    ///
    /// # Errors
    /// There is no such file.
    pub fn damage(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state.lock();
        let number = *state.names.get(name).ok_or_else(not_found)?;
        state.inodes.get_mut(&number).ok_or_else(not_found)?.damage(damage);
        Ok(())
    }

    fn with<T>(&self, call: Call, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        state.admit(self.life, call)?;
        work(&mut state)
    }

    /// As [`with`](Self::with), for what changes the disk: the power may go in the middle of it.
    fn change<T>(&self, call: Call, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        state.admit(self.life, call)?;
        state.changes += 1;
        if counts_down(&mut state.copy_in) {
            let copy = state.clone();
            state.copy = Some(Box::new(copy));
        }
        let cut = counts_down(&mut state.cut_in);
        state.is_cut = cut;
        if cut && call == Call::Sync {
            return Err(Fault::Power.error());
        }
        let result = work(&mut state);
        if cut { Err(Fault::Power.error()) } else { result }
    }

    fn file(&self, inode: u64, name: &str, writes: bool) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile::new(self.clone(), inode, name, writes))
    }
}

/// Counts down where there is a count; `true` at its end.
fn counts_down(count: &mut Option<u64>) -> bool {
    *count = count.and_then(|left| left.checked_sub(1));
    *count == Some(0)
}

/// What space that was never written may hold: zeros, or a block of some file.
fn stale_blocks(rng: &mut Rng, inodes: &BTreeMap<u64, Inode>) -> Bytes {
    let inode = inodes.values().nth(rng.below(inodes.len().max(1) as u64) as usize);
    match inode.filter(|_| rng.one_in(3)) {
        Some(inode) => Bytes::copy_from_slice(inode.platter()),
        None => Bytes::new(),
    }
}

impl State {
    fn admit(&mut self, life: u64, call: Call) -> io::Result<()> {
        if life != self.life || self.is_cut {
            return Err(Fault::Power.error());
        }
        let (odds, fault) = match call {
            Call::Read => (self.faults.read, Fault::Read),
            Call::Name => (self.faults.name, Fault::Name),
            // These fail in their own way.
            Call::Write => (0, Fault::Write),
            Call::Sync => (0, Fault::Sync),
        };
        if self.rng.happens(odds) { Err(fault.error()) } else { Ok(()) }
    }

    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(not_found)
    }

    /// Names as they are found after a power cut: any of the changes since the last sync of their folder may be lost.
    fn lose_names(&mut self) {
        let in_order = self.rng.one_in(2);
        let kept = self.rng.below(self.changed_names.len() as u64 + 1) as usize;
        for (number, change) in std::mem::take(&mut self.changed_names).into_iter().enumerate() {
            let survives = if in_order { number < kept } else { self.rng.one_in(2) };
            if survives {
                apply(&mut self.durable_names, change);
            }
        }
        self.names = self.durable_names.clone();
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: NameChange) {
    match change {
        NameChange::Create(name, inode) => {
            names.insert(name, inode);
        }
        NameChange::Rename(from, to, inode) => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
        NameChange::Remove(name) => {
            names.remove(&name);
        }
    }
}

impl NameChange {
    fn is_in(&self, folder: &str) -> bool {
        let (Self::Create(name, _) | Self::Rename(_, name, _) | Self::Remove(name)) = self;
        name.rsplit_once('/').map_or("", |(of, _)| of) == folder
    }
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _folder: &str) -> io::Result<()> {
        self.with(Call::Name, |_| Ok(()))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.with(Call::Name, |state| {
            let in_folder = |name: &String| match name.rsplit_once('/') {
                Some((of, file)) => (of == folder).then(|| file.to_owned()),
                None => folder.is_empty().then(|| name.clone()),
            };
            Ok(state.names.keys().filter_map(in_folder).collect())
        })
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.with(Call::Name, |state| state.names.get(name).copied().ok_or_else(not_found))?;
        Ok(self.file(inode, name, write))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.change(Call::Name, |state| {
            if state.room == 0 {
                return Err(Fault::Full.error());
            }
            let number = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(number, Inode::default());
            state.change_name(NameChange::Create(name.to_owned(), number));
            Ok(number)
        })?;
        Ok(self.file(inode, name, true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Call::Name, |state| {
            let inode = *state.names.get(from).ok_or_else(not_found)?;
            state.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(Call::Name, |state| {
            let inode = *state.names.get(name).ok_or_else(not_found)?;
            if state.room != u64::MAX {
                state.room += state.inode(inode)?.cache().len() as u64;
            }
            state.change_name(NameChange::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.change(Call::Name, |state| {
            let (now, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.changed_names).into_iter().partition(|change| change.is_in(folder));
            state.changed_names = later;
            now.into_iter().for_each(|change| apply(&mut state.durable_names, change));
            Ok(())
        })
    }
}

impl State {
    fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, change.clone());
        self.changed_names.push(change);
    }
}
