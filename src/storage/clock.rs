//! Clock and randomness, injected: nothing else in the crate asks the system for either.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The wall clock.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// Microseconds since 1970-01-01T00:00:00Z. May run backwards; who uses it must cope.
    fn now_micros(&self) -> i64;
}

/// A source of random numbers.
pub trait Entropy: Send + Sync + std::fmt::Debug + 'static {
    /// The next random number. Needn't be fit for secrets; must be unlikely to repeat between processes.
    fn next_u64(&self) -> u64;

    /// A version 7 UUID for a moment, in microseconds since the Unix epoch.
    fn uuid_v7(&self, now_micros: i64) -> Uuid {
        let millis = u64::try_from(now_micros / 1_000).unwrap_or_default();
        let mut random = [0u8; 10];
        let (low, high) = (self.next_u64().to_le_bytes(), self.next_u64().to_le_bytes());
        for (to, from) in random.iter_mut().zip(low.into_iter().chain(high)) {
            *to = from;
        }
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Randomness drawn from a seed by SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014), without a system call per draw. The same seed gives the same numbers.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl Clone for SeededEntropy {
    /// Draws the same numbers from here on.
    fn clone(&self) -> Self {
        Self::new(self.0.load(Ordering::Relaxed))
    }
}

impl SeededEntropy {
    /// Numbers that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Randomness seeded by the system once, through the seed of std's hash maps.
#[derive(Debug)]
pub struct SystemEntropy(SeededEntropy);

impl Default for SystemEntropy {
    fn default() -> Self {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_i64(SystemClock.now_micros());
        hasher.write_u32(std::process::id());
        Self(SeededEntropy::new(hasher.finish()))
    }
}

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        self.0.next_u64()
    }
}
