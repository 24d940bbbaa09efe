//! A fold whose state tells every event it was made from, in order, and the fingerprint it was made with.

use crate::log::{EventRef, Fold};

/// Events, and a hash chained over their positions and the fingerprint.
pub(super) type Chain = (u64, u64);

/// The fold, at one fingerprint.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainFold(pub(super) u64);

impl ChainFold {
    pub(super) fn add(self, state: &mut Chain, position: u64) {
        state.0 += 1;
        state.1 = (state.1 ^ position ^ self.0 << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }
}

impl Fold for ChainFold {
    type State = Chain;

    fn name(&self) -> &str {
        "chain"
    }

    fn fingerprint(&self) -> u64 {
        self.0
    }

    fn start(&self) -> Chain {
        (0, 0)
    }

    fn apply(&self, state: &mut Chain, event: &EventRef<'_>) {
        self.add(state, event.position());
    }

    fn encode(&self, state: &Chain) -> Vec<u8> {
        [state.0.to_le_bytes(), state.1.to_le_bytes()].concat()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Chain> {
        let (count, hash) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*count), u64::from_le_bytes(hash.try_into().ok()?)))
    }
}
