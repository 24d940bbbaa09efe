//! Where a record stands in the log.

use std::fmt;

/// The place of a record: the number of its segment and the offset in it, in bytes. Addresses grow along the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// Before everything.
    pub const START: Self = Self(0);

    /// The address of `offset` in segment `segment`.
    pub fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    /// The number of the segment; the first is 1.
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The offset in the segment, in bytes.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }

    /// The address as one number, for storing it.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The address from [`to_u64`](Self::to_u64).
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}:{}", self.segment(), self.offset())
    }
}
