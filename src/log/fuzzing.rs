//! Doors for the fuzz targets into the code of the log. Not part of the library: built with `--cfg fuzzing` only.

use super::format::{self, FrameHeader, SEGMENT_HEADER_LEN, Salt, SegmentHeader};
use super::{EventStore, MAX_FRAME, OpenError, OpenMode, Options};
use crate::storage::Environment;

/// Any bytes as a frame: never a panic; and what is a frame has records that decode or say why not.
pub fn frame(bytes: &[u8]) {
    let salt = Salt::new(0);
    let Ok(header) = format::check_frame(bytes, &salt) else { return };
    let body = bytes.get(format::FRAME_HEADER_LEN..).unwrap_or_default();
    for record in format::records(body, header.records) {
        let Ok((_, _, bytes)) = record else { return };
        let body = bytes.get(format::RECORD_HEADER_LEN..).unwrap_or_default();
        let _ = format::EventBody::decode(body);
        let _ = format::SymbolBody::decode(body);
        let _ = format::KeyframeBody::decode(body);
        let _ = format::RoomBody::decode(body);
    }
}

/// Opens what is durable for reading, on any disk.
///
/// # Errors
/// As [`EventStore::open_read_only`].
pub fn open_read_only(environment: Environment, options: Options) -> Result<EventStore, OpenError> {
    EventStore::open_with_mode(environment, options, OpenMode::Read)
}

/// Any bytes as a packed segment, and as its pages: never a panic.
pub fn packed(bytes: &[u8]) {
    super::packed::fuzz(bytes);
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at + value.len()) {
        to.copy_from_slice(value);
    }
}

/// Where the frames of a segment begin, as far as their lengths lead on.
pub fn frames(segment: &[u8]) -> Vec<usize> {
    let mut at = SEGMENT_HEADER_LEN;
    let mut found = Vec::new();
    while let Some(rest) = segment.get(at..) {
        let Ok(header) = FrameHeader::decode(rest, MAX_FRAME.min(rest.len())) else { break };
        found.push(at);
        at += header.length as usize;
    }
    found
}

/// Makes the CRCs of a segment right, of its header and of its frames as far as they can be walked, and lets it follow the
/// segment before: CRC and end of that segment's last frame, zeros for none. Gives its own.
pub fn mend_segment(segment: &mut [u8], before: (u32, u32)) -> (u32, u32) {
    put(segment, 48, &before.0.to_le_bytes());
    put(segment, 52, &before.1.to_le_bytes());
    let mut last = (0, 0);
    mend_frames(segment, &mut last);
    last
}

fn mend_frames(segment: &mut [u8], last: &mut (u32, u32)) {
    let Some(covered) = segment.get(..SEGMENT_HEADER_LEN - 4) else { return };
    let crc = crc32fast::hash(covered).to_le_bytes();
    put(segment, SEGMENT_HEADER_LEN - 4, &crc);
    let Ok(header) = SegmentHeader::decode(segment) else { return };
    let salt = Salt::new(header.salt);
    let mut previous_crc = crc32fast::hash(&header.encode());
    for at in frames(segment) {
        let frame = segment.get(at..).unwrap_or_default();
        let Ok(header) = FrameHeader::decode(frame, frame.len()) else { return };
        let mut mended = vec![0; format::FRAME_HEADER_LEN];
        let mut crcs = Vec::new();
        for record in format::records(frame.get(format::FRAME_HEADER_LEN..).unwrap_or_default(), header.records) {
            let Ok((_, record, bytes)) = record else { return };
            let body = bytes.get(format::RECORD_HEADER_LEN..).unwrap_or_default();
            let (symbols, crc) = ((record.type_symbol, record.stream_symbol), format::crc_of_body(body));
            crcs.push(format::put_record(&mut mended, &salt, record.kind, symbols, record.version, body, crc));
        }
        if mended.len() - format::FRAME_HEADER_LEN != header.body_len as usize {
            return;
        }
        previous_crc = format::seal_frame(&mut mended, FrameHeader { previous_crc, ..header }, &crcs, &salt);
        put(segment, at, &mended);
        *last = (previous_crc, (at + header.length as usize) as u32);
    }
}

/// Makes the CRCs of an index or of a run of the directory right.
pub fn mend_checked_file(file: &mut [u8]) {
    const BLOCK: usize = 4096;
    const FOOTER: usize = 24;
    let Some(rest) = file.len().checked_sub(FOOTER) else { return };
    let stated = file.get(rest + 8..rest + 16).and_then(|bytes| bytes.first_chunk::<8>().copied());
    let stated = stated.map(u64::from_le_bytes).and_then(|stated| usize::try_from(stated).ok());
    let fits =
        |data: &usize| data.div_ceil(BLOCK).checked_mul(4).and_then(|table| table.checked_add(*data)) == Some(rest);
    let guess = rest - (rest.div_ceil(BLOCK + 4) * 4).min(rest);
    let Some(data) = stated.filter(fits).or(Some(guess).filter(fits)) else { return };
    let crcs = file.get(..data).unwrap_or_default().chunks(BLOCK);
    let table: Vec<u8> = crcs.flat_map(|block| crc32fast::hash(block).to_le_bytes()).collect();
    put(file, data, &table);
    put(file, rest + 8, &(data as u64).to_le_bytes());
    put(file, rest + 16, &crc32fast::hash(&table).to_le_bytes());
    let crc = crc32fast::hash(file.get(rest..rest + 20).unwrap_or_default());
    put(file, rest + 20, &crc.to_le_bytes());
}

/// Makes the CRC of `LOCK` right.
pub fn mend_lock(file: &mut [u8]) {
    let Some(covered) = file.get(..32) else { return };
    let crc = crc32fast::hash(covered).to_le_bytes();
    put(file, 32, &crc);
}
