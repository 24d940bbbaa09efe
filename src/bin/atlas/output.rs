//! Results on stdout, messages on stderr; colour only where a person looks.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// A text without control characters, but for colours.
fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let colour = rest.strip_prefix("\x1b[").and_then(|after| {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            (after.as_bytes().get(digits) == Some(&b'm')).then_some(2 + digits + 1)
        });
        let taken = colour.unwrap_or(first.len_utf8());
        let (taken, after) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        line.push_str(if colour.is_none() && first.is_control() { " " } else { taken });
        rest = after;
    }
    Cow::Owned(line)
}

/// How many bytes of results are gathered before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// Where a command's results go.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    /// Results are for machines: JSON.
    pub(crate) json: bool,
    /// Colours of stdout.
    pub(crate) paint: Paint,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let paint = Paint { on: !json && colours_on(stdout.is_terminal()) };
        Self { stdout: BufWriter::with_capacity(BUFFER_BYTES, stdout), json, paint }
    }

    /// Writes one line: what is on record may hold any characters, so what would break the line or do something to a terminal
    /// becomes a space, but for colours.
    pub(crate) fn line(&mut self, text: impl Display) -> Outcome {
        writeln!(self.stdout, "{}", on_one_line(&text.to_string())).map_err(|error| Failure::writing(&error))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json_line(&mut self, value: &(impl Serialize + ?Sized)) -> Outcome {
        serde_json::to_writer(&mut self.stdout, value).map_err(|error| Failure::writing(&error.into()))?;
        self.line("")
    }

    /// Writes values as one JSON array, an element a line, without holding them all.
    pub(crate) fn json_array<T: Serialize>(&mut self, values: impl IntoIterator<Item = Outcome<T>>) -> Outcome {
        let mut before = "[";
        for value in values {
            let value = value?;
            write!(self.stdout, "{before}").map_err(|error| Failure::writing(&error))?;
            serde_json::to_writer(&mut self.stdout, &value).map_err(|error| Failure::writing(&error.into()))?;
            before = ",\n ";
        }
        self.line(if before == "[" { "[]" } else { "]" })
    }

    /// Writes JSON indented, for people.
    pub(crate) fn json_pretty(&mut self, value: &(impl Serialize + ?Sized)) -> Outcome {
        serde_json::to_writer_pretty(&mut self.stdout, value).map_err(|error| Failure::writing(&error.into()))?;
        self.line("")
    }

    /// Hands on what was gathered.
    pub(crate) fn flush(&mut self) -> Outcome {
        self.stdout.flush().map_err(|error| Failure::writing(&error))
    }
}

/// Writes a message to stderr. A stderr that nobody reads is nobody's loss.
pub(crate) fn message(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", bounded(&text.to_string()));
}

/// The longest word of a message, in characters: a name out of the input may have megabytes.
const LONGEST_WORD: usize = 200;

/// The text with its longest words cut short.
fn bounded(text: &str) -> Cow<'_, str> {
    if text.split_whitespace().all(|word| word.len() <= LONGEST_WORD) {
        return text.into();
    }
    let (mut cut, mut length) = (String::new(), 0);
    for c in text.chars() {
        length = if c.is_whitespace() { 0 } else { length + 1 };
        match length {
            ..=LONGEST_WORD => cut.push(c),
            _ if length == LONGEST_WORD + 1 => cut.push('…'),
            // The quote that a long word ends with.
            _ if matches!(c, '`' | '"') => cut.push(c),
            _ => {}
        }
    }
    cut.into()
}

/// Writes an error to stderr.
pub(crate) fn error(text: impl Display) {
    let paint = Paint { on: colours_on(io::stderr().is_terminal()) };
    message(format_args!("{}: {text}", paint.bad("error")));
}

fn colours_on(terminal: bool) -> bool {
    // https://no-color.org: any value but the empty one.
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Colours, or none.
#[derive(Clone, Copy, Default)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    fn with(self, code: &str, text: impl Display) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(crate) fn heading(self, text: impl Display) -> String {
        self.with("1", text)
    }

    pub(crate) fn faint(self, text: impl Display) -> String {
        self.with("2", text)
    }

    pub(crate) fn good(self, text: impl Display) -> String {
        self.with("32", text)
    }

    pub(crate) fn waiting(self, text: impl Display) -> String {
        self.with("33", text)
    }

    pub(crate) fn bad(self, text: impl Display) -> String {
        self.with("31", text)
    }
}

#[cfg(test)]
mod tests {
    use super::on_one_line;

    #[test]
    fn a_line_stays_one_and_does_nothing_to_a_terminal() {
        for (text, expected) in [
            ("plain €", "plain €"),
            ("a\nb\tc\r", "a b c "),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", " [2J ]0;title "),
            ("\u{1b}", " "),
        ] {
            assert_eq!(on_one_line(text), expected);
        }
    }
}
