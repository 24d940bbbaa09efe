//! Whether two JSON texts say the same, whatever they look like.

/// Whether two valid JSON texts are equal as values.
pub(crate) fn same_json(a: &[u8], b: &[u8]) -> bool {
    let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).ok();
    a == b || value(a).is_some_and(|a| Some(a) == value(b)) && long_numbers(a) == long_numbers(b)
}

/// The numbers in valid JSON that have more digits than a 64-bit float keeps apart, as they are written, sorted: as values
/// two of them may be equal that aren't.
fn long_numbers(json: &[u8]) -> Vec<&[u8]> {
    const KEPT_APART: usize = 15;
    let mut numbers = Vec::new();
    let mut rest = json;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'"' => after_text(after),
            b'-' | b'0'..=b'9' => {
                let is_of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = rest.iter().take_while(|byte| is_of_number(byte)).count();
                let (number, after) = rest.split_at_checked(length).unwrap_or_default();
                if number.len() > KEPT_APART {
                    numbers.push(number);
                }
                after
            }
            _ => after,
        };
    }
    numbers.sort_unstable();
    numbers
}

/// What follows a JSON text whose first quote was taken.
fn after_text(mut rest: &[u8]) -> &[u8] {
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'"' => return after,
            b'\\' => after.get(1..).unwrap_or_default(),
            _ => after,
        };
    }
    rest
}
