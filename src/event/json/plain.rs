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

/// A byte in each byte of a word.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of each byte of `word` that is below `bound`, which is at most 128; above the first of them also that of
/// others. From Sean Eron Anderson's "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(each(bound)) & !word & each(0x80)
}

impl Scan<'_> {
    /// Takes one value and nothing after it.
    fn value(&mut self) -> Option<()> {
        // Of each level that is open whether it is an object; the innermost is the lowest bit.
        let (mut objects, mut depth) = (0u128, 0usize);
        loop {
            match self.byte()? {
                open @ (b'{' | b'[') => {
                    depth += 1;
                    if depth > MAX_JSON_DEPTH {
                        return None;
                    }
                    let is_object = open == b'{';
                    objects = objects << 1 | u128::from(is_object);
                    if !self.is_next(if is_object { b'}' } else { b']' }) {
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.text()?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                _ => return None,
            }
            // A value has ended, or what is open may end at once.
            loop {
                if depth == 0 {
                    return self.byte().is_none().then_some(());
                }
                let is_object = objects & 1 == 1;
                match self.byte()? {
                    b',' if is_object => {
                        self.key()?;
                        break;
                    }
                    b',' => break,
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                (objects, depth) = (objects >> 1, depth - 1);
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Option<()> {
        (self.byte()? == b'"').then_some(())?;
        self.text()?;
        (self.byte()? == b':').then_some(())
    }

    /// The next byte that isn't white space.
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        while let [first, rest @ ..] = self.rest {
            self.rest = rest;
            if !matches!(first, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*first);
            }
        }
        None
    }

    /// Whether the next byte that isn't white space is this one.
    #[inline]
    fn is_next(&self, wanted: u8) -> bool {
        Scan { rest: self.rest }.byte() == Some(wanted)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// The rest of a text whose first quote was taken.
    fn text(&mut self) -> Option<()> {
        while let Some((chunk, rest)) = self.rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let ends = below(word ^ each(b'"'), 1) | below(word ^ each(b'\\'), 1) | below(word, 0x20);
            if ends != 0 {
                return self.ends_at(ends.trailing_zeros() as usize / 8);
            }
            self.rest = rest;
        }
        let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        self.ends_at(self.rest.iter().position(ends)?)
    }

    /// Takes what is up to the byte at `end`, which must be a quote.
    #[inline]
    fn ends_at(&mut self, end: usize) -> Option<()> {
        let is_quote = self.rest.get(end) == Some(&b'"');
        self.rest = self.rest.get(end + 1..)?;
        is_quote.then_some(())
    }

    /// The rest of a number that began with `first`.
    fn number(&mut self, first: u8) -> Option<()> {
        let before = self.rest.len();
        let first = if first == b'-' { self.digit()? } else { first };
        let more = self.digits();
        let mut is_number = first != b'0' || more == 0;
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            is_number &= self.digits() > 0;
        }
        // An exponent, or more than may be.
        let goes_on = matches!(self.rest.first(), Some(b'e' | b'E'));
        (is_number && !goes_on && before - self.rest.len() <= MAX_NUMBER).then_some(())
    }

    fn digit(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        first.is_ascii_digit().then_some(*first)
    }

    /// Takes digits; says how many.
    fn digits(&mut self) -> usize {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        before - self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_ends_a_text_is_found_wherever_it_stands() {
        for end in [b'"', b'\\', 0, 0x1f] {
            for beside in [0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0x81, 0xa2, 0xdc, 0xff] {
                for at in 0..20 {
                    let mut text = [b'a'; 28];
                    text[at] = end;
                    text[at + 1] = beside;
                    if at > 0 && !matches!(beside, b'"' | b'\\') {
                        text[at - 1] = beside;
                    }
                    let mut scan = Scan { rest: &text };
                    assert_eq!(scan.text().is_some(), end == b'"', "{end} {beside} {at}");
                    assert_eq!(scan.rest.len(), text.len() - at - 1, "{end} {beside} {at}");
                }
            }
        }
    }
}
