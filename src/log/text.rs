//! Names out of the log as shared text: a slice of a mapped segment or of memory, cloned without copying.

use bytes::Bytes;

/// Text in shared bytes, known to be UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Bytes);

// Hashed as a `str`, so that a map keyed by `Text` can be asked with one.
#[allow(clippy::derived_hash_with_manual_eq, reason = "equal texts have equal bytes and equal hashes")]
impl std::hash::Hash for Text {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Text {
    /// `None` where the bytes aren't UTF-8.
    pub(crate) fn new(bytes: Bytes) -> Option<Self> {
        std::str::from_utf8(&bytes).ok()?;
        Some(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        // Checked when it was made.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}
