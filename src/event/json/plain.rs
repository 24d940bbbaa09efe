//! A quick look that is sure of most JSON: text without escapes, numbers of a few digits. What it isn't sure of is left to
//! the parser, which also says what is wrong.

use super::MAX_JSON_DEPTH;

/// The longest number that it is sure of, in bytes: it can't be beyond a 64-bit float.
const MAX_NUMBER: usize = 24;

/// Whether `json` is surely one whole JSON value, not nested too deep, of which every parser can make a value.
pub(super) fn is_plain_json(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok() && Scan { rest: json }.value().is_some()
}

struct Scan<'a> {
    rest: &'a [u8],
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// A value, or the end of an array that just began.
    FirstValue,
    Key,
    /// A key, or the end of an object that just began.
    FirstKey,
    /// A comma, or the end of what is open.
    After,
}

impl Scan<'_> {
    /// Takes one value and nothing after it.
    fn value(&mut self) -> Option<()> {
        // Of each level that is open whether it is an object; the innermost is the lowest bit.
        let (mut objects, mut depth) = (0u128, 0usize);
        let mut next = Next::Value;
        loop {
            let byte = self.byte()?;
            let closes = matches!(next, Next::FirstValue | Next::FirstKey | Next::After) && depth > 0;
            match (byte, next) {
                (b'"', Next::Key | Next::FirstKey) => {
                    self.text()?;
                    (self.byte()? == b':').then_some(())?;
                    next = Next::Value;
                    continue;
                }
                (b',', Next::After) => {
                    next = if objects & 1 == 1 { Next::Key } else { Next::Value };
                    continue;
                }
                (b'{' | b'[', Next::Value | Next::FirstValue) => {
                    depth += 1;
                    if depth > MAX_JSON_DEPTH {
                        return None;
                    }
                    let is_object = byte == b'{';
                    objects = objects << 1 | u128::from(is_object);
                    next = if is_object { Next::FirstKey } else { Next::FirstValue };
                    continue;
                }
                (b'}', Next::FirstKey | Next::After) if closes && objects & 1 == 1 => {
                    (objects, depth) = (objects >> 1, depth - 1);
                }
                (b']', Next::FirstValue | Next::After) if closes && objects & 1 == 0 => {
                    (objects, depth) = (objects >> 1, depth - 1);
                }
                (b'"', Next::Value | Next::FirstValue) => self.text()?,
                (b'-' | b'0'..=b'9', Next::Value | Next::FirstValue) => self.number(byte)?,
                (b't', Next::Value | Next::FirstValue) => self.word(b"rue")?,
                (b'f', Next::Value | Next::FirstValue) => self.word(b"alse")?,
                (b'n', Next::Value | Next::FirstValue) => self.word(b"ull")?,
                _ => return None,
            }
            // A value has ended.
            if depth == 0 {
                return self.byte().is_none().then_some(());
            }
            next = Next::After;
        }
    }

    /// The next byte that isn't white space.
    fn byte(&mut self) -> Option<u8> {
        while let [first, rest @ ..] = self.rest {
            self.rest = rest;
            if !matches!(first, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*first);
            }
        }
        None
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// The rest of a text whose first quote was taken.
    fn text(&mut self) -> Option<()> {
        let ends = |byte: &u8| (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20);
        // In chunks that the compiler compares as a whole.
        while let Some((chunk, rest)) = self.rest.split_first_chunk::<16>() {
            let mut found = 0;
            for byte in chunk {
                found |= u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
            }
            if found != 0 {
                break;
            }
            self.rest = rest;
        }
        let end = self.rest.iter().position(ends)?;
        let (text, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        (text.last() == Some(&b'"')).then_some(())
    }

    /// The rest of a number that began with `first`.
    fn number(&mut self, first: u8) -> Option<()> {
        let length = self.rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.')).count();
        let (number, rest) = self.rest.split_at_checked(length)?;
        // An exponent, or a sign where none may be.
        if matches!(rest.first(), Some(b'e' | b'E' | b'+' | b'-')) || length > MAX_NUMBER {
            return None;
        }
        self.rest = rest;
        let (whole, number) = match first {
            b'-' => number.split_first()?,
            _ => (&first, number),
        };
        let mut parts = number.splitn(2, |byte| *byte == b'.');
        let more = parts.next()?;
        let is_whole = whole.is_ascii_digit() && (*whole != b'0' || more.is_empty());
        let is_fraction = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        (is_whole && parts.next().is_none_or(is_fraction)).then_some(())
    }
}
