//! The limit of growth: a file of raw events of any size, written piece by piece and walked in memory; a hash map of names,
//! offsets by version.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::shape::Shape;
use crate::limit::{push_raw, see_raw};
use crate::peer::Result;
use crate::seen::Seen;
use crate::work::{Names, RAW_LEN, Source};

pub struct RawLog {
    map: Mmap,
    path: PathBuf,
    streams: HashMap<&'static str, u32>,
    /// The numbers of each stream's events, one stream after the other.
    numbers: Vec<u32>,
    versions: usize,
}

impl RawLog {
    #[expect(unsafe_code, reason = "the file is this harness's own and no longer written")]
    pub fn create(dir: &Path, names: &'static Names, shape: &Shape) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("raw");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let mut source = Source::new(names);
        let mut raw = Vec::new();
        let mut number = 0;
        while number < shape.events() {
            let next = (number + super::BATCH).min(shape.events());
            raw.clear();
            for (at, event) in (number..next).zip(source.batch((number..next).map(|number| shape.stream_of(number)))) {
                push_raw(&mut raw, at + 1, &event);
            }
            out.write_all(&raw)?;
            number = next;
        }
        out.into_inner()?.sync_all()?;
        let versions = shape.versions();
        let of_stream = |stream| (1..=versions).map(move |version| shape.number_of(stream, version) as u32);
        let numbers = (0..shape.streams()).flat_map(of_stream).collect();
        let streams = (0..shape.streams()).map(|stream| (names.stream(stream), stream as u32)).collect();
        let map = unsafe { Mmap::map(&File::open(&path)?)? };
        Ok(Self { map, path, streams, numbers, versions: versions as usize })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn numbers(&self, stream: &str) -> Result<&[u32]> {
        let stream = *self.streams.get(stream).ok_or("no such stream")? as usize;
        Ok(&self.numbers[stream * self.versions..(stream + 1) * self.versions])
    }

    #[inline]
    fn see(&self, number: u32, seen: &mut Seen) -> Result<()> {
        let offset = number as usize * RAW_LEN;
        see_raw(self.map.get(offset..offset + RAW_LEN).ok_or("an offset beyond the end")?, false, seen)
    }

    pub fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<()> {
        self.numbers(stream)?.iter().try_for_each(|number| self.see(*number, seen))
    }

    pub fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<()> {
        self.see(*self.numbers(stream)?.get(version as usize - 1).ok_or("no such event")?, seen)
    }
}
