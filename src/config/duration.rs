//! Durations as configuration writes them: a whole number and a unit, such as `200ms` or `30s`.

use std::time::Duration;

/// The longest duration in configuration.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 86_400);

/// What a duration looks like, for an error.
pub(super) const EXPECTED: &str =
    "a whole number and a unit (ms, s, m, h, d) of at most 365d, such as \"200ms\" or \"30s\"";

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration; `None` where it is none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let duration = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?);
    (duration <= MAX_DURATION).then_some(duration)
}

/// Writes a duration in its largest whole unit.
pub(super) fn print(duration: &Duration) -> String {
    let total = duration.as_millis();
    match UNITS.iter().find(|(_, millis)| total > 0 && total.is_multiple_of(u128::from(*millis))) {
        Some((name, millis)) => format!("{}{name}", total / u128::from(*millis)),
        None => "0ms".to_owned(),
    }
}

pub(super) fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_and_out() {
        for text in ["0ms", "200ms", "30s", "5m", "2h", "365d", "1500ms"] {
            assert_eq!(print(&parse(text).unwrap()), text);
        }
        assert_eq!(print(&parse("60s").unwrap()), "1m");
        for bad in ["", "30", "s", "1.5s", "-1s", "30 s", "30S", "366d", "99999999999999999999d", "ä"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
