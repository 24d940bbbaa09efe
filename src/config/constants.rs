//! Named constants of a tree, `constants.json`: `$const` in its guards and transforms, so that tenants differ by values and
//! not by copies of documents.

use std::collections::BTreeMap;

/// The most constants that a tree may have.
pub const MAX_CONSTANTS: usize = 1000;
/// The most that all constants of a tree may be together, as JSON text, in bytes; those of the trees that it extends
/// included.
pub const MAX_CONSTANTS_LEN: usize = 64 << 10;

/// Constants by name, each as the JSON text that it was written as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Constants(pub(super) BTreeMap<String, String>);

impl Constants {
    /// These, and those of `base` that have no such name here.
    pub(super) fn over(mut self, base: &Self) -> Self {
        for (name, text) in &base.0 {
            if !self.0.contains_key(name) {
                self.0.insert(name.clone(), text.clone());
            }
        }
        self
    }

    /// Whether there is one of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All of them as one JSON object.
    pub(crate) fn to_json(&self) -> String {
        let entries: Vec<String> =
            self.0.iter().map(|(name, text)| format!("{}:{text}", serde_json::Value::from(name.as_str()))).collect();
        format!("{{{}}}", entries.join(","))
    }
}

/// Whether a text can be the name of a constant: what may stand behind `$const.`
pub(super) fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=64).contains(&text.len()) && text.chars().all(word) && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_s_own_constants_come_before_those_of_its_base() {
        let constants = |list: &[(&str, &str)]| {
            Constants(list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        let merged =
            constants(&[("a", "1.10"), ("b", "\"x\"")]).over(&constants(&[("b", "\"y\""), ("c", "{\"d\": [1]}")]));
        assert_eq!(merged.to_json(), r#"{"a":1.10,"b":"x","c":{"d": [1]}}"#);
        assert!(merged.contains("c") && !merged.contains("d"));
        assert!(is_name("region_2") && !is_name("2nd") && !is_name("a-b") && !is_name(""));
    }
}
