//! What an index says of its whole segment, and of each stream in it.

use crate::log::format::Reader;

/// What a segment's index says of the whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) segment: u32,
    /// The index covers the segment up to here.
    pub(crate) end: u32,
    pub(crate) first_position: u64,
    pub(crate) events: u32,
    pub(crate) next_symbol: u32,
    /// CRC of the last frame covered.
    pub(crate) last_crc: u32,
    pub(crate) first_recorded: i64,
    pub(crate) last_recorded: i64,
    pub(crate) new_streams: u32,
    /// When its ids were made that are looked for by that: the first and the last, in milliseconds after `first_recorded`.
    pub(crate) near_ids: Option<(i32, i32)>,
}

/// A row of the stream section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamRow {
    pub(crate) hash: u64,
    pub(crate) base_version: u64,
    pub(crate) scope_symbol: u32,
    pub(crate) symbol: u32,
    pub(crate) previous_segment: u32,
    pub(crate) first_posting: u32,
    pub(crate) events: u32,
    pub(crate) first_keyframe: u32,
    pub(crate) keyframes: u32,
}

/// Milliseconds from one time to another, both in microseconds; what doesn't fit is the nearest that does.
pub(super) fn millis_after(from: i64, micros: i64) -> i32 {
    let millis = micros.saturating_sub(from).div_euclid(1_000);
    i32::try_from(millis).unwrap_or(if millis < 0 { i32::MIN } else { i32::MAX })
}

impl Summary {
    pub(crate) const LEN: usize = 56;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        for number in [self.segment, self.end, self.events, self.next_symbol, self.last_crc, self.new_streams] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.first_position.to_le_bytes());
        out.extend_from_slice(&self.first_recorded.to_le_bytes());
        out.extend_from_slice(&self.last_recorded.to_le_bytes());
        // An empty range where there are none.
        let (first, last) = self.near_ids.unwrap_or((0, -1));
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out
    }

    pub(crate) fn decode(fields: &mut Reader<'_>) -> Option<Self> {
        let (segment, end, events) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (next_symbol, last_crc, new_streams) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let first_position = fields.u64()?;
        let (first_recorded, last_recorded) = (fields.i64()?, fields.i64()?);
        let range = (i32::from_le_bytes(fields.array()?), i32::from_le_bytes(fields.array()?));
        Some(Self {
            near_ids: Some(range).filter(|(first, last)| first <= last),
            segment,
            end,
            first_position,
            events,
            next_symbol,
            last_crc,
            first_recorded,
            last_recorded,
            new_streams,
        })
    }

    /// Whether it may hold an id that was made at `micros` and is looked for by that.
    pub(crate) fn may_hold_id_of(&self, micros: i64) -> bool {
        let at = millis_after(self.first_recorded, micros);
        self.near_ids.is_some_and(|(first, last)| first <= at && at <= last)
    }

    /// The position after its last event.
    pub(crate) fn next_position(&self) -> u64 {
        self.first_position.saturating_add(u64::from(self.events))
    }
}

impl StreamRow {
    pub(super) fn encode(&self) -> [u8; 48] {
        let numbers = [
            self.scope_symbol,
            self.symbol,
            self.previous_segment,
            self.first_posting,
            self.events,
            self.first_keyframe,
            self.keyframes,
            0,
        ];
        let bytes = self
            .hash
            .to_le_bytes()
            .into_iter()
            .chain(self.base_version.to_le_bytes())
            .chain(numbers.into_iter().flat_map(u32::to_le_bytes));
        let mut row = [0; 48];
        row.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        row
    }

    pub(super) fn decode(row: &[u8; 48]) -> Option<Self> {
        let mut fields = Reader::new(row);
        Some(Self {
            hash: fields.u64()?,
            base_version: fields.u64()?,
            scope_symbol: fields.u32()?,
            symbol: fields.u32()?,
            previous_segment: fields.u32()?,
            first_posting: fields.u32()?,
            events: fields.u32()?,
            first_keyframe: fields.u32()?,
            keyframes: fields.u32()?,
        })
    }

    /// The version of its newest event up to here.
    pub(crate) fn version(&self) -> u64 {
        self.base_version.saturating_add(u64::from(self.events))
    }
}
