//! Points in time: microseconds since 1970-01-01T00:00:00Z and the offset they were stated with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::VocabularyError;

/// A point in time with the offset from UTC that it was given with. Parsed as RFC 3339 and printed so, with three digits
/// of a second or, where they are needed, six; equal only if both
/// the microseconds and the offset are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp {
    micros: i64,
    offset_minutes: i16,
}

const MINUTE: i64 = 60_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z, less three days each so that every offset can be printed.
const MIN_MICROS: i64 = -62_135_596_800_000_000 + 3 * 1_440 * MINUTE;
const MAX_MICROS: i64 = 253_402_300_799_999_999 - 3 * 1_440 * MINUTE;
const MAX_OFFSET: i16 = 23 * 60 + 59;

impl Timestamp {
    /// A point in time from microseconds since the Unix epoch and an offset in minutes; both are brought into the range
    /// that RFC 3339 can print (years 1 to 9999, offsets below a day).
    pub fn new(micros: i64, offset_minutes: i16) -> Self {
        Self {
            micros: micros.clamp(MIN_MICROS, MAX_MICROS),
            offset_minutes: offset_minutes.clamp(-MAX_OFFSET, MAX_OFFSET),
        }
    }

    /// A point in time in UTC.
    pub fn from_micros(micros: i64) -> Self {
        Self::new(micros, 0)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// Minutes east of UTC.
    pub fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.micros + i64::from(self.offset_minutes) * MINUTE;
        let date_time = jiff::Timestamp::from_microsecond(local)
            .map_err(|_| fmt::Error)
            .map(|t| jiff::tz::Offset::UTC.to_datetime(t))?;
        let (d, t) = (date_time.date(), date_time.time());
        write!(f, "{:04}-{:02}-{:02}T", d.year(), d.month(), d.day())?;
        write!(f, "{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())?;
        match self.micros.rem_euclid(1_000_000) {
            us if us % 1_000 == 0 => write!(f, ".{:03}", us / 1_000)?,
            us => write!(f, ".{us:06}")?,
        }
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl FromStr for Timestamp {
    type Err = VocabularyError;

    /// Parses RFC 3339 with an offset, such as `2011-10-01T00:38:44.546+02:00`; digits past microseconds are cut.
    fn from_str(text: &str) -> Result<Self, VocabularyError> {
        let bad = || VocabularyError::Time { found: super::excerpt(text) };
        let pieces = jiff::fmt::temporal::DateTimeParser::new().parse_timestamp(text).map_err(|_| bad())?;
        let offset_minutes = offset_of(text).ok_or_else(bad)?;
        let micros = pieces.as_nanosecond().div_euclid(1_000);
        let micros = i64::try_from(micros).map_err(|_| bad())?;
        if !(MIN_MICROS..=MAX_MICROS).contains(&micros) || offset_minutes.abs() > MAX_OFFSET {
            return Err(bad());
        }
        Ok(Self { micros, offset_minutes })
    }
}

/// The offset at the end of an RFC 3339 text, in minutes.
fn offset_of(text: &str) -> Option<i16> {
    if text.ends_with(['Z', 'z']) {
        return Some(0);
    }
    let tail = text.get(text.len().checked_sub(6)?..)?;
    let (sign, rest) = (tail.get(..1)?, tail.get(1..)?);
    let (hours, minutes) = rest.split_once(':')?;
    let minutes = hours.parse::<i16>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    match sign {
        "+" => Some(minutes),
        "-" => Some(-minutes),
        _ => None,
    }
}

impl TryFrom<String> for Timestamp {
    type Error = VocabularyError;
    fn try_from(text: String) -> Result<Self, VocabularyError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_3339_in_and_out() {
        for text in [
            "2011-10-01T00:38:44.546+02:00",
            "2011-10-01T00:38:44.546123-11:30",
            "1969-12-31T23:59:59.999Z",
            "2011-10-01T00:38:44.000Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let whole: Timestamp = "2011-10-01T00:38:44Z".parse().unwrap();
        assert_eq!(whole.to_string(), "2011-10-01T00:38:44.000Z");
        let cut: Timestamp = "2011-10-01T00:00:00.123456789Z".parse().unwrap();
        assert_eq!(cut.to_string(), "2011-10-01T00:00:00.123456Z");
        for bad in ["", "yesterday", "2011-10-01", "2011-10-01T00:00:00", "2011-13-01T00:00:00Z"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_time_round_trips(micros in any::<i64>(), offset in any::<i16>()) {
            let time = Timestamp::new(micros, offset);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
