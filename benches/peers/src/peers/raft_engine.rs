//! raft-engine: each stream is a raft group, named by the number in the stream's id, each event an entry whose index is its
//! version; keyframes are its key-values, which it holds in memory. Batches aren't compressed; files to recycle are filled
//! with zeros ahead. It has no order over all streams.

use std::path::Path;
use std::sync::Arc;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows};
use crate::record;
use crate::seen::Seen;
use crate::work::NewEvent;

pub const KIND: Kind =
    Kind { name: "raft-engine", package: "raft-engine", note: "a raft group a stream", rows: Rows::All, open };

/// An entry that is an event's value, which begins with its version.
struct Entry;

impl MessageExt for Entry {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk::<8>().map_or(0, |version| u64::from_le_bytes(*version))
    }
}

struct RaftEngine(Engine);

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let config = Config {
        dir: dir.display().to_string(),
        batch_compression_threshold: ReadableSize::kb(0),
        target_file_size: ReadableSize::mb(128),
        recovery_threads: 2,
        ..Config::default()
    };
    Ok(Arc::new(RaftEngine(Engine::open(config)?)))
}

fn group(stream: &str) -> Result<u64> {
    // Groups begin at 1.
    Ok(stream.rsplit('-').next().ok_or("a stream without a number")?.parse::<u64>()? + 1)
}

fn see(entries: &[BytesValue], seen: &mut Seen) -> Result<()> {
    entries.iter().try_for_each(|entry| record::see(&entry.value, seen))
}

impl RaftEngine {
    fn read(&self, group: u64, from: u64, to: u64, seen: &mut Seen) -> Result<()> {
        let mut entries = Vec::new();
        self.0.fetch_entries_to::<Entry>(group, from, to + 1, None, &mut entries)?;
        see(&entries, seen)
    }
}

impl Peer for RaftEngine {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let mut log_batch = LogBatch::with_capacity(batch.len());
        for event in batch {
            let mut entry = BytesValue::new();
            record::encode(event, &mut entry.value);
            log_batch.add_entries::<Entry>(group(event.stream)?, &[entry])?;
        }
        self.0.write(&mut log_batch, durable)?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.0.sync()?)
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        let group = group(stream)?;
        let last = self.0.last_index(group).ok_or("no such stream")?;
        self.read(group, 1, last, seen)?;
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let entry = self.0.get_entry::<Entry>(group(stream)?, version)?.ok_or("no such event")?;
        see(&[entry], seen)?;
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        let mut log_batch = LogBatch::with_capacity(keyframes.len());
        for keyframe in keyframes {
            log_batch.put(group(keyframe.stream)?, keyframe.version.to_be_bytes().to_vec(), keyframe.state.clone())?;
        }
        self.0.write(&mut log_batch, true)?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let group = group(stream)?;
        let mut from = 0;
        self.0.scan_raw_messages(group, None, Some(&(version + 1).to_be_bytes()), true, |key, state| {
            from = record::version_of(key);
            seen.keyframe(state);
            false
        })?;
        if from < version {
            self.read(group, from + 1, version, seen)?;
        }
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        Ok(self.0.sync()?)
    }
}
