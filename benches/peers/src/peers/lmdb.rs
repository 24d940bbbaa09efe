//! LMDB through heed, in two layouts. *Once*: events by position, an index from stream and version to position. *Twice*:
//! events by position and again, whole, by stream and version, so that a replay is one walk. Positions are appended
//! (`MDB_APPEND`), versions may not be taken (`MDB_NOOVERWRITE`). What needs no sync is committed with `MDB_NOSYNC`.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, FlagSetMode, PutFlags};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows};
use crate::record;
use crate::seen::Seen;
use crate::work::{NewEvent, STREAM_LEN};

pub const ONCE: Kind = Kind {
    name: "lmdb",
    package: "heed",
    note: "events once, with an index",
    rows: Rows::All,
    open: |dir| open(dir, false, EnvFlags::empty()),
};
pub const TWICE: Kind = Kind {
    name: "lmdb-twice",
    package: "heed",
    note: "events by position and again by stream",
    rows: Rows::All,
    open: |dir| open(dir, true, EnvFlags::empty()),
};

type Table = Database<Bytes, Bytes>;

struct Lmdb {
    env: Env,
    events: Table,
    /// By stream and version: the event itself, or its position.
    by_stream: Table,
    keyframes: Table,
    twice: bool,
    synced: AtomicBool,
}

/// With the kernel's read-ahead off (`MDB_NORDAHEAD`), for one of the two layouts.
pub fn open_without_read_ahead(dir: &Path, twice: bool) -> Result<Arc<dyn Peer>> {
    open(dir, twice, EnvFlags::NO_READ_AHEAD)
}

#[expect(unsafe_code, reason = "LMDB maps its file; nobody else has it open")]
fn open(dir: &Path, twice: bool, flags: EnvFlags) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let mut options = EnvOpenOptions::new();
    options.map_size(64 << 30).max_dbs(3).max_readers(126);
    let env = unsafe { options.flags(flags).open(dir)? };
    let mut write = env.write_txn()?;
    let events = env.create_database(&mut write, Some("events"))?;
    let by_stream = env.create_database(&mut write, Some("by_stream"))?;
    let keyframes = env.create_database(&mut write, Some("keyframes"))?;
    write.commit()?;
    Ok(Arc::new(Lmdb { env, events, by_stream, keyframes, twice, synced: AtomicBool::new(true) }))
}

impl Lmdb {
    #[expect(unsafe_code, reason = "MDB_NOSYNC gives up durability, not soundness")]
    fn set_synced(&self, synced: bool) -> Result<()> {
        if self.synced.swap(synced, Ordering::Relaxed) != synced {
            let mode = if synced { FlagSetMode::Disable } else { FlagSetMode::Enable };
            unsafe { self.env.set_flags(EnvFlags::NO_SYNC, mode)? };
        }
        Ok(())
    }

    fn read(&self, txn: &heed::RoTxn<'_>, stream: &str, from: u64, to: u64, seen: &mut Seen) -> Result<()> {
        let (low, high) = (record::key(stream, from), record::key(stream, to));
        let range = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        for entry in self.by_stream.range(txn, &range)? {
            self.see(txn, entry?.1, seen)?;
        }
        Ok(())
    }

    fn see(&self, txn: &heed::RoTxn<'_>, value: &[u8], seen: &mut Seen) -> Result<()> {
        if self.twice {
            return record::see(value, seen);
        }
        record::see(self.events.get(txn, value)?.ok_or("an index without its event")?, seen)
    }
}

impl Peer for Lmdb {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        self.set_synced(durable)?;
        let mut txn = self.env.write_txn()?;
        let mut position = self.events.last(&txn)?.map_or(0, |(key, _)| record::version_of(key));
        let mut value = Vec::new();
        for event in batch {
            position += 1;
            value.clear();
            record::encode(event, &mut value);
            let (at, key) = (position.to_be_bytes(), record::key(event.stream, event.version));
            self.events.put_with_flags(&mut txn, PutFlags::APPEND, &at, &value)?;
            let by_stream = if self.twice { &value[..] } else { &at[..] };
            self.by_stream.put_with_flags(&mut txn, PutFlags::NO_OVERWRITE, &key, by_stream)?;
        }
        Ok(txn.commit()?)
    }

    fn sync(&self) -> Result<()> {
        self.set_synced(true)?;
        Ok(self.env.force_sync()?)
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        let txn = self.env.read_txn()?;
        for entry in self.by_stream.prefix_iter(&txn, &record::key(stream, 0)[..STREAM_LEN])? {
            self.see(&txn, entry?.1, seen)?;
        }
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        let txn = self.env.read_txn()?;
        for entry in self.events.iter(&txn)? {
            record::see(entry?.1, seen)?;
        }
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let txn = self.env.read_txn()?;
        self.see(&txn, self.by_stream.get(&txn, &record::key(stream, version))?.ok_or("no such event")?, seen)?;
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        self.set_synced(true)?;
        let mut txn = self.env.write_txn()?;
        for keyframe in keyframes {
            self.keyframes.put(&mut txn, &record::key(keyframe.stream, keyframe.version), &keyframe.state)?;
        }
        txn.commit()?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let txn = self.env.read_txn()?;
        let found = self.keyframes.get_lower_than_or_equal_to(&txn, &record::key(stream, version))?;
        let mut from = 0;
        if let Some((key, state)) = found.filter(|(key, _)| key.starts_with(stream.as_bytes())) {
            from = record::version_of(key);
            seen.keyframe(state);
        }
        if from < version {
            self.read(&txn, stream, from + 1, version, seen)?;
        }
        Ok(Some(()))
    }
}
