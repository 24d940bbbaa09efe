//! fjall: keyspaces for events by position, for the index from stream and version to position, and for keyframes; lz4
//! (its default), a cache of 1 GiB, filters that expect reads to hit, memtables of 64 MiB. A commit is `SyncData`, which is
//! fdatasync; what needs no sync is `Buffer`. Versions are written blindly: that they are free is not checked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows};
use crate::record;
use crate::seen::Seen;
use crate::work::{NewEvent, STREAM_LEN};

pub const KIND: Kind = Kind { name: "fjall", package: "fjall", note: "lz4", rows: Rows::All, open };

struct Fjall {
    database: Database,
    events: Keyspace,
    by_stream: Keyspace,
    keyframes: Keyspace,
    next: AtomicU64,
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    let database = Database::builder(dir).cache_size(1 << 30).max_journaling_size(1 << 30).worker_threads(2).open()?;
    let options = || KeyspaceCreateOptions::default().expect_point_read_hits(true).max_memtable_size(64 << 20);
    let events = database.keyspace("events", options)?;
    let by_stream = database.keyspace("by_stream", options)?;
    let keyframes = database.keyspace("keyframes", options)?;
    let last = events.last_key_value().map(|last| last.key()).transpose()?;
    let next = AtomicU64::new(last.map_or(0, |key| record::version_of(&key)) + 1);
    Ok(Arc::new(Fjall { database, events, by_stream, keyframes, next }))
}

impl Fjall {
    fn see(&self, position: &[u8], seen: &mut Seen) -> Result<()> {
        record::see(&self.events.get(position)?.ok_or("an index without its event")?, seen)
    }
}

impl Peer for Fjall {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut write = self.database.batch().durability(Some(mode));
        let first = self.next.fetch_add(batch.len() as u64, Ordering::Relaxed);
        for (position, event) in (first..).zip(batch) {
            let mut value = Vec::with_capacity(400);
            record::encode(event, &mut value);
            write.insert(&self.events, position.to_be_bytes(), value);
            write.insert(&self.by_stream, record::key(event.stream, event.version), position.to_be_bytes());
        }
        Ok(write.commit()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn settle(&self) -> Result<()> {
        for keyspace in [&self.events, &self.by_stream, &self.keyframes] {
            keyspace.rotate_memtable_and_wait()?;
            keyspace.major_compact()?;
        }
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        for entry in self.by_stream.prefix(&record::key(stream, 0)[..STREAM_LEN]) {
            self.see(&entry.value()?, seen)?;
        }
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        for entry in self.events.iter() {
            record::see(&entry.value()?, seen)?;
        }
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let position = self.by_stream.get(record::key(stream, version))?.ok_or("no such event")?;
        self.see(&position, seen)?;
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        let mut write = self.database.batch().durability(Some(PersistMode::SyncData));
        for keyframe in keyframes {
            write.insert(&self.keyframes, record::key(keyframe.stream, keyframe.version), &keyframe.state[..]);
        }
        write.commit()?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let mut from = 0;
        let newest = self.keyframes.range(record::key(stream, 0)..=record::key(stream, version)).next_back();
        if let Some((key, state)) = newest.map(|newest| newest.into_inner()).transpose()? {
            from = record::version_of(&key);
            seen.keyframe(&state);
        }
        if from < version {
            for entry in self.by_stream.range(record::key(stream, from + 1)..=record::key(stream, version)) {
                self.see(&entry.value()?, seen)?;
            }
        }
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
