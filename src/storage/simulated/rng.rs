//! Choices drawn from a seed.

use crate::storage::{Entropy, SeededEntropy};

/// Choices drawn from a seed. A clone draws the same.
#[derive(Clone, Debug)]
pub struct Rng(SeededEntropy);

impl Rng {
    /// Choices that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True `odds` times in 65,536.
    pub fn happens(&mut self, odds: u32) -> bool {
        odds > 0 && self.below(1 << 16) < u64::from(odds)
    }

    /// Odds for [`happens`](Self::happens): never, always, and all between.
    pub(super) fn odds(&mut self) -> u32 {
        match self.below(4) {
            0 => 0,
            1 => 1 << 16,
            _ => self.below(1 << 16) as u32,
        }
    }

    /// One of `of`; `None` where there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len() as u64) as usize)
    }
}
