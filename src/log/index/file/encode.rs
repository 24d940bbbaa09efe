//! Writing the data of an index: the columns of a memory index, section by section.

use super::{HEADER, IndexFile, NARROW, Section, Sections, StreamRow, Summary, millis_after};
use crate::log::index::memory::{FrameEntry, KeyframeEntry, MemoryIndex};

fn sorted_table(rows: impl Iterator<Item = (u64, u32)>) -> Vec<u64> {
    let mut table: Vec<u64> = rows.map(|(hash, number)| (hash & !0xffff_ffff) | u64::from(number)).collect();
    table.sort_unstable();
    table
}

struct Writer {
    out: Vec<u8>,
    sections: Sections,
}

impl Writer {
    /// Writes one section, aligned to 8.
    fn section<const N: usize>(
        &mut self,
        pick: impl Fn(&mut Sections) -> &mut Section,
        rows: impl Iterator<Item = [u8; N]>,
    ) {
        self.out.resize(self.out.len().next_multiple_of(8), 0);
        let offset = self.out.len() as u64;
        let mut count = 0;
        for row in rows {
            self.out.extend_from_slice(&row);
            count += 1;
        }
        *pick(&mut self.sections) = Section { offset, count };
    }
}

fn pair(a: u32, b: u32) -> [u8; 8] {
    (u64::from(a) | u64::from(b) << 32).to_le_bytes()
}

impl IndexFile {
    /// The data of the index of a whole segment (one whose `start` is the first frame).
    pub(super) fn encode(segment: u32, store_id: [u8; 16], index: &MemoryIndex) -> Vec<u8> {
        let mut w = Writer { out: vec![0; HEADER], sections: Sections::default() };
        w.section(|s| &mut s.offsets, index.events.iter().map(|event| event.offset.to_le_bytes()));
        let kinds = index.events.iter().map(|event| event.kind);
        if index.kinds.len() <= NARROW {
            w.section(|s| &mut s.event_kinds, kinds.map(|kind| (kind as u16).to_le_bytes()));
        } else {
            w.section(|s| &mut s.event_kinds, kinds.map(u32::to_le_bytes));
        }
        let frame_row = |frame: &FrameEntry| {
            let mut row = [0; 16];
            let bytes = pair(frame.offset, frame.first_ordinal).into_iter().chain(frame.recorded_at.to_le_bytes());
            row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            row
        };
        w.section(|s| &mut s.frames, index.frames.iter().map(frame_row));
        w.section(|s| &mut s.kinds, index.kinds.iter().map(|(scope, event_type)| pair(*scope, *event_type)));
        w.section(|s| &mut s.symbols, index.symbol_offsets.iter().map(|offset| offset.to_le_bytes()));
        let (mut postings, mut keyframes) = (0u32, 0u32);
        let stream_rows = index.streams.iter().map(|stream| {
            let row = StreamRow {
                hash: stream.hash,
                base_version: stream.base_version,
                scope_symbol: stream.scope_symbol,
                symbol: stream.symbol,
                previous_segment: stream.previous_segment,
                first_posting: postings,
                events: stream.events.len() as u32,
                first_keyframe: keyframes,
                keyframes: stream.keyframes.len() as u32,
            };
            postings += row.events;
            keyframes += row.keyframes;
            row.encode()
        });
        w.section(|s| &mut s.streams, stream_rows);
        let by_hash = sorted_table(index.streams.iter().zip(0..).map(|(stream, number)| (stream.hash, number)));
        w.section(|s| &mut s.stream_table, by_hash.iter().map(|row| row.to_le_bytes()));
        let all = index.streams.iter().flat_map(|stream| &stream.events);
        let offset = |ordinal: &u32| index.events.get(*ordinal as usize).map_or(0, |event| event.offset);
        w.section(|s| &mut s.postings, all.map(|ordinal| pair(*ordinal, offset(ordinal))));
        let keyframe_row = |keyframe: &KeyframeEntry| {
            let mut row = [0; 16];
            let bytes = keyframe.version.to_le_bytes().into_iter().chain(pair(keyframe.fold, keyframe.offset));
            row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            row
        };
        let all = index.streams.iter().flat_map(|stream| &stream.keyframes);
        w.section(|s| &mut s.keyframes, all.map(keyframe_row));
        let hash = index.hash();
        let ids = sorted_table(index.events.iter().zip(0..).map(|(event, ordinal)| (hash.id(event.id), ordinal)));
        w.section(|s| &mut s.ids, ids.iter().map(|row| row.to_le_bytes()));
        let correlations = sorted_table(index.correlations.iter().copied());
        w.section(|s| &mut s.correlations, correlations.iter().map(|row| row.to_le_bytes()));
        let causations = sorted_table(index.causations.iter().copied());
        w.section(|s| &mut s.causations, causations.iter().map(|row| row.to_le_bytes()));
        w.section(|s| &mut s.rooms, index.rooms.iter().map(|room| pair(room.offset, u32::from(room.kind))));
        let rooms = sorted_table(index.rooms.iter().zip(0..).map(|(room, number)| (room.hash, number)));
        w.section(|s| &mut s.room_table, rooms.iter().map(|row| row.to_le_bytes()));
        let mut far_keys = index.far_keys.clone();
        far_keys.sort_unstable();
        far_keys.dedup();
        w.section(|s| &mut s.far_keys, far_keys.iter().map(|key| key.to_le_bytes()));
        let first_recorded = index.frames.first().map_or(0, |frame| frame.recorded_at);
        let millis = |micros| millis_after(first_recorded, micros);
        let summary = Summary {
            near_ids: index.near_ids.map(|(first, last)| (millis(first), millis(last))),
            segment,
            end: index.end,
            first_position: index.first_position,
            events: index.events.len() as u32,
            next_symbol: index.next_symbol,
            last_crc: index.last_crc,
            first_recorded,
            last_recorded: index.frames.last().map_or(0, |frame| frame.recorded_at),
            new_streams: index.new_streams,
        };
        let mut header = summary.encode();
        header.extend_from_slice(&store_id);
        for section in w.sections.fields() {
            // The index of one segment is far below 4 GiB.
            header.extend_from_slice(&pair(section.offset as u32, section.count));
        }
        w.out.iter_mut().zip(header).for_each(|(to, from)| *to = from);
        w.out
    }
}
