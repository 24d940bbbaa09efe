//! A page: the rows that begin in 16 KiB of the plain segment.
//!
//! ```text
//!  0  CRC of salt, number of the page, and the bytes behind this     4
//!  4  rows                                                           2
//!  6  shapes                                                         1
//!  7  zero                                                           1
//!  8  where the last row ends, from where the page begins; rows lie
//!     next to each other, so each ends where the next begins         4
//! 12  columns                                                      117
//! ..  shapes                                                         4 each
//! ..  rows: where the row begins from where the page begins, where its unit ends, number of its shape, type, stream,
//!     version, milliseconds of the id, time, its offset
//! ..  units
//! ```
//!
//! A shape says what a row is: kind 1, flags of the event 2, and in the last byte 1: a record (else what stands between
//! records), 2: an event's body taken apart, 4: its id is of version 7, 8: the unit ends with an LZ4 block.
//! A unit is what is left: of an id of version 7 the last 10 bytes, of another all 16, then what follows the time.

use super::PAGE;
use super::columns::{COLUMNS, COLUMNS_LEN, Columns, put_table};
use super::rows::{Row, SHAPE, START, UNIT_END, put_plain};
use crate::log::format::{Reader, Salt, put_u16, put_u32};

const HEAD: usize = 12;
/// More than that begin in no page.
const MAX_SHAPES: usize = u8::MAX as usize;

/// The CRC of page `number`, which must be more than its CRC.
fn crc(number: u32, page: &[u8], salt: &Salt) -> u32 {
    let mut hasher = salt.hasher();
    hasher.update(&number.to_le_bytes());
    hasher.update(page.get(4..).unwrap_or_default());
    hasher.finalize()
}

/// Whether these are the bytes that were written as page `number`; none are a page on which no row begins.
pub(super) fn is_whole(number: u32, page: &[u8], salt: &Salt) -> bool {
    page.first_chunk().is_none_or(|stated| u32::from_le_bytes(*stated) == crc(number, page, salt))
        && (page.is_empty() || page.len() > HEAD)
}

/// Makes the CRC of a page right.
#[cfg(any(all(test, feature = "compression"), fuzzing))]
pub(super) fn mend(number: u32, page: &mut [u8], salt: &Salt) {
    let crc = crc(number, page, salt).to_le_bytes();
    page.iter_mut().zip(crc).for_each(|(to, from)| *to = from);
}

/// Rows that begin in one page, to be written.
#[derive(Debug, Default)]
pub(super) struct Builder {
    rows: Vec<Row>,
    /// Where each begins in the plain segment.
    starts: Vec<usize>,
}

impl Builder {
    pub(super) fn push(&mut self, start: usize, row: Row) {
        self.rows.push(row);
        self.starts.push(start);
    }

    /// The bytes of page `number`, whose last row ends at `end` of the plain segment; begins anew. `None` where there are
    /// more shapes than a page can have.
    pub(super) fn finish(&mut self, number: u32, end: usize, salt: &Salt) -> Option<Vec<u8>> {
        let (mut rows, starts) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.starts));
        if rows.is_empty() {
            return Some(Vec::new());
        }
        let base = number as usize * PAGE;
        let mut shapes: Vec<u32> = Vec::new();
        let mut unit_end = 0;
        for (row, start) in rows.iter_mut().zip(starts) {
            let shape = shapes.iter().position(|shape| *shape == row.shape).unwrap_or_else(|| {
                shapes.push(row.shape);
                shapes.len() - 1
            });
            unit_end += row.unit.len();
            for (column, number) in [(START, start - base), (UNIT_END, unit_end), (SHAPE, shape)] {
                if let Some(to) = row.numbers.get_mut(column) {
                    *to = Some(number as u64);
                }
            }
        }
        if shapes.len() > MAX_SHAPES {
            return None;
        }
        let mut out = vec![0; 4];
        put_u16(&mut out, rows.len() as u16);
        out.extend_from_slice(&[shapes.len() as u8, 0]);
        put_u32(&mut out, (end - base) as u32);
        let shapes: Vec<u8> = shapes.into_iter().flat_map(u32::to_le_bytes).collect();
        let numbers: Vec<_> = rows.iter().map(|row| row.numbers).collect();
        put_table(&mut out, &numbers, &shapes);
        for row in rows {
            out.extend_from_slice(&row.unit);
        }
        let crc = crc(number, &out, salt).to_le_bytes();
        out.iter_mut().zip(crc).for_each(|(to, from)| *to = from);
        Some(out)
    }
}

/// A page on which rows begin, whose CRC was checked.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) rows: usize,
    /// Where its last row ends, from where the page begins.
    pub(super) end: usize,
    columns: Columns,
    shapes: &'a [[u8; 4]],
    table: &'a [u8],
    units: &'a [u8],
}

impl<'a> Page<'a> {
    #[inline]
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes.get(4..)?);
        let rows = usize::from(fields.u16()?);
        let shapes = usize::from(fields.u8()?);
        fields.u8()?;
        let end = fields.u32()? as usize;
        let columns = Columns::decode(fields.bytes(COLUMNS_LEN)?)?;
        let shapes = fields.bytes(shapes * 4)?.as_chunks().0;
        let table = fields.bytes(columns.rows_len(rows))?;
        (rows > 0).then(|| Self { rows, end, columns, shapes, table, units: fields.rest() })
    }

    /// Where a row begins, from where the page begins.
    #[inline]
    pub(super) fn start(&self, row: usize) -> usize {
        place(self.columns.get(self.table, row, START))
    }

    /// The row that covers `at`, from where the page begins; the first where none does.
    #[inline]
    pub(super) fn row_at(&self, at: usize) -> usize {
        // Rows are about as long as each other.
        let mut row = (at.saturating_mul(self.rows) / self.end.max(1)).min(self.rows - 1);
        while row > 0 && self.start(row) > at {
            row -= 1;
        }
        while row + 1 < self.rows && self.start(row + 1) <= at {
            row += 1;
        }
        row
    }

    /// Adds the plain bytes of a row to `out`, at most `most` of them.
    #[inline]
    pub(super) fn put_row(
        &self,
        row: usize,
        most: usize,
        with: (Option<&Salt>, &[u8]),
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let number = |column| self.columns.get(self.table, row, column);
        let next = if row + 1 < self.rows { self.start(row + 1) } else { self.end };
        let length = next.checked_sub(self.start(row)).filter(|length| (1..=most).contains(length))?;
        let unit_start = match row.checked_sub(1) {
            Some(before) => self.columns.get(self.table, before, UNIT_END) as usize,
            None => 0,
        };
        let unit = self.units.get(unit_start..number(UNIT_END) as usize)?;
        let shape = u32::from_le_bytes(*self.shapes.get(number(SHAPE) as usize)?);
        put_plain(out, length, shape, unit, number, with)
    }
}

/// A place in a segment; none is beyond what a segment can be long.
fn place(number: u64) -> usize {
    number.min(u64::from(u32::MAX)) as usize
}

/// Where the first row of a page begins and the last one ends, from where the page begins; `None` where no row begins.
#[inline]
pub(super) fn span(page: &[u8]) -> Option<(usize, usize)> {
    let mut fields = Reader::new(page.get(8..)?);
    let end = fields.u32()?;
    // The least number of the first column.
    Some((place(fields.u64()?), end as usize))
}

/// Has the memory behind the front of a page fetched.
#[inline]
pub(super) fn touch_front(page: &[u8]) -> u8 {
    [0, 64, 128].iter().fold(0, |touched, at| touched ^ page.get(*at).copied().unwrap_or_default())
}

/// Has the memory behind the row at `at` of the plain segment fetched, and behind its unit, where they should be: rows are
/// about as long as each other. The front should have been.
#[inline]
pub(super) fn touch_row(page: &[u8], at: usize) -> u8 {
    let byte = |at: usize| page.get(at).copied().unwrap_or_default();
    let rows = usize::from(u16::from_le_bytes([byte(4), byte(5)]));
    let row_bits: usize = (0..COLUMNS).map(|column| usize::from(byte(HEAD + 13 * column + 12))).sum();
    let table = HEAD + COLUMNS_LEN + 4 * usize::from(byte(6));
    let units = table + rows * row_bits / 8;
    let row = table + at % PAGE * rows / PAGE * row_bits / 8;
    let unit = units + at % PAGE * page.len().saturating_sub(units) / PAGE;
    let lines = [row.saturating_sub(24), row + 24, unit.saturating_sub(64), unit, unit + 64, unit + 128];
    lines.iter().fold(0, |touched, at| touched ^ byte(*at))
}
