//! The loaded store walked in memory.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{Cold, push_raw, see_raw};
use crate::peer::Result;
use crate::seen::Seen;
use crate::work::{KEYFRAME_EVERY, Names, NewEvent, Plan, RAW_LEN, keyframe_state, write_data};

/// The loaded store as raw bytes in a mapped file, with the offsets of each stream's events and keyframes.
pub struct Walk {
    map: Mmap,
    path: PathBuf,
    streams: HashMap<&'static str, Vec<u64>>,
    events: u64,
    keyframes: HashMap<&'static str, Vec<u64>>,
}

impl Walk {
    #[expect(unsafe_code, reason = "the file is this harness's own and no longer written")]
    pub fn create(dir: &Path, names: &Names, plan: &Plan) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut raw = Vec::with_capacity(plan.order.len() * RAW_LEN);
        let mut streams: HashMap<_, Vec<u64>> = HashMap::new();
        for (number, stream) in plan.order.iter().enumerate() {
            let stream_number = *stream as usize;
            let stream = names.stream(stream_number);
            let offsets = streams.entry(stream).or_default();
            offsets.push(raw.len() as u64);
            let mut data = Vec::new();
            write_data(number as u64, &mut data);
            let event = NewEvent {
                id: atlas::Uuid::now_v7(),
                stream,
                stream_number,
                event_type: names.event_type(number as u64),
                version: offsets.len() as u64,
                opens: false,
                data: data.into(),
            };
            push_raw(&mut raw, number as u64 + 1, &event);
        }
        let mut keyframes: HashMap<_, Vec<u64>> = HashMap::new();
        for stream in plan.keyframed() {
            let offsets = keyframes.entry(names.stream(stream)).or_default();
            for version in 1..=plan.events[stream].len() as u64 / KEYFRAME_EVERY {
                offsets.push(raw.len() as u64);
                let state = keyframe_state(version * KEYFRAME_EVERY);
                raw.extend_from_slice(&crc32fast::hash(&state).to_le_bytes());
                raw.extend_from_slice(&state);
            }
        }
        let path = dir.join("raw");
        std::fs::write(&path, raw)?;
        let file = File::open(&path)?;
        file.sync_all()?;
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map, path, streams, events: plan.order.len() as u64, keyframes })
    }

    #[inline]
    fn see(&self, offset: u64, crc: bool, seen: &mut Seen) -> Result<()> {
        let raw = self.map.get(offset as usize..offset as usize + RAW_LEN).ok_or("an offset beyond the end")?;
        see_raw(raw, crc, seen)
    }

    fn offsets(&self, stream: &str) -> Result<&[u64]> {
        Ok(self.streams.get(stream).ok_or("no such stream")?)
    }

    pub fn read_stream(&self, stream: &str, crc: bool, seen: &mut Seen) -> Result<()> {
        self.offsets(stream)?.iter().try_for_each(|offset| self.see(*offset, crc, seen))
    }

    pub fn scan(&self, crc: bool, seen: &mut Seen) -> Result<()> {
        (0..self.events).try_for_each(|number| self.see(number * RAW_LEN as u64, crc, seen))
    }

    /// The first events, each with its CRC.
    pub fn scan_first(&self, events: u64, seen: &mut Seen) -> Result<()> {
        (0..events.min(self.events)).try_for_each(|number| self.see(number * RAW_LEN as u64, true, seen))
    }

    pub fn event(&self, stream: &str, version: u64, crc: bool, seen: &mut Seen) -> Result<()> {
        let offset = self.offsets(stream)?.get(version as usize - 1).ok_or("no such event")?;
        self.see(*offset, crc, seen)
    }

    pub fn state(&self, stream: &str, version: u64, crc: bool, seen: &mut Seen) -> Result<()> {
        let newest = version / KEYFRAME_EVERY;
        if newest > 0 {
            let frames = self.keyframes.get(stream).ok_or("no such stream")?;
            let offset = *frames.get(newest as usize - 1).ok_or("no such keyframe")? as usize;
            let state = &self.map[offset + 4..offset + 4 + crate::work::KEYFRAME_LEN];
            if crc && crc32fast::hash(state).to_le_bytes() != self.map[offset..offset + 4] {
                return Err("a CRC that doesn't match".into());
            }
            seen.keyframe(state);
        }
        let offsets = &self.offsets(stream)?[(newest * KEYFRAME_EVERY) as usize..version as usize];
        offsets.iter().try_for_each(|offset| self.see(*offset, crc, seen))
    }

    /// The same, to be read from the disk; nothing maps its file any more.
    pub fn into_cold(self) -> Cold {
        Cold::new(self.path, self.streams)
    }
}
