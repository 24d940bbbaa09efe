//! Options of a store, each with its default and range.

use std::time::Duration;

use super::OpenError;
use crate::event::{Limits, Scope};

/// How segments are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Mapped into memory; data are slices of the map.
    #[default]
    Map,
    /// Read with pread, for hosts that can't accept a SIGBUS on a media error.
    Pread,
}

/// When a fold of a stream writes a keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyframePolicy {
    /// When the events since the last keyframe outweigh it this many times (in bytes), and there are at least
    /// [`Options::keyframe_min_events`] of them. Bounds both the replay and the space that keyframes take. Default, 8.
    Adaptive(u32),
    /// Every so many events.
    Events(u64),
    /// Every so many bytes of events.
    Bytes(u64),
    /// Never.
    Never,
}

/// Which sealed segments are packed, and what in them is compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// None. Those that are packed already stay so.
    #[default]
    None,
    /// All that is sealed.
    All,
    /// All that is sealed, but records of streams of other scopes keep their bytes uncompressed within it; only what
    /// repeats in their headers takes less room.
    Scopes(Vec<Scope>),
}

/// Options of a store. Values out of range are refused with [`OpenError::Option`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment after which a new one begins; a soft limit, as an empty segment takes any commit. Default
    /// 256 MiB, from 64 KiB to 1 GiB. In memory the active segment takes about 60 bytes an event and 200 a stream, for
    /// at most 1,048,576 events, streams and records together; an empty segment takes more where one commit has more.
    pub segment_size: u64,
    /// Most bytes of one commit, and so of one append. Default 64 MiB, from 1 MiB to 64 MiB.
    pub max_commit: usize,
    /// Bytes of appends that may wait to be committed; who appends beyond waits for room. Default 128 MiB, at least
    /// 1 MiB.
    pub max_queue: usize,
    /// Size limits of one event.
    pub limits: Limits,
    /// How segments are read.
    pub read_mode: ReadMode,
    /// Which sealed segments are packed, behind, once the next one is indexed. Takes the feature `compression` of the crate.
    /// Default none.
    pub compress: Compress,
    /// When a fold writes a keyframe.
    pub keyframes: KeyframePolicy,
    /// Fewest events between two keyframes of the adaptive policy. Default 32.
    pub keyframe_min_events: u64,
    /// Sealed segments held open (two mappings each). Default 256, at least 8.
    pub max_open_segments: usize,
    /// How long a store that is open for reading only waits before it looks again for what another process has appended,
    /// while a subscription waits for it. Default 20 ms, from 1 ms to 60 s.
    pub follow_pause: Duration,
    /// Whether a directory or store that doesn't exist is created. Default true.
    pub create: bool,
    /// Bytes of space that are filled ahead of the writer at first. For tests; 1 MiB.
    #[doc(hidden)]
    pub fill_chunk: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 256 << 20,
            max_commit: 64 << 20,
            max_queue: 128 << 20,
            limits: Limits::default(),
            read_mode: ReadMode::Map,
            compress: Compress::None,
            keyframes: KeyframePolicy::Adaptive(8),
            keyframe_min_events: 32,
            max_open_segments: 256,
            follow_pause: Duration::from_millis(20),
            create: true,
            fill_chunk: 1 << 20,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let in_range = |option, value: u64, range: std::ops::RangeInclusive<u64>, expected| {
            if range.contains(&value) { Ok(()) } else { Err(OpenError::Option { option, value, expected }) }
        };
        let is_wanted = u64::from(self.compress != Compress::None);
        let built_in = u64::from(cfg!(feature = "compression"));
        in_range("compress", is_wanted, 0..=built_in, "none in a build without the feature `compression`")?;
        in_range("segment_size", self.segment_size, 64 << 10..=1 << 30, "64 KiB to 1 GiB")?;
        in_range("max_commit", self.max_commit as u64, 1 << 20..=64 << 20, "1 MiB to 64 MiB")?;
        in_range("max_queue", self.max_queue as u64, 1 << 20..=u64::MAX, "at least 1 MiB")?;
        in_range("fill_chunk", self.fill_chunk, 4 << 10..=32 << 20, "4 KiB to 32 MiB")?;
        in_range("max_data", self.limits.max_data as u64, 1..=16 << 20, "1 byte to 16 MiB")?;
        in_range("max_stream_id", self.limits.max_stream_id as u64, 1..=255, "1 to 255 bytes")?;
        in_range("max_metadata", self.limits.max_metadata as u64, 1..=64 << 10, "1 byte to 64 KiB")?;
        let pause = u64::try_from(self.follow_pause.as_millis()).unwrap_or(u64::MAX);
        in_range("follow_pause", pause, 1..=60_000, "1 to 60000 milliseconds")?;
        in_range("max_open_segments", self.max_open_segments as u64, 8..=1 << 20, "8 to 1048576")
    }
}
