//! RocksDB, in two layouts as LMDB: column families for events by position, for stream and version (to the position, or to
//! the event again), for keyframes. lz4, whole-key bloom filters, 16 KiB blocks, a cache of 1 GiB, logs recycled so that a
//! sync changes no metadata, compacted after a load. Versions are written blindly: that they are free is not checked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode,
    Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows};
use crate::record;
use crate::seen::Seen;
use crate::work::NewEvent;

pub const ONCE: Kind = Kind {
    name: "rocksdb",
    package: "rocksdb",
    note: "events once, with an index, lz4",
    rows: Rows::All,
    open: |dir| open(dir, false),
};
pub const TWICE: Kind = Kind {
    name: "rocksdb-twice",
    package: "rocksdb",
    note: "events by position and again by stream, lz4",
    rows: Rows::All,
    open: |dir| open(dir, true),
};

const FAMILIES: [&str; 3] = ["events", "by_stream", "keyframes"];

struct Rocks {
    database: DB,
    next: AtomicU64,
    twice: bool,
}

fn open(dir: &Path, twice: bool) -> Result<Arc<dyn Peer>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_recycle_log_file_num(4);
    options.set_enable_pipelined_write(true);
    options.increase_parallelism(2);
    let cache = Cache::new_lru_cache(1 << 30);
    let family = |name: &str| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_block_size(16 << 10);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_cache_index_and_filter_blocks(false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(64 << 20);
        ColumnFamilyDescriptor::new(name, options)
    };
    let database = DB::open_cf_descriptors(&options, dir, FAMILIES.map(family))?;
    let last = {
        let events = database.cf_handle("events").ok_or("no such column family")?;
        database.iterator_cf(events, IteratorMode::End).next().transpose()?
    };
    let next = AtomicU64::new(last.map_or(0, |(key, _)| record::version_of(&key)) + 1);
    Ok(Arc::new(Rocks { database, next, twice }))
}

impl Rocks {
    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        Ok(self.database.cf_handle(name).ok_or("no such column family")?)
    }

    fn see(&self, value: &[u8], seen: &mut Seen) -> Result<()> {
        if self.twice {
            return record::see(value, seen);
        }
        let event = self.database.get_pinned_cf(self.family("events")?, value)?;
        record::see(&event.ok_or("an index without its event")?, seen)
    }

    fn read(&self, stream: &str, from: u64, to: u64, seen: &mut Seen) -> Result<()> {
        let mut options = ReadOptions::default();
        let low = record::key(stream, from);
        options.set_iterate_range(low.to_vec()..record::key(stream, to.saturating_add(1)).to_vec());
        let mut at = self.database.raw_iterator_cf_opt(self.family("by_stream")?, options);
        at.seek(low);
        while let Some(value) = at.value() {
            self.see(value, seen)?;
            at.next();
        }
        Ok(at.status()?)
    }
}

impl Peer for Rocks {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let (events, by_stream) = (self.family("events")?, self.family("by_stream")?);
        let first = self.next.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut write = WriteBatch::default();
        let mut value = Vec::with_capacity(400);
        for (position, event) in (first..).zip(batch) {
            value.clear();
            record::encode(event, &mut value);
            let (at, key) = (position.to_be_bytes(), record::key(event.stream, event.version));
            write.put_cf(events, at, &value);
            write.put_cf(by_stream, key, if self.twice { &value[..] } else { &at[..] });
        }
        let mut options = WriteOptions::default();
        options.set_sync(durable);
        Ok(self.database.write_opt(write, &options)?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.flush_wal(true)?)
    }

    fn settle(&self) -> Result<()> {
        for name in FAMILIES {
            self.database.flush_cf(self.family(name)?)?;
            self.database.compact_range_cf(self.family(name)?, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        self.read(stream, 0, u64::MAX - 1, seen)?;
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        let mut options = ReadOptions::default();
        options.set_readahead_size(2 << 20);
        let mut at = self.database.raw_iterator_cf_opt(self.family("events")?, options);
        at.seek_to_first();
        while let Some(value) = at.value() {
            record::see(value, seen)?;
            at.next();
        }
        at.status()?;
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let value = self.database.get_pinned_cf(self.family("by_stream")?, record::key(stream, version))?;
        self.see(&value.ok_or("no such event")?, seen)?;
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        let family = self.family("keyframes")?;
        let mut write = WriteBatch::default();
        for keyframe in keyframes {
            write.put_cf(family, record::key(keyframe.stream, keyframe.version), &keyframe.state);
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.database.write_opt(write, &options)?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let mut from = 0;
        let key = record::key(stream, version);
        let newest = IteratorMode::From(&key, Direction::Reverse);
        if let Some((key, state)) = self.database.iterator_cf(self.family("keyframes")?, newest).next().transpose()?
            && key.starts_with(stream.as_bytes())
        {
            from = record::version_of(&key);
            seen.keyframe(&state);
        }
        if from < version {
            self.read(stream, from + 1, version, seen)?;
        }
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        for name in FAMILIES {
            self.database.flush_cf(self.family(name)?)?;
        }
        Ok(())
    }
}
