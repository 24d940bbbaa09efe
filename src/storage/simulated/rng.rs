//! Choices drawn from a seed, or from given bytes first.

use bytes::Bytes;

use crate::storage::{Entropy, SeededEntropy};

/// Choices drawn from a seed, or from given bytes first. A clone draws the same.
#[derive(Clone, Debug)]
pub struct Rng {
    choices: Bytes,
    seeded: SeededEntropy,
}

impl Rng {
    /// Choices that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with_choices(Bytes::new(), seed)
    }

    /// Choices [below](Self::below) a number are made by `choices`, each by as few bytes as it needs; once they are used
    /// up, and for [any number](Self::any), what follows from `seed` counts.
    pub fn with_choices(choices: Bytes, seed: u64) -> Self {
        Self { choices, seeded: SeededEntropy::new(seed) }
    }

    fn choice_below(&mut self, end: u64) -> Option<u64> {
        if self.choices.is_empty() {
            return None;
        }
        let bits = u64::BITS - end.saturating_sub(1).leading_zeros();
        let chosen = self.choices.split_to(self.choices.len().min(bits.div_ceil(8) as usize));
        Some(chosen.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.seeded.next_u64()
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let number = self.choice_below(end).unwrap_or_else(|| self.any());
        number.checked_rem(end).unwrap_or(0)
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
