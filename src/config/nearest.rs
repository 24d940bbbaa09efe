//! The nearest known name to one that is not known: what an author most likely meant.

/// Words longer than this are not compared.
const MAX_LEN: usize = 320;

/// The candidate with the fewest typing errors between it and `word`, where they are few enough: a third of its letters,
/// and at most 4. Case does not count.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let limit = best.map_or((word.len().min(candidate.len()) / 3).clamp(1, 4), |(distance, _)| distance - 1);
        if let Some(distance) = distance(word.as_bytes(), candidate.to_ascii_lowercase().as_bytes(), limit) {
            best = Some((distance, candidate));
            if distance == 0 {
                break;
            }
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// How many bytes must be inserted, removed, replaced, or swapped with their neighbour; `None` where more than `limit`.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit || a.len().max(b.len()) > MAX_LEN {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        let mut left = i + 1;
        row.push(left);
        let mut last_b = None;
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(left + 1);
            if j > 0 && last_a == Some(y) && last_b == Some(x) {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
            left = best;
            last_b = Some(y);
        }
        if row.iter().all(|distance| *distance > limit) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
        last_a = Some(x);
    }
    last.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let keys = ["name", "weight", "when", "data", "target", "stop_on_failure"];
        for (word, expected) in [
            ("wieght", Some("weight")),
            ("Name", Some("name")),
            ("stop_on_failur", Some("stop_on_failure")),
            ("targets", Some("target")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        let types = ["INSTORE_TXNFINALIZE_UPSERTTRANSACTIONDISCOUNTS_COMPLETE_1"];
        assert!(nearest("INSTORE_TXNFINALIZE_UPERSTTRANSACTIONDISCOUNTS_COMPLETE_1", types).is_some());
        assert_eq!(distance(b"uperst", b"upsert", 4), Some(2));
        assert_eq!(distance(b"ab", b"ba", 4), Some(1));
    }
}
