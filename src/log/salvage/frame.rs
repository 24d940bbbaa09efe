//! What of one frame is whole, where not all of it is. The frame's CRC covers its header and its records' CRCs and so
//! their order: where it matches, the frame is genuine, and each record then stands or falls by its own CRC.

use crate::log::RecordKind;
use crate::log::format::{FRAME_HEADER_LEN, FrameHeader, RecordHeader, Salt, check_record, record_crc, records};

/// A frame that is genuine.
pub(super) struct Found {
    pub(super) header: FrameHeader,
    pub(super) records: Vec<FoundRecord>,
}

/// One record of it.
pub(super) struct FoundRecord {
    /// From the frame's start.
    pub(super) offset: u32,
    pub(super) header: RecordHeader,
    pub(super) length: u32,
    /// Its own CRC matches.
    pub(super) whole: bool,
    /// Of a whole event, where that can be told.
    pub(super) position: Option<u64>,
}

impl FoundRecord {
    pub(super) fn is_event(&self) -> bool {
        [RecordKind::Event as u8, RecordKind::Erased as u8].contains(&self.header.kind)
    }
}

/// The frame at the front of `bytes`, if it is genuine. `chained` is what the bytes after it say its CRC is.
pub(super) fn examine(bytes: &[u8], salt: &Salt, chained: Option<u32>) -> Option<Found> {
    let mut header = FrameHeader::decode(bytes, bytes.len()).ok()?;
    let body = bytes.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + header.body_len as usize)?;
    let mut crcs = Vec::new();
    let mut length = 0;
    for record in records(body, header.records) {
        let (_, record, bytes) = record.ok()?;
        crcs.push(record.crc);
        length += bytes.len();
    }
    if length != body.len() {
        return None;
    }
    let stated = header.crc_with(crcs.iter().copied(), salt);
    let whole: Vec<bool> =
        records(body, header.records).flatten().map(|(_, _, bytes)| check_record(bytes, salt).is_ok()).collect();
    if stated != header.crc {
        let damaged: Vec<usize> = (0..whole.len()).filter(|number| whole.get(*number) == Some(&false)).collect();
        match damaged.as_slice() {
            // Only the frame's CRC itself is damaged.
            [] if chained == Some(stated) => header.crc = stated,
            // Only the CRC of one record is.
            [number] => {
                let right =
                    records(body, header.records).flatten().nth(*number).map(|(_, _, b)| record_crc(b, salt))?;
                *crcs.get_mut(*number)? = right;
                if header.crc_with(crcs.into_iter(), salt) != header.crc {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let records = records(body, header.records).flatten().zip(whole).map(|((offset, header, bytes), whole)| {
        let offset = (FRAME_HEADER_LEN + offset) as u32;
        FoundRecord { offset, header, length: bytes.len() as u32, whole, position: None }
    });
    let mut found = Found { header, records: records.collect() };
    found.number()?;
    Some(found)
}

impl Found {
    /// Gives the whole events their positions: the frame says how many events it holds, so those before the first
    /// damaged record and those after the last are certain; those between where all damaged ones are events, or none.
    fn number(&mut self) -> Option<()> {
        let first = self.header.first_position;
        let damaged = self.records.iter().filter(|record| !record.whole).count() as u32;
        let whole = self.records.iter().filter(|record| record.whole && record.is_event()).count() as u32;
        let lost = self.header.events.checked_sub(whole).filter(|lost| *lost <= damaged)?;
        let certain = lost == 0 || lost == damaged;
        let (mut next, mut passed) = (first, 0);
        for record in &mut self.records {
            if !record.whole {
                passed += 1;
                next += u64::from(lost == damaged);
            } else if record.is_event() {
                record.position = (certain || passed == 0 || passed == damaged).then_some(next);
                next += 1;
            }
            if !certain && passed == damaged && !record.whole {
                // What follows is counted from the end.
                next += u64::from(lost);
            }
        }
        Some(())
    }
}
