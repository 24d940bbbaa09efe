//! Maps by position: positions are numbers that the log gives one after the other, so nobody outside can choose some that
//! collide, and a hash of one multiplication serves.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are positions, or begin with one.
pub(super) type ByPosition<K, V> = HashMap<K, V, BuildHasherDefault<PositionHasher>>;

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PositionHasher(u64);

/// 2^64 over the golden ratio: consecutive numbers are spread over all bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for PositionHasher {
    fn finish(&self) -> u64 {
        // The map looks at the upper and at the lower bits, and a product is spread best in its upper ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(SPREAD);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}
