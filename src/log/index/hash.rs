//! Hashes of names and keys, stable across versions and machines, keyed by the store so that nobody outside can choose
//! names that collide.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::event::Scope;

/// SipHash-1-3 (Aumasson, Bernstein 2012) keyed with the store's id.
#[derive(Clone, Debug)]
pub(crate) struct KeyHash {
    key: [u8; 16],
    /// Every key gets this hash: for tests of what happens when they collide.
    #[cfg(test)]
    always: Option<u64>,
}

impl KeyHash {
    pub(crate) fn new(store_id: [u8; 16]) -> Self {
        Self {
            key: store_id,
            #[cfg(test)]
            always: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn colliding() -> Self {
        Self { key: [0; 16], always: Some(7) }
    }

    fn of(&self, parts: &[&[u8]]) -> u64 {
        #[cfg(test)]
        if let Some(hash) = self.always {
            return hash;
        }
        let mut hasher = SipHasher13::new_with_key(&self.key);
        for part in parts {
            hasher.write(part);
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    /// The hash of a stream of a scope.
    pub(crate) fn stream(&self, scope: &Scope, stream: &str) -> u64 {
        self.streams_of(scope).of(stream)
    }

    /// The hashes of the streams of a scope.
    pub(crate) fn streams_of(&self, scope: &Scope) -> StreamHash {
        let mut begun = SipHasher13::new_with_key(&self.key);
        for part in ["s", scope.tenant().as_str(), scope.application().as_str()] {
            begun.write(part.as_bytes());
            begun.write_u8(0xff);
        }
        StreamHash {
            begun,
            #[cfg(test)]
            always: self.always,
        }
    }

    /// The hash of an event id.
    pub(crate) fn id(&self, id: Uuid) -> u64 {
        self.of(&[b"i", id.as_bytes()])
    }

    /// The hash of a correlation id.
    pub(crate) fn correlation(&self, id: Uuid) -> u64 {
        self.of(&[b"o", id.as_bytes()])
    }

    /// The hash of a causation id.
    pub(crate) fn causation(&self, id: Uuid) -> u64 {
        self.of(&[b"a", id.as_bytes()])
    }

    /// The hash of the key of another room's record.
    pub(crate) fn room(&self, kind: u8, key: &[u8]) -> u64 {
        self.of(&[b"r", &[kind], key])
    }
}

/// [`KeyHash::stream`] for the streams of one scope, which it has gone through once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct StreamHash {
    begun: SipHasher13,
    #[cfg(test)]
    always: Option<u64>,
}

impl StreamHash {
    /// The hash of a stream.
    pub(crate) fn of(&self, stream: &str) -> u64 {
        #[cfg(test)]
        if let Some(hash) = self.always {
            return hash;
        }
        let mut hasher = self.begun;
        hasher.write(stream.as_bytes());
        hasher.write_u8(0xff);
        hasher.finish()
    }
}
