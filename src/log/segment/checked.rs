//! Which records of a mapped segment were checked since it was opened: reads of them need not compute their CRCs again.

use std::sync::OnceLock;

use crate::sync::{AtomicU64, Ordering};

/// Records are longer than this, so no two of them begin in one granule.
const GRANULE: usize = 16;
/// Granules in a page of bits, and so 8 MiB of the segment.
const PAGE: usize = 1 << 19;

/// One bit a granule, in pages that are made when they are first needed: 1/128 of what is read of the segment at most.
#[derive(Debug)]
pub(super) struct Checked(Box<[OnceLock<Box<[AtomicU64]>>]>);

impl Default for Checked {
    fn default() -> Self {
        // For the largest segment that there can be.
        let pages = (u32::MAX as usize).div_ceil(GRANULE * PAGE);
        Self((0..pages).map(|_| OnceLock::new()).collect())
    }
}

impl Checked {
    #[inline]
    fn bit(offset: u32) -> (usize, usize, u64) {
        let granule = offset as usize / GRANULE;
        (granule / PAGE, granule % PAGE / 64, 1 << (granule % 64))
    }

    /// Whether the record that begins at `offset` was checked.
    #[inline]
    pub(super) fn holds(&self, offset: u32) -> bool {
        let (page, word, bit) = Self::bit(offset);
        let word = self.0.get(page).and_then(OnceLock::get).and_then(|words| words.get(word));
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// States that it was.
    pub(super) fn add(&self, offset: u32) {
        let (page, word, bit) = Self::bit(offset);
        let Some(page) = self.0.get(page) else { return };
        let words = page.get_or_init(|| (0..PAGE / 64).map(|_| AtomicU64::new(0)).collect());
        if let Some(word) = words.get(word) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_has_a_bit_of_its_own() {
        let checked = Checked::default();
        let length = (3 * GRANULE * PAGE / 2) as u32;
        // At the front, and at the very end of the largest segment that there can be.
        let records = || (64..length).step_by(24 + 7).chain((u32::MAX - length..u32::MAX).step_by(24 + 7));
        for (number, offset) in records().enumerate().filter(|(number, _)| number % 3 == 0) {
            assert!(!checked.holds(offset), "{number}");
            checked.add(offset);
        }
        for (number, offset) in records().enumerate() {
            assert_eq!(checked.holds(offset), number % 3 == 0, "{number}");
        }
    }
}
