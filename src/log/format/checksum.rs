//! CRC-32 (IEEE 802.3, as in zlib), salted per segment.

use crc32fast::Hasher;

/// The salt of a segment as a CRC state to start from: what carries the salt of another segment does not verify.
#[derive(Clone, Debug)]
pub(crate) struct Salt(Hasher);

impl Salt {
    pub(crate) fn new(salt: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&salt.to_le_bytes());
        Self(hasher)
    }

    /// The CRC of the salt and then `bytes`.
    pub(crate) fn crc(&self, bytes: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(bytes);
        hasher.finalize()
    }

    /// A hasher that has seen the salt.
    pub(crate) fn hasher(&self) -> Hasher {
        self.0.clone()
    }
}

/// The CRC of a record's body, unsalted: computed by the caller before the segment is known.
pub(crate) fn crc_of_body(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}
