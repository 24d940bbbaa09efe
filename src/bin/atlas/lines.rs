//! Reading NDJSON: a file, a `.gz` (told by its first bytes, not its name) or stdin, line by line, within bounds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::failure::{Failure, Outcome};

/// The longest line, in bytes. The largest data (16 MiB), as base64, with the largest metadata, fit.
pub(crate) const MAX_LINE_BYTES: usize = 32 << 20;

const BUFFER_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Where lines come from.
pub(crate) struct Input {
    /// What errors call it: the path as given, or `stdin`.
    pub(crate) name: String,
    /// How many bytes the file has; 0 where that isn't known.
    pub(crate) length: u64,
    /// How many bytes of it were read.
    pub(crate) read: Arc<AtomicU64>,
    reader: BufReader<Box<dyn Read + Send>>,
    number: u64,
}

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its bytes, without the line feed.
    Whole(Vec<u8>),
    /// Longer than [`MAX_LINE_BYTES`]; it was passed over.
    TooLong,
}

impl Input {
    /// Opens `path`, or stdin where it is `-`.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        if path == Path::new("-") {
            return Self::of("stdin".to_owned(), 0, io::stdin());
        }
        let name = path.display().to_string();
        let unreadable = |error: io::Error| Failure::at(&name, format_args!("cannot be read: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        Self::of(name, length, file)
    }

    fn of(name: String, length: u64, source: impl Read + Send + 'static) -> Outcome<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut source = Counting { source, read: read.clone() };
        let mut start = Vec::with_capacity(GZIP_MAGIC.len());
        let peeked = source.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start);
        peeked.map_err(|error| Failure::at(&name, format_args!("cannot be read: {error}")))?;
        let zipped = start == GZIP_MAGIC;
        let whole = Cursor::new(start).chain(source);
        let reader: Box<dyn Read + Send> = if zipped {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self { name, length, read, reader: BufReader::with_capacity(BUFFER_BYTES, reader), number: 0 })
    }

    /// The next line that is not blank, with its number (blank ones count); `None` at the end.
    pub(crate) fn next_line(&mut self) -> Outcome<Option<(u64, Line)>> {
        loop {
            let mut bytes = Vec::new();
            let limit = MAX_LINE_BYTES as u64 + 1;
            let result = self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes);
            if result.map_err(|error| self.unreadable(&error))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            } else if bytes.len() > MAX_LINE_BYTES {
                self.reader.skip_until(b'\n').map_err(|error| self.unreadable(&error))?;
                return Ok(Some((self.number, Line::TooLong)));
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.number, Line::Whole(bytes))));
            }
        }
    }

    /// Whether a whole line can be had without waiting for more input.
    pub(crate) fn has_buffered_line(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    /// The input as lines for a reader that counts them itself.
    pub(crate) fn into_reader(self) -> impl BufRead {
        self.reader
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::at(format_args!("{}:{}", self.name, self.number + 1), format_args!("cannot be read on: {error}"))
    }
}

/// Counts what is read.
struct Counting<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(bytes: Vec<u8>) -> Vec<(u64, Line)> {
        let mut input = Input::of("test".to_owned(), 0, Cursor::new(bytes)).unwrap();
        std::iter::from_fn(|| input.next_line().unwrap()).collect()
    }

    fn whole(number: u64, text: &str) -> (u64, Line) {
        (number, Line::Whole(text.as_bytes().to_vec()))
    }

    #[test]
    fn blank_lines_count_and_are_passed_over() {
        let expected = [whole(2, "{\"a\":1}\r"), whole(4, "{}")];
        assert_eq!(lines(b"\n{\"a\":1}\r\n  \t\n{}".to_vec()), expected);
        assert_eq!(lines(Vec::new()), []);
        assert_eq!(lines(b"x".to_vec()), [whole(1, "x")]);
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes_and_may_have_many_members() {
        let mut zipped = Vec::new();
        for part in ["{\"a\":1}\n{\"b\"", ":2}\n"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut zipped, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.finish().unwrap();
        }
        assert_eq!(lines(zipped.clone()), [whole(1, "{\"a\":1}"), whole(2, "{\"b\":2}")]);

        zipped.truncate(zipped.len() - 4);
        let mut input = Input::of("cut.gz".to_owned(), 0, Cursor::new(zipped)).unwrap();
        let failure = std::iter::from_fn(|| input.next_line().transpose()).find_map(Result::err);
        assert!(matches!(failure, Some(Failure::Located(message)) if message.starts_with("cut.gz:")));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_whole() {
        let mut bytes = vec![b'x'; MAX_LINE_BYTES + 7];
        bytes.extend_from_slice(b"\n{}\n");
        assert_eq!(lines(bytes), [(1, Line::TooLong), whole(2, "{}")]);
        let exactly = vec![b'x'; MAX_LINE_BYTES];
        assert!(matches!(&lines(exactly)[..], [(1, Line::Whole(bytes))] if bytes.len() == MAX_LINE_BYTES));
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = Input::open(Path::new("no/such/file.ndjson")).err();
        assert!(matches!(failure, Some(Failure::Located(message)) if message.starts_with("no/such/file.ndjson: ")));
    }
}
