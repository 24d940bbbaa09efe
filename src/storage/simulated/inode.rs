//! One file of the simulated disk: what stands on the platter, what the cache shows, and what lies between.

use bytes::Bytes;

use super::Rng;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Bytes),
    Length(usize),
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    cache: Vec<u8>,
    platter: Vec<u8>,
    /// In order, since the last sync that succeeded.
    changes: Vec<Change>,
    /// What the cache holds and believes to be on the platter since a sync failed.
    believed_clean: Vec<(usize, usize)>,
    pub(super) locked: bool,
}

fn write(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    if let Some(to) = to.get_mut(at..end) {
        to.copy_from_slice(bytes);
    }
}

/// The pieces of a write that a disk writes whole or not at all.
fn sectors(at: usize, bytes: &Bytes) -> impl Iterator<Item = (usize, Bytes)> + use<'_> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = at + from;
        let length = (SECTOR - start % SECTOR).min(bytes.len() - from);
        let piece = (length > 0).then(|| (start, bytes.slice(from..from + length)));
        from += length;
        piece
    })
}

impl Inode {
    pub(super) fn cache(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn platter(&self) -> &[u8] {
        &self.platter
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        write(&mut self.cache, at, bytes);
        self.changes.push(Change::Write(at, Bytes::copy_from_slice(bytes)));
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.cache.resize(length, 0);
        self.changes.push(Change::Length(length));
        // What is cut off is in no cache any more.
        self.believed_clean.retain(|(at, piece)| at + piece <= length);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Write(at, bytes) => write(&mut self.platter, at, &bytes),
                Change::Length(length) => self.platter.resize(length, 0),
            }
        }
    }

    /// A sync that fails: some of it reached the platter, and the rest stays in the cache, which takes it for clean.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let odds = rng.odds();
        for change in std::mem::take(&mut self.changes) {
            let Change::Write(at, bytes) = change else {
                // Lengths are the file system's own data: its journal gets them through, or it stops altogether.
                if let Change::Length(length) = change {
                    self.platter.resize(length, 0);
                    self.believed_clean.retain(|(at, piece)| at + piece <= length);
                }
                continue;
            };
            // So is the length that a write makes.
            if self.platter.len() < at + bytes.len() {
                self.platter.resize(at + bytes.len(), 0);
            }
            for (at, piece) in sectors(at, &bytes) {
                if rng.happens(odds) {
                    write(&mut self.platter, at, &piece);
                } else {
                    self.believed_clean.push((at, piece.len()));
                }
            }
        }
    }

    /// The cache lets go of what it believes to be clean, and shows what stands on the platter.
    pub(super) fn evict(&mut self) {
        for (at, length) in std::mem::take(&mut self.believed_clean) {
            if let Some(platter) = self.platter.get(at..at + length) {
                write(&mut self.cache, at, platter);
            }
        }
        // What is dirty can't be let go.
        for change in &self.changes {
            match change {
                Change::Write(at, bytes) => write(&mut self.cache, *at, bytes),
                Change::Length(length) => self.cache.resize(*length, 0),
            }
        }
    }

    pub(super) fn has_believed_clean(&self) -> bool {
        !self.believed_clean.is_empty()
    }

    /// The power goes: each sector that was written since the last sync survives by `odds` in 65,536. Space that was
    /// allocated but not written shows `stale` bytes.
    pub(super) fn lose(&mut self, rng: &mut Rng, odds: u32, stale: &Bytes) {
        let length_first = rng.one_in(2);
        if length_first && self.platter.len() < self.cache.len() {
            let from = self.platter.len();
            self.platter.resize(self.cache.len(), 0);
            if let Some(grown) = self.platter.get_mut(from..) {
                grown.iter_mut().zip(stale.iter().skip(from % SECTOR)).for_each(|(to, from)| *to = *from);
            }
        }
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Length(length) => {
                    if rng.one_in(2) {
                        self.platter.resize(length, 0);
                    }
                }
                Change::Write(at, bytes) => {
                    for (at, piece) in sectors(at, &bytes) {
                        if rng.happens(odds) {
                            // Now and then a sector is torn as well: a part of what is new in it.
                            let length =
                                if rng.one_in(64) { rng.below(piece.len() as u64) as usize } else { piece.len() };
                            write(&mut self.platter, at, &piece.slice(..length));
                        }
                    }
                }
            }
        }
        self.believed_clean.clear();
        self.cache.clone_from(&self.platter);
    }

    /// Changes bytes at rest.
    pub(super) fn damage(&mut self, damage: impl FnOnce(&mut Vec<u8>)) {
        self.sync();
        damage(&mut self.platter);
        self.believed_clean.clear();
        self.cache.clone_from(&self.platter);
    }
}
