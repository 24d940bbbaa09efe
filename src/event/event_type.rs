//! Five-part event types, `TYPE_FLOW_OPERATION_RESULT_VERSION`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::VocabularyError;

/// The longest part of an event type, in bytes.
pub const MAX_PART_LEN: usize = 64;

/// The names of the five parts, in order, as errors call them.
pub const PART_NAMES: [&str; 5] = ["type", "flow", "operation", "result", "version"];

/// The name of an event's kind, five parts joined by `_`, such as
/// `INSTORE_TXNFINALIZE_UPSERTTRANSACTIONDISCOUNTS_COMPLETE_1`. The first four are 1 to [`MAX_PART_LEN`] characters of
/// `A-Z 0-9`; the fifth is the type version, a whole number from 1 to 4294967295 without leading zeros. Cheap to clone.
///
/// ```
/// use atlas::EventType;
/// let t: EventType = "LOAN_OFFER_SENT_COMPLETE_1".parse()?;
/// assert_eq!(t.parts(), ["LOAN", "OFFER", "SENT", "COMPLETE", "1"]);
/// assert_eq!(t.type_version(), 1);
/// # Ok::<(), atlas::VocabularyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(Arc<str>);

impl EventType {
    /// Joins five parts in folder spelling (snake_case allowed) to the canonical type: upper case without underscores.
    ///
    /// # Errors
    /// [`VocabularyError::TypePart`] naming the first part that cannot be one.
    pub fn from_folder_parts(parts: [&str; 5]) -> Result<Self, VocabularyError> {
        let mut text = String::with_capacity(64);
        for (part, name) in parts.into_iter().zip(PART_NAMES) {
            if !text.is_empty() {
                text.push('_');
            }
            if name == "version" {
                text.push_str(part);
            } else {
                text.push_str(&canonical_part(name, part)?);
            }
        }
        text.parse()
    }

    /// The type as text, in canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The five parts: type, flow, operation, result, version.
    pub fn parts(&self) -> [&str; 5] {
        let mut parts = self.0.split('_');
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The fifth part, the type version.
    pub fn type_version(&self) -> u32 {
        self.0.rsplit('_').next().and_then(|v| v.parse().ok()).unwrap_or_default()
    }
}

/// The canonical form of a part given in folder spelling: `txn_finalize` is `TXNFINALIZE`.
///
/// # Errors
/// [`VocabularyError::TypePart`] where it holds anything but letters, digits and underscores, or is empty or too long.
pub fn canonical_part(name: &'static str, folder: &str) -> Result<String, VocabularyError> {
    let canonical: String = folder.chars().filter(|c| *c != '_').map(|c| c.to_ascii_uppercase()).collect();
    check_part(name, &canonical).map_err(|_| VocabularyError::TypePart {
        part: name,
        found: super::excerpt(folder),
        expected: "1 to 64 letters, digits and underscores",
        whole: super::excerpt(folder),
    })?;
    Ok(canonical)
}

fn check_part(name: &'static str, part: &str) -> Result<(), &'static str> {
    if name == "version" {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && !part.starts_with('0');
        return if plain && part.parse::<u32>().is_ok() {
            Ok(())
        } else {
            Err("a whole number from 1 to 4294967295, such as 1")
        };
    }
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if !part.is_empty() && part.len() <= MAX_PART_LEN && part.bytes().all(allowed) {
        return Ok(());
    }
    Err("1 to 64 characters of A-Z and 0-9")
}

/// Checks that `text` is a canonical event type, without building one.
///
/// # Errors
/// As [`EventType::from_str`].
pub fn check_event_type(text: &str) -> Result<(), VocabularyError> {
    if is_event_type(text.as_bytes()) { Ok(()) } else { what_is_wrong(text) }
}

/// Whether `text` is a canonical event type: the whole check in one pass, as each event that is appended needs it.
fn is_event_type(text: &[u8]) -> bool {
    let mut rest = text;
    for _ in 0..4 {
        let length = rest.iter().take_while(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9')).count();
        match rest.get(length..) {
            Some([b'_', after @ ..]) if (1..=MAX_PART_LEN).contains(&length) => rest = after,
            _ => return false,
        }
    }
    let digits = rest.iter().all(u8::is_ascii_digit) && rest.first().is_some_and(|first| *first != b'0');
    // More digits than the largest version has could only be a larger one.
    digits
        && rest.len() <= 10
        && rest.iter().fold(0u64, |version, digit| version * 10 + u64::from(digit - b'0')) <= u64::from(u32::MAX)
}

fn what_is_wrong(text: &str) -> Result<(), VocabularyError> {
    let count = text.split('_').count();
    if count != PART_NAMES.len() {
        return Err(VocabularyError::TypeParts { found: super::excerpt(text), count });
    }
    for (part, name) in text.split('_').zip(PART_NAMES) {
        check_part(name, part).map_err(|expected| VocabularyError::TypePart {
            part: name,
            found: super::excerpt(part),
            expected,
            whole: super::excerpt(text),
        })?;
    }
    Ok(())
}

impl FromStr for EventType {
    type Err = VocabularyError;

    /// # Errors
    /// [`VocabularyError::TypeParts`] where there aren't five parts, [`VocabularyError::TypePart`] naming the first bad
    /// one.
    fn from_str(text: &str) -> Result<Self, VocabularyError> {
        check_event_type(text)?;
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::borrow::Borrow<str> for EventType {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventType {
    type Error = VocabularyError;
    fn try_from(text: String) -> Result<Self, VocabularyError> {
        text.parse()
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_error_names_the_offending_part() {
        let message = |text: &str| text.parse::<EventType>().unwrap_err().to_string();
        assert!(message("LOAN_OFFER_SENT_1").contains("five parts"), "{}", message("LOAN_OFFER_SENT_1"));
        assert!(message("LOAN_OFFER_SENT_1").contains("4"));
        for (text, part) in [
            ("loan_OFFER_SENT_COMPLETE_1", "type"),
            ("LOAN__SENT_COMPLETE_1", "flow"),
            ("LOAN_OFFER_SE NT_COMPLETE_1", "operation"),
            ("LOAN_OFFER_SENT_Ä_1", "result"),
            ("LOAN_OFFER_SENT_COMPLETE_01", "version"),
            ("LOAN_OFFER_SENT_COMPLETE_0", "version"),
            ("LOAN_OFFER_SENT_COMPLETE_4294967296", "version"),
        ] {
            assert!(message(text).contains(part), "{text}: {}", message(text));
        }
    }

    #[test]
    fn folder_spelling_becomes_canonical() {
        let t = EventType::from_folder_parts(["instore", "txn_finalize", "upsert_it", "complete", "1"]).unwrap();
        assert_eq!(t.as_str(), "INSTORE_TXNFINALIZE_UPSERTIT_COMPLETE_1");
        assert!(EventType::from_folder_parts(["in-store", "a", "b", "c", "1"]).is_err());
        assert!(EventType::from_folder_parts(["a", "_", "b", "c", "1"]).is_err());
    }

    proptest! {
        #[test]
        fn the_check_in_one_pass_agrees(text in "([A-Z]{1,3}_){3,5}[0-9]{0,11}|[A-Za0_]{0,20}|A{63,65}_B_C_D_1") {
            prop_assert_eq!(is_event_type(text.as_bytes()), what_is_wrong(&text).is_ok());
        }

        #[test]
        fn parsing_never_panics_and_round_trips(text in "\\PC{0,80}") {
            if let Ok(t) = text.parse::<EventType>() {
                prop_assert_eq!(t.to_string(), text);
            }
        }

        #[test]
        fn five_good_parts_parse(parts in proptest::array::uniform4("[A-Z0-9]{1,12}"), v in 1u32..) {
            let text = format!("{}_{v}", parts.join("_"));
            prop_assert_eq!(text.parse::<EventType>().unwrap().type_version(), v);
        }
    }
}
