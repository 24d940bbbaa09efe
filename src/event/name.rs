//! Names of tenants, applications, variants, handlers and queues: `[A-Za-z0-9.-]{1,64}`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::VocabularyError;

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 64;

/// The tenant of default trees, `_`. Never the tenant of an event.
pub const DEFAULT_TENANT: &str = "_";

/// A checked name: 1 to [`MAX_NAME_LEN`] characters of `A-Z a-z 0-9 . -`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text`. `what` says in the error whose name it is ("tenant", "queue").
    ///
    /// # Errors
    /// [`VocabularyError::Name`] where it is empty, too long, or holds another character.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, VocabularyError> {
        check_name(what, text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(crate) fn check_name(what: &'static str, text: &str) -> Result<(), VocabularyError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    if !text.is_empty() && text.len() <= MAX_NAME_LEN && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(VocabularyError::Name { what, found: super::excerpt(text) })
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = VocabularyError;
    fn try_from(text: String) -> Result<Self, VocabularyError> {
        Self::parse("name", &text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_letters_digits_dots_and_dashes() {
        for good in ["a", "dutch-bank", "Shop.12", &"x".repeat(64)] {
            assert_eq!(Name::parse("tenant", good).unwrap().as_str(), good);
        }
        for bad in ["", "_", "a b", "a/b", "naïve", &"x".repeat(65)] {
            let error = Name::parse("tenant", bad).unwrap_err();
            assert!(error.to_string().contains("tenant"), "{error}");
        }
    }
}
