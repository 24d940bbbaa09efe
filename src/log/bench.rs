//! A door for `cargo bench` into what no public call reaches by itself: frames as pure bytes, and the index of a segment as
//! it grows. No part of the library's interface: hidden, and changes without notice.

use bytes::Bytes;

use super::MAX_FRAME;
use super::format::{self, FRAME_HEADER_LEN, FrameHeader, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN, Salt, SegmentHeader};
use super::index::{KeyHash, MemoryIndex};

/// The frames of one segment.
#[derive(Debug)]
pub struct Frames {
    header: SegmentHeader,
    salt: Salt,
    frames: Vec<(u32, Bytes)>,
}

impl Frames {
    /// The frames of a segment's bytes, as far as they lead on; `None` where these are no segment.
    pub fn of(segment: &Bytes) -> Option<Self> {
        let header = SegmentHeader::decode(segment).ok()?;
        let (mut at, mut frames) = (SEGMENT_HEADER_LEN, Vec::new());
        while let Some(rest) = segment.get(at..) {
            let Ok(FrameHeader { length, .. }) = FrameHeader::decode(rest, MAX_FRAME.min(rest.len())) else { break };
            frames.push((at as u32, segment.slice(at..at + length as usize)));
            at += length as usize;
        }
        Some(Self { salt: Salt::new(header.salt), header, frames })
    }

    /// Encodes all of them again, bodies and their CRCs included, and says whether the same bytes came out.
    pub fn encode(&self) -> bool {
        self.frames.iter().all(|(_, frame)| self.encode_one(frame).is_some_and(|encoded| encoded == **frame))
    }

    fn encode_one(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let header = FrameHeader::decode(frame, frame.len()).ok()?;
        let mut encoded = vec![0; FRAME_HEADER_LEN];
        let mut crcs = Vec::with_capacity(header.records as usize);
        for record in format::records(frame.get(FRAME_HEADER_LEN..)?, header.records) {
            let (_, record, bytes) = record.ok()?;
            let body = bytes.get(RECORD_HEADER_LEN..)?;
            let (symbols, crc) = ((record.type_symbol, record.stream_symbol), format::crc_of_body(body));
            crcs.push(format::put_record(&mut encoded, &self.salt, record.kind, symbols, record.version, body, crc));
        }
        format::seal_frame(&mut encoded, header, &crcs, &self.salt);
        Some(encoded)
    }

    /// Checks all of them: their own CRCs and each record's. Gives the number of events.
    pub fn check(&self) -> Option<u64> {
        let mut events = 0;
        for (_, frame) in &self.frames {
            events += u64::from(format::check_frame(frame, &self.salt).ok()?.events);
        }
        Some(events)
    }

    /// Makes the index of the active segment from all of them, without a check of a CRC. Gives the number of events.
    pub fn index(&self) -> Option<u64> {
        let hash = KeyHash::new(self.header.store_id);
        let mut index = MemoryIndex::new(hash, SEGMENT_HEADER_LEN as u32, 1, 1);
        for (at, frame) in &self.frames {
            let header = FrameHeader::decode(frame, frame.len()).ok()?;
            index.begin_frame(*at, &header).ok()?;
            for record in format::records(frame.get(FRAME_HEADER_LEN..)?, header.records) {
                let (offset, record, bytes) = record.ok()?;
                let offset = at + (FRAME_HEADER_LEN + offset) as u32;
                index.add(offset, &record, bytes.get(RECORD_HEADER_LEN..)?).ok()?;
            }
        }
        Some(index.events.len() as u64)
    }
}
