//! What is mapped so far of a file that grows.

use bytes::Bytes;

use crate::storage::DiskFile;
use crate::sync::{AtomicBool, AtomicU32, Ordering, RwLock};

/// The file is mapped anew once it has grown by the part of it that this divides it into. Whoever keeps an event keeps the
/// map that it was read from, so there must not be many of one file.
const GROWN_BY: usize = 8;
/// The same where what is behind the map is read often.
const GROWN_BY_WHEN_MISSED: usize = 128;
/// How much it must have grown at least, in bytes.
const GROWN: usize = 64 << 10;
/// How many reads behind the map are often.
const MAX_MISSED: u32 = 256;

#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Whether it is to be mapped at all.
    wanted: AtomicBool,
    /// Up to where it is durable, and so never written again.
    durable: AtomicU32,
    map: RwLock<Bytes>,
    /// How often what was wanted stood behind the map.
    missed: AtomicU32,
}

impl Growing {
    /// Has it mapped.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// States up to where it is durable.
    pub(super) fn set_durable(&self, end: u32) {
        self.durable.store(end, Ordering::Release);
    }

    /// What is mapped now.
    pub(super) fn mapped(&self) -> Bytes {
        self.map.read().clone()
    }

    /// A map that reaches `to`, where that is durable and mapping it is worth it.
    pub(super) fn map(&self, file: &dyn DiskFile, to: usize) -> Option<Bytes> {
        let end = self.durable.load(Ordering::Acquire) as usize;
        if to > end || !self.wanted.load(Ordering::Relaxed) {
            return None;
        }
        let mapped = self.mapped();
        if to <= mapped.len() {
            return Some(mapped);
        }
        let missed = self.missed.fetch_add(1, Ordering::Relaxed);
        let part = if missed < MAX_MISSED { GROWN_BY } else { GROWN_BY_WHEN_MISSED };
        if end < mapped.len() + mapped.len() / part + GROWN {
            return None;
        }
        let mut map = self.map.write();
        // Another may have been quicker.
        if to > map.len() {
            self.missed.store(0, Ordering::Relaxed);
            *map = file.map(end).ok()?;
        }
        Some(map.clone()).filter(|map| to <= map.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Disk, MemoryDisk};

    /// How often a file is mapped that grows by `step` bytes at a time, up to `to`, and is read `reads` times after each.
    fn maps(step: usize, to: usize, reads: usize) -> usize {
        let file = MemoryDisk::new().create("f").unwrap();
        let growing = Growing::default();
        growing.want();
        let mut lengths = vec![0];
        for end in (step..=to).step_by(step) {
            file.write_all_at((end - step) as u64, &vec![7; step]).unwrap();
            growing.set_durable(end as u32);
            for _ in 0..reads {
                let map = growing.map(&*file, end);
                assert!(map.is_none_or(|map| map.len() >= end && map[end - 1] == 7));
                if growing.mapped().len() != *lengths.last().unwrap() {
                    lengths.push(growing.mapped().len());
                }
            }
        }
        lengths.len() - 1
    }

    #[test]
    fn it_is_mapped_seldom_and_sooner_where_its_end_is_read() {
        let (seldom, often) = (maps(4 << 10, 8 << 20, 1), maps(4 << 10, 8 << 20, 100));
        assert!((8..60).contains(&seldom), "{seldom}");
        assert!(often > seldom && often < 200, "{often}");
    }

    #[test]
    fn nothing_is_mapped_that_is_not_durable_or_not_wanted() {
        let file = MemoryDisk::new().create("f").unwrap();
        file.write_all_at(0, &vec![1; 1 << 20]).unwrap();
        let growing = Growing::default();
        growing.set_durable(1 << 20);
        assert!(growing.map(&*file, 10).is_none());
        growing.want();
        growing.set_durable(1 << 19);
        assert!(growing.map(&*file, (1 << 19) + 1).is_none());
        assert_eq!(growing.map(&*file, 1 << 19).unwrap().len(), 1 << 19);
        assert_eq!(growing.map(&*file, 10).unwrap().len(), 1 << 19);
    }
}
