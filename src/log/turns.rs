//! Long work behind, done in turns: a thread that computes without a pause makes whoever wakes up meanwhile wait for the end
//! of its time slice, which is milliseconds where commits take a tenth of one.

use crate::sync::thread;

/// How many rows are worked on between two turns: what takes about as long as a commit.
const ROWS: usize = 4 << 10;
/// The high bits of a row choose its bucket.
const BUCKET_BITS: u32 = 8;

/// Gives rows on, and lets others run now and then.
pub(crate) fn in_turns<T>(rows: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    rows.enumerate().map(|(number, row)| {
        if number % ROWS == ROWS - 1 {
            thread::yield_now();
        }
        row
    })
}

/// Sorts rows that begin with a hash, so that their high bits are spread evenly.
pub(crate) fn sort_in_turns(mut rows: Vec<u64>) -> Vec<u64> {
    if rows.len() <= ROWS {
        rows.sort_unstable();
        return rows;
    }
    let bucket = |row: u64| (row >> (u64::BITS - BUCKET_BITS)) as usize;
    let mut buckets: Vec<Vec<u64>> = (0..1 << BUCKET_BITS).map(|_| Vec::new()).collect();
    for row in in_turns(rows.into_iter()) {
        if let Some(bucket) = buckets.get_mut(bucket(row)) {
            bucket.push(row);
        }
    }
    let mut sorted = Vec::with_capacity(buckets.iter().map(Vec::len).sum());
    for mut bucket in buckets {
        bucket.sort_unstable();
        sorted.append(&mut bucket);
        thread::yield_now();
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_sorted_whatever_they_are() {
        for count in [0, 1, ROWS, ROWS + 1, 5 * ROWS] {
            for spread in [0x9e37_79b9_7f4a_7c15, 1, 0, 1 << 56] {
                let rows: Vec<u64> = (0..count as u64).rev().map(|number| number.wrapping_mul(spread)).collect();
                let mut wanted = rows.clone();
                wanted.sort_unstable();
                assert_eq!(sort_in_turns(rows), wanted, "{count} {spread}");
            }
        }
    }

    #[test]
    fn all_rows_are_given_on() {
        assert!(in_turns(0..3 * ROWS).eq(0..3 * ROWS));
    }
}
