//! Columns for people.

use crate::failure::Outcome;
use crate::output::Output;

/// How many rows are gathered to find the width of the columns.
const GATHERED: usize = 512;

/// Rows under headings. Numbers stand to the right, text to the left; the last column is as wide as it likes. Of any
/// number of rows only some are held at a time.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    rows: Vec<[String; N]>,
    written: u64,
}

/// A column.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Text(heading) | Self::Number(heading) => heading,
        }
    }

    fn pad(self, text: &str, width: usize) -> String {
        match self {
            Self::Text(_) => format!("{text:<width$}"),
            Self::Number(_) => format!("{text:>width$}"),
        }
    }
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        let widths = columns.map(|column| column.heading().chars().count());
        Self { columns, widths, rows: Vec::new(), written: 0 }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, output: &mut Output, row: [String; N]) -> Outcome {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(row);
        if self.rows.len() < GATHERED { Ok(()) } else { self.write(output) }
    }

    /// Writes what is left; returns how many rows there were. A table without rows has no headings either.
    pub(crate) fn end(mut self, output: &mut Output) -> Outcome<u64> {
        self.write(output)?;
        Ok(self.written)
    }

    fn write(&mut self, output: &mut Output) -> Outcome {
        if self.written == 0 && !self.rows.is_empty() {
            let headings = self.columns.map(|column| column.heading().to_owned());
            output.line(output.paint.heading(self.padded(&headings)))?;
        }
        for row in &self.rows {
            output.line(self.padded(row))?;
        }
        self.written += self.rows.len() as u64;
        self.rows.clear();
        Ok(())
    }

    fn padded(&self, cells: &[String; N]) -> String {
        let cells = cells.iter().zip(self.columns).zip(self.widths);
        let padded: Vec<String> = cells.map(|((cell, column), width)| column.pad(cell, width)).collect();
        padded.join("  ").trim_end().to_owned()
    }
}

/// At most `length` characters of `text`, on one line.
pub(crate) fn clipped(text: &str, length: usize) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut clipped: String = characters.by_ref().take(length).collect();
    if characters.next().is_some() {
        clipped.pop();
        clipped.push('…');
    }
    clipped
}

/// A number with a comma before each three digits.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 event`, `2 events`: a number and its noun.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `a, b, c`.
pub(crate) fn joined(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (262_200, "262,200"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(counted(1, "delivery", "deliveries"), "1 delivery");
        assert_eq!(counted(2_000, "delivery", "deliveries"), "2,000 deliveries");
    }

    #[test]
    fn long_text_is_clipped_at_characters() {
        assert_eq!(clipped("låneansökan", 5), "låne…");
        assert_eq!(clipped("lån", 3), "lån");
        assert_eq!(clipped("a\nb", 9), "a b");
    }
}
