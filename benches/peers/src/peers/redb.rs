//! redb: events by position, an index from stream and version to position, a cache of 1 GiB. What needs no sync is
//! committed with `Durability::None`; the sync is an empty commit with `Durability::Immediate`.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows};
use crate::record;
use crate::seen::Seen;
use crate::work::NewEvent;

pub const KIND: Kind = Kind { name: "redb", package: "redb", note: "", rows: Rows::All, open };

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const BY_STREAM: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("by_stream");
const KEYFRAMES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("keyframes");

struct Redb(Database);

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let database = Database::builder().set_cache_size(1 << 30).create(dir.join("events.redb"))?;
    let is_new = database.begin_read()?.list_tables()?.next().is_none();
    if is_new {
        let write = database.begin_write()?;
        write.open_table(EVENTS)?;
        write.open_table(BY_STREAM)?;
        write.open_table(KEYFRAMES)?;
        write.commit()?;
    }
    Ok(Arc::new(Redb(database)))
}

impl Redb {
    fn read(&self, stream: &str, versions: std::ops::RangeInclusive<u64>, seen: &mut Seen) -> Result<u64> {
        let read = self.0.begin_read()?;
        let (events, by_stream) = (read.open_table(EVENTS)?, read.open_table(BY_STREAM)?);
        let mut found = 0;
        for entry in by_stream.range((stream, *versions.start())..=(stream, *versions.end()))? {
            let position = entry?.1.value();
            record::see(events.get(position)?.ok_or("an index without its event")?.value(), seen)?;
            found += 1;
        }
        Ok(found)
    }
}

impl Peer for Redb {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let mut write = self.0.begin_write()?;
        write.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
        {
            let (mut events, mut by_stream) = (write.open_table(EVENTS)?, write.open_table(BY_STREAM)?);
            let mut position = events.last()?.map_or(0, |(position, _)| position.value());
            let mut value = Vec::new();
            for event in batch {
                position += 1;
                value.clear();
                record::encode(event, &mut value);
                events.insert(position, &value[..])?;
                if by_stream.insert((event.stream, event.version), position)?.is_some() {
                    return Err("the version is taken".into());
                }
            }
        }
        Ok(write.commit()?)
    }

    fn sync(&self) -> Result<()> {
        let mut write = self.0.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        Ok(write.commit()?)
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        self.read(stream, 0..=u64::MAX, seen)?;
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        for entry in self.0.begin_read()?.open_table(EVENTS)?.iter()? {
            record::see(entry?.1.value(), seen)?;
        }
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let read = self.0.begin_read()?;
        let position = read.open_table(BY_STREAM)?.get((stream, version))?.ok_or("no such event")?.value();
        record::see(read.open_table(EVENTS)?.get(position)?.ok_or("an index without its event")?.value(), seen)?;
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        let write = self.0.begin_write()?;
        for keyframe in keyframes {
            write.open_table(KEYFRAMES)?.insert((keyframe.stream, keyframe.version), &keyframe.state[..])?;
        }
        write.commit()?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let keyframes = self.0.begin_read()?.open_table(KEYFRAMES)?;
        let mut from = 0;
        if let Some(newest) = keyframes.range((stream, 0)..=(stream, version))?.next_back() {
            let (key, state) = newest?;
            from = key.value().1;
            seen.keyframe(state.value());
        }
        if from < version {
            self.read(stream, from + 1..=version, seen)?;
        }
        Ok(Some(()))
    }
}
