//! Packing a segment: the packed file is written, and read back and compared with the plain one, byte for byte.

use std::collections::HashMap;
use std::sync::Arc;

use super::dictionary::{self, MAX_SAMPLE, SAMPLES};
use super::file::{Head, PackedFile};
use super::page::Builder;
use super::rows::{Row, rest};
use super::{HEAD_DAMAGED, PAGE};
use crate::event::Scope;
use crate::log::format::{FRAME_HEADER_LEN, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SymbolBody, records};
use crate::log::options::Compress;
use crate::log::recovery::{header_crc, next_frame};
use crate::log::segment::{Segment, Window};
use crate::log::{ReadError, RecordKind};
use crate::storage::DiskFile;

/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;

/// What stands in a plain segment.
enum Piece<'a> {
    /// Padding and the next frame's header.
    Between(&'a [u8]),
    Record(RecordHeader, &'a [u8]),
}

/// Gives each piece of a segment that must be whole, with its offset, until one is refused; whether none was.
fn each_piece(
    segment: &Segment,
    mut take: impl FnMut(usize, Piece<'_>) -> Result<bool, ReadError>,
) -> Result<bool, ReadError> {
    let end = plain_len(segment)?;
    let (mut at, mut last_crc) = (SEGMENT_HEADER_LEN as u32, header_crc(segment));
    let mut window = Window::default();
    let mut padding = 0;
    while at < end {
        let (header, frame) = match next_frame(segment, at, end, last_crc, &mut window)? {
            Ok(Some(found)) => found,
            Ok(None) => return Err(segment.corrupt(at, "zeros where the next frame of a sealed segment should be")),
            Err(what) => return Err(segment.corrupt(at, what)),
        };
        let cut_short = || segment.corrupt(at, "the frame is cut short");
        let (head, body) = frame.split_at_checked(FRAME_HEADER_LEN).ok_or_else(cut_short)?;
        // Padding is zeros, as the frame was checked.
        let mut between = vec![0; padding];
        between.extend_from_slice(head);
        if !take(at as usize - padding, Piece::Between(&between))? {
            return Ok(false);
        }
        for record in records(body, header.records) {
            let (offset, record, bytes) = record.map_err(|what| segment.corrupt(at, what))?;
            let body = bytes.get(RECORD_HEADER_LEN..).unwrap_or_default();
            if !take(at as usize + FRAME_HEADER_LEN + offset, Piece::Record(record, body))? {
                return Ok(false);
            }
        }
        padding = body.len() - header.body_len as usize;
        last_crc = header.crc;
        at += header.length;
    }
    if padding > 0 { take(at as usize - padding, Piece::Between(&vec![0; padding])) } else { Ok(true) }
}

fn plain_len(segment: &Segment) -> Result<u32, ReadError> {
    let length = segment.file.len().map_err(|error| segment.io(error))?;
    u32::try_from(length).map_err(|_| segment.corrupt(u32::MAX, "the segment is longer than one can be"))
}

/// Which records are compressed. Symbols say whose streams are whose, and stand before what refers to them.
struct Wanted<'a> {
    compress: &'a Compress,
    /// Of scopes and of streams, by symbol.
    symbols: HashMap<u32, bool>,
}

impl<'a> Wanted<'a> {
    fn new(compress: &'a Compress) -> Self {
        Self { compress, symbols: HashMap::new() }
    }

    fn wants(&mut self, header: &RecordHeader, body: &[u8]) -> bool {
        let Compress::Scopes(scopes) = self.compress else { return true };
        let known = |symbol: u32| self.symbols.get(&symbol).copied().unwrap_or(false);
        if header.kind != RecordKind::Symbol as u8 {
            return known(header.stream_symbol);
        }
        let wanted = match SymbolBody::decode(body) {
            Ok(SymbolBody::Scope { tenant, application }) => {
                Scope::new(tenant, application).is_ok_and(|scope| scopes.contains(&scope))
            }
            Ok(SymbolBody::Stream { scope, .. }) => known(scope),
            _ => return false,
        };
        self.symbols.insert(header.stream_symbol, wanted);
        wanted
    }
}

fn dictionary_for(segment: &Segment, compress: &Compress) -> Result<Vec<u8>, ReadError> {
    let step = plain_len(segment)? as usize / SAMPLES + 1;
    let (mut wanted, mut samples, mut next) = (Wanted::new(compress), Vec::new(), 0);
    each_piece(segment, |at, piece| {
        if let Piece::Record(header, body) = piece
            && wanted.wants(&header, body)
            && at >= next
        {
            let rest = rest(&header, body);
            samples.push(rest.get(..MAX_SAMPLE.min(rest.len())).unwrap_or_default().to_vec());
            next = at + step;
        }
        Ok(true)
    })?;
    Ok(dictionary::of(&samples, plain_len(segment)? as usize))
}

/// A file that is written from front to end.
struct Output<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
    written: u64,
    buffer: Vec<u8>,
}

impl Output<'_> {
    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn write(&mut self) -> Result<(), ReadError> {
        self.file.write_all_at(self.written, &self.buffer).map_err(ReadError::io(self.name))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes `segment` packed into the empty `file`, not synced, and sees that it reads as the same. `false`: it would not be
/// smaller, or `goes_on`, which is asked now and then, says no.
pub(crate) fn pack(
    segment: &Segment,
    compress: &Compress,
    (file, name): (&Arc<dyn DiskFile>, &str),
    goes_on: impl Fn() -> bool,
) -> Result<bool, ReadError> {
    let dictionary = dictionary_for(segment, compress)?;
    let plain_len = plain_len(segment)?;
    let head_len = Head::len_for(plain_len, dictionary.len());
    let mut output = Output { file: &**file, name, written: head_len as u64, buffer: Vec::new() };
    let (mut builder, mut wanted) = (Builder::default(), Wanted::new(compress));
    let mut table: Vec<u8> = Vec::new();
    // Ends pages up to the one that `at` is in; whether to go on.
    let mut end_pages = |builder: &mut Builder, output: &mut Output<'_>, at: usize, pages: usize| {
        while table.len() / 4 < pages {
            let number = (table.len() / 4) as u32;
            table.extend_from_slice(&u32::try_from(output.at()).unwrap_or(u32::MAX).to_le_bytes());
            let Some(page) = builder.finish(number, at, &segment.salt) else { return Ok(false) };
            output.buffer.extend_from_slice(&page);
            if output.buffer.len() >= CHUNK {
                output.write()?;
                if !goes_on() {
                    return Ok(false);
                }
            }
        }
        // At the end stands the head once more.
        Ok::<bool, ReadError>(output.at() + (head_len as u64) < u64::from(plain_len))
    };
    let is_all = each_piece(segment, |at, piece| {
        let more = end_pages(&mut builder, &mut output, at, at / PAGE)?;
        let row = match piece {
            Piece::Between(bytes) => Row::between(bytes, &dictionary),
            Piece::Record(header, body) => Row::record(&header, body, &dictionary, wanted.wants(&header, body)),
        };
        builder.push(at, row);
        Ok(more)
    })?;
    let pages = (plain_len as usize).div_ceil(PAGE);
    if !is_all || !end_pages(&mut builder, &mut output, plain_len as usize, pages)? {
        return Ok(false);
    }
    table.extend_from_slice(&(output.at() as u32).to_le_bytes());
    let head = Head { header: segment.header, plain_len, dictionary: dictionary.into(), table: table.into() }.encode();
    output.buffer.extend_from_slice(&head);
    output.buffer.extend_from_slice(&Head::trailer(head.len()));
    output.write()?;
    file.write_all_at(0, &head).map_err(ReadError::io(name))?;
    compare(segment, file, name)?;
    Ok(goes_on())
}

/// The packed file is, byte for byte, the segment.
fn compare(segment: &Segment, file: &Arc<dyn DiskFile>, name: &str) -> Result<(), ReadError> {
    let io = |error| ReadError::io(name)(error);
    let corrupt = |offset, what| ReadError::Corrupt { file: name.to_owned(), offset, what };
    let packed = PackedFile::open(file.clone(), false).map_err(io)?.ok_or_else(|| corrupt(0, HEAD_DAMAGED))?;
    let (mut plain, mut unpacked) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    loop {
        let read = segment.file.read_up_to(at, &mut plain).map_err(|error| segment.io(error))?;
        let same = packed.read_up_to(at, &mut unpacked).map_err(io)? == read;
        if !same || plain.get(..read) != unpacked.get(..read) {
            return Err(corrupt(at, "the packed segment doesn't read as the plain one"));
        }
        if read == 0 {
            return Ok(());
        }
        at += read as u64;
    }
}
