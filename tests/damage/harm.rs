//! What is done to a region of a file.

/// Ways to damage a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    Flip,
    Zero,
    /// The file ends where the region begins.
    Truncate,
    /// The region stands there twice.
    Duplicate,
}

pub(crate) const HARMS: [Harm; 4] = [Harm::Flip, Harm::Zero, Harm::Truncate, Harm::Duplicate];

impl Harm {
    /// The file afterwards.
    pub(crate) fn done_to(self, bytes: &[u8], offset: usize, length: usize) -> Vec<u8> {
        let mut out = bytes.to_vec();
        match self {
            Self::Flip => out[offset + length / 2] ^= 0x10,
            Self::Zero => out[offset..offset + length].fill(0),
            Self::Truncate => out.truncate(offset),
            Self::Duplicate => {
                let again = out[offset..offset + length].to_vec();
                out.splice(offset + length..offset + length, again);
            }
        }
        out
    }
}
