//! JSON text to jq values and back. Whole numbers stay exact however large; other numbers keep their text until they are
//! computed with. On the way out a computed number that is whole is printed as one (`10000`, not `10000.0`), and what JSON
//! cannot say follows jq: NaN is null, infinity is the largest number.

use std::fmt::Write as _;

use jaq_json::{Num, Val, read};

use super::meter::MAX_VALUE_DEPTH;

/// How many digits a number may have that an expression reads.
pub const MAX_NUMBER_DIGITS: usize = 1000;

/// Reads JSON, which is valid or is refused.
pub(crate) fn parse(json: &[u8]) -> Result<Val, String> {
    serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|error| error.to_string())?;
    parse_valid(json)
}

/// Reads JSON that is known to be valid and not too deep.
pub(crate) fn parse_valid(json: &[u8]) -> Result<Val, String> {
    if longest_number(json) > MAX_NUMBER_DIGITS {
        return Err(format!("a number has more than MAX_NUMBER_DIGITS = {MAX_NUMBER_DIGITS} digits"));
    }
    read::parse_single(json).map_err(|error| error.to_string())
}

/// The longest run of digits outside strings: the cost of reading a whole number grows with its square.
fn longest_number(json: &[u8]) -> usize {
    let (mut run, mut longest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else if byte.is_ascii_digit() {
            run += 1;
            longest = longest.max(run);
        } else {
            run = 0;
            in_string = *byte == b'"';
        }
    }
    longest
}

/// Why a value can't be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// It takes more bytes than there is room for.
    TooLarge,
    /// It is nested deeper than [`MAX_VALUE_DEPTH`].
    TooDeep,
    /// A key of an object is no string.
    Key,
}

/// Writes `value` behind what is in `out`, which may grow to `limit` bytes.
pub(crate) fn write(value: &Val, out: &mut Vec<u8>, limit: usize) -> Result<(), WriteError> {
    write_nested(value, out, limit, MAX_VALUE_DEPTH)
}

fn write_nested(value: &Val, out: &mut Vec<u8>, limit: usize, depth: usize) -> Result<(), WriteError> {
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => out.extend_from_slice(number_text(number).as_bytes()),
        Val::TStr(text) | Val::BStr(text) => write_string(text, out),
        Val::Arr(array) => {
            let depth = depth.checked_sub(1).ok_or(WriteError::TooDeep)?;
            out.push(b'[');
            for (i, value) in array.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_nested(value, out, limit, depth)?;
            }
            out.push(b']');
        }
        Val::Obj(object) => {
            let depth = depth.checked_sub(1).ok_or(WriteError::TooDeep)?;
            out.push(b'{');
            for (i, (key, value)) in object.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                let Val::TStr(key) = key else { return Err(WriteError::Key) };
                write_string(key, out);
                out.push(b':');
                write_nested(value, out, limit, depth)?;
            }
            out.push(b'}');
        }
    }
    if out.len() <= limit { Ok(()) } else { Err(WriteError::TooLarge) }
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    // Writing a string into memory has no way to fail.
    let _ = serde_json::to_writer(out, text.as_ref());
}

/// A number as JSON.
fn number_text(number: &Num) -> String {
    /// Whole floats below this are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number {
        Num::Int(number) => number.to_string(),
        Num::BigInt(number) => number.to_string(),
        Num::Dec(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text.to_string(),
        // jq reads literals that JSON doesn't know, such as `01.1`.
        Num::Dec(text) => number_text(&Num::Float(text.parse().unwrap_or(f64::NAN))),
        Num::Float(number) if number.is_nan() => "null".to_owned(),
        Num::Float(number) if number.is_infinite() && *number > 0.0 => "1.7976931348623157e308".to_owned(),
        Num::Float(number) if number.is_infinite() => "-1.7976931348623157e308".to_owned(),
        Num::Float(number) if number.fract() == 0.0 && number.abs() < EXACT => (*number as i64).to_string(),
        Num::Float(_) => number.to_string(),
    }
}

/// At most `limit` bytes of a text that is made while it is cut: an error may hold a value of megabytes.
pub(crate) fn bounded(what: &impl std::fmt::Display, limit: usize) -> String {
    struct Bounded(String, usize);
    impl std::fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for c in text.chars() {
                if self.0.len() + c.len_utf8() > self.1 {
                    self.0.push('…');
                    return Err(std::fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut out = Bounded(String::new(), limit);
    // The only failure is that the limit is reached, which the text shows.
    let _ = write!(out, "{what}");
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(json: &str) -> String {
        let mut out = Vec::new();
        write(&parse(json.as_bytes()).unwrap(), &mut out, 1 << 20).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stay_as_they_are() {
        for json in ["0", "-1", "1.10", "1e400", "123456789012345678901234567890", "-0.5", "[1,2.0]"] {
            assert_eq!(round_trip(json), json);
        }
        assert!(parse("1".repeat(1001).as_bytes()).unwrap_err().contains("MAX_NUMBER_DIGITS"));
        assert_eq!(round_trip(&format!("\"{}\"", "1".repeat(2000))).len(), 2002);
    }

    #[test]
    fn only_json_is_read() {
        for bad in ["NaN", "{1:2}", "# x\n1", "b\"x\"", "1 2", "[1,]", "+1", "Infinity"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_is_cut_while_it_is_made() {
        assert_eq!(bounded(&"abc", 3), "abc");
        assert_eq!(bounded(&"äbcd", 3), "äb…");
    }

    proptest! {
        #[test]
        fn text_round_trips(text in "\\PC{0,40}") {
            let json = serde_json::to_string(&[text]).unwrap();
            prop_assert_eq!(round_trip(&json), json);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
