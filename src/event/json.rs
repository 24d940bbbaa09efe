//! Checks JSON in one pass, the plain kind without a parser: that it is valid, not nested too deep, and such that every parser can make a value of it (no
//! half characters as `"\ud83d"`, no numbers beyond 64-bit floats).

mod plain;

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::VocabularyError;

/// How deep the JSON of data and metadata may be nested.
pub const MAX_JSON_DEPTH: usize = 120;

/// Checks `json`; `what` names it in the error.
///
/// # Errors
/// [`VocabularyError::Json`], [`VocabularyError::JsonDepth`].
pub(super) fn check_json(what: &'static str, json: &[u8]) -> Result<(), VocabularyError> {
    if plain::is_plain_json(json) { Ok(()) } else { check_with_parser(what, json) }
}

fn check_with_parser(what: &'static str, json: &[u8]) -> Result<(), VocabularyError> {
    let too_deep = Cell::new(false);
    let mut parser = serde_json::Deserializer::from_slice(json);
    let level = Level { left: MAX_JSON_DEPTH, too_deep: &too_deep };
    let checked = level.deserialize(&mut parser).and_then(|()| parser.end());
    checked.map_err(|error| match too_deep.get() {
        true => VocabularyError::JsonDepth { what, limit: MAX_JSON_DEPTH },
        false => VocabularyError::Json { what, why: error.to_string() },
    })
}

/// A value at a level of nesting.
#[derive(Clone, Copy)]
struct Level<'c> {
    /// How many more levels there may be.
    left: usize,
    too_deep: &'c Cell<bool>,
}

impl Level<'_> {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let Some(left) = self.left.checked_sub(1) else {
            self.too_deep.set(true);
            return Err(E::custom("nested too deep"));
        };
        Ok(Self { left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while values.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while entries.next_key_seed(inside)?.is_some() {
            entries.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), VocabularyError> {
        check_json("data", json.as_bytes())
    }

    #[test]
    fn depth_is_limited() {
        let nested = |open: &str, close: &str, depth| check(&format!("{}1{}", open.repeat(depth), close.repeat(depth)));
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(nested(open, close, 120).is_ok());
            for depth in [121, 200, 100_000] {
                assert!(matches!(nested(open, close, depth), Err(VocabularyError::JsonDepth { limit: 120, .. })));
            }
        }
        assert!(check(&format!("\"{}\"", "[".repeat(300))).is_ok());
    }

    /// Or the parser does all the work.
    #[test]
    fn usual_data_are_plain() {
        for json in [
            r#"{"amount": 20000, "rate": 4.5, "to": "Zoë", "paid": false, "when": null, "parts": [1, -2, {}], "of": {}}"#,
            " [ ] ",
            "0",
            "-1.5e",
        ] {
            let is_plain = plain::is_plain_json(json.as_bytes());
            assert_eq!(is_plain, check_with_parser("data", json.as_bytes()).is_ok(), "{json}");
        }
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(plain::is_plain_json(deep(120).as_bytes()) && !plain::is_plain_json(deep(121).as_bytes()));
    }

    #[test]
    fn what_no_parser_makes_a_value_of_is_refused() {
        let nines = |count| "9".repeat(count);
        for bad in [
            "",
            "{\"a\":",
            "{} {}",
            "{\"a\":1e400}",
            "\"cut \\ud83d\"",
            "{\"\\ud83d\":1}",
            "[1,]",
            "\"\u{7}\"",
            &nines(400),
        ] {
            assert!(matches!(check(bad), Err(VocabularyError::Json { .. })), "{bad}");
        }
        for good in
            ["{\"a\":1e300}", "\"whole \\ud83d\\ude00\"", " [true,false,null] ", "-0.5", "{\"a\":{}}", &nines(200)]
        {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    proptest::proptest! {
        #[test]
        fn it_agrees_with_a_parser(json in "[\\[\\]{}\",:0-9eEu\\\\tru. -]{0,24}") {
            let parsed = serde_json::from_str::<serde_json::Value>(&json);
            proptest::prop_assert_eq!(check(&json).is_ok(), parsed.is_ok());
        }

        #[test]
        fn what_is_plain_is_right(json in "[\\[\\]{}\",:0-9.\\-tnf\\\\ é\u{7}]{0,24}", at in 0usize..4) {
            // Whole JSON with something put into it, as what is random is seldom nearly right.
            let whole = ["{\"a\":[1,-2.5,{}],\"b\":\"x\"}", "[[],[\"\"],true,null]", "{\"a\":{\"b\":[{\"c\":0}]}}", "\"eins zwei drei\""][at];
            let mut near: Vec<char> = whole.chars().collect();
            let place = json.len() % near.len();
            if json.chars().count() > 2 { near[place] = json.chars().next().unwrap(); }
            let near: String = near.into_iter().collect();
            for json in [&json, &near] {
                if plain::is_plain_json(json.as_bytes()) {
                    proptest::prop_assert!(check_with_parser("data", json.as_bytes()).is_ok(), "{}", json);
                }
            }
        }
    }
}
