//! A table of numbers, packed by columns: each column states its least number, what all differences from it are multiples
//! of, and how many bits they then take. Rows are bits next to each other, so that any row is found by its number.
//!
//! ```text
//! column = least 8, step 4, bits 1
//! rows   = for each row, for each column: (number - least) / step, in that many bits; the last byte is filled with zeros
//! ```

use crate::log::format::{Reader, put_u32, put_u64};

/// Columns of a table.
pub(super) const COLUMNS: usize = 9;
/// Bytes that state the columns.
pub(super) const COLUMNS_LEN: usize = COLUMNS * 13;

#[derive(Clone, Copy, Debug, Default)]
struct Column {
    least: u64,
    step: u32,
    bits: u8,
    /// Bits of the columns before it.
    at: u16,
}

/// What a table's columns are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    columns: [Column; COLUMNS],
    row_bits: usize,
}

fn width(number: u64) -> u8 {
    (u64::BITS - number.leading_zeros()) as u8
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Columns {
    fn of(mut columns: [Column; COLUMNS]) -> Self {
        let mut row_bits = 0;
        for column in &mut columns {
            column.at = row_bits;
            row_bits += u16::from(column.bits);
        }
        Self { columns, row_bits: usize::from(row_bits) }
    }

    /// The columns in the front of `bytes`.
    #[inline]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let mut columns = [Column::default(); COLUMNS];
        for column in &mut columns {
            *column = Column { least: fields.u64()?, step: fields.u32()?, bits: fields.u8()?, at: 0 };
            if column.bits > 64 {
                return None;
            }
        }
        Some(Self::of(columns))
    }

    /// Bytes of `rows` rows.
    #[inline]
    pub(super) fn rows_len(&self, rows: usize) -> usize {
        (rows * self.row_bits).div_ceil(8)
    }

    /// The number in a row and a column.
    #[inline]
    pub(super) fn get(&self, rows: &[u8], row: usize, column: usize) -> u64 {
        let Some(Column { least, step, bits, at }) = self.columns.get(column) else { return 0 };
        if *bits == 0 {
            return *least;
        }
        let bit = row * self.row_bits + usize::from(*at);
        let rest = rows.get(bit / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 16];
                chunk.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                u128::from_le_bytes(chunk)
            }
        };
        let number = (word >> (bit % 8)) as u64 & (u64::MAX >> (64 - u32::from(*bits)));
        least.wrapping_add(number.wrapping_mul(u64::from(*step)))
    }
}

/// Adds columns and rows to `out`, with `between` between them; `None` in a row that has no such number, where any may be
/// read back.
pub(super) fn put_table(out: &mut Vec<u8>, rows: &[[Option<u64>; COLUMNS]], between: &[u8]) {
    let mut columns = [Column::default(); COLUMNS];
    for (number, column) in columns.iter_mut().enumerate() {
        let numbers = || rows.iter().filter_map(|row| row.get(number).copied().flatten());
        let (least, most) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
        let step = numbers().fold(0, |step, number| common_divisor(number - least, step));
        let step = u32::try_from(step).unwrap_or(1).max(1);
        *column = Column { least, step, bits: width((most - least) / u64::from(step)), at: 0 };
    }
    let columns = Columns::of(columns);
    for column in &columns.columns {
        put_u64(out, column.least);
        put_u32(out, column.step);
        out.push(column.bits);
    }
    out.extend_from_slice(between);
    let (mut word, mut filled) = (0u128, 0);
    for row in rows {
        for (column, number) in columns.columns.iter().zip(row) {
            let number = number.map_or(0, |number| (number - column.least) / u64::from(column.step));
            word |= u128::from(number) << filled;
            filled += u32::from(column.bits);
            while filled >= 8 {
                out.push(word as u8);
                word >>= 8;
                filled -= 8;
            }
        }
    }
    if filled > 0 {
        out.push(word as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_got(
            rows in prop::collection::vec(prop::array::uniform9(prop::option::of(prop_oneof![0..9u64, any::<u64>(), (0..4u64).prop_map(|n| n * 1000)])), 1..50),
        ) {
            let mut bytes = Vec::new();
            put_table(&mut bytes, &rows, b"between");
            let columns = Columns::decode(&bytes).unwrap();
            let table = &bytes[COLUMNS_LEN + 7..];
            prop_assert_eq!(table.len(), columns.rows_len(rows.len()));
            for (number, row) in rows.iter().enumerate() {
                for (column, expected) in row.iter().enumerate() {
                    if let Some(expected) = expected {
                        prop_assert_eq!(columns.get(table, number, column), *expected);
                    }
                }
            }
        }
    }
}
