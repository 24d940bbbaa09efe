//! Sizes and durations as people write them: `256MiB`, `30s`.

use std::time::Duration;

/// Splits `30s` into `30` and `s`.
fn split(text: &str) -> Option<(u64, &str)> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(unit)?;
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// A size in bytes: a whole number, alone or with `KiB`, `MiB`, `GiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let parsed = split(text).and_then(|(number, unit)| {
        let factor: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(factor)
    });
    parsed.ok_or_else(|| {
        format!("{text:?} is not a size; expected a whole number of bytes, or with a unit: 64KiB, 8MiB, 1GiB")
    })
}

/// A duration: a whole number with `ms`, `s`, `m` or `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = split(text).and_then(|(number, unit)| {
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.checked_mul(millis).map(Duration::from_millis)
    });
    parsed.ok_or_else(|| format!("{text:?} is not a duration; expected a whole number with a unit: 500ms, 30s, 5m, 1h"))
}

/// A duration that isn't zero.
pub(crate) fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is no time at all; expected more, such as 30s")),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64KiB"), Ok(64 << 10));
        assert_eq!(size("8MiB"), Ok(8 << 20));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        for bad in ["", "MiB", "8MB", "8mib", "-1", "1.5MiB", "99999999999GiB", "8 MiB!"] {
            assert!(size(bad).is_err_and(|error| error.contains("8MiB")), "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for bad in ["", "30", "s", "1d", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
