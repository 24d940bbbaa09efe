//! SQLite: WAL, synchronous FULL, a table of events by position with a unique index on stream and version, prepared
//! statements, a large cache, mapped reads, rare checkpoints. What needs no sync is committed with synchronous NORMAL, which in
//! WAL mode syncs no commit; the sync is then a commit with FULL.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows};
use crate::seen::Seen;
use crate::work::NewEvent;

pub const KIND: Kind = Kind { name: "sqlite", package: "rusqlite", note: "WAL, FULL", rows: Rows::All, open };

struct Sqlite(Mutex<State>);

struct State {
    connection: Connection,
    full: bool,
}

impl State {
    fn set_full(&mut self, full: bool) -> Result<()> {
        if self.full != full {
            self.connection.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })?;
            self.full = full;
        }
        Ok(())
    }
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let connection = Connection::open(dir.join("events.sqlite"))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -262144; PRAGMA mmap_size = 8589934592;
         PRAGMA wal_autocheckpoint = 16384; PRAGMA temp_store = MEMORY; PRAGMA locking_mode = EXCLUSIVE;
         CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
             type TEXT NOT NULL, data BLOB NOT NULL);
         CREATE UNIQUE INDEX IF NOT EXISTS by_stream ON events (stream, version);
         CREATE TABLE IF NOT EXISTS keyframes (stream TEXT NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL,
             PRIMARY KEY (stream, version)) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS synced (one INTEGER PRIMARY KEY, times INTEGER NOT NULL);",
    )?;
    Ok(Arc::new(Sqlite(Mutex::new(State { connection, full: true }))))
}

fn see(row: &rusqlite::Row<'_>, seen: &mut Seen) -> Result<()> {
    let version: u64 = row.get::<_, i64>(0)?.cast_unsigned();
    seen.event(version, row.get_ref(1)?.as_bytes()?, row.get_ref(2)?.as_blob()?);
    Ok(())
}

impl Peer for Sqlite {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let mut state = self.0.lock();
        state.set_full(durable)?;
        let transaction = state.connection.transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO events (stream, version, type, data) VALUES (?1, ?2, ?3, ?4)")?;
            for event in batch {
                insert.execute(params![
                    event.stream,
                    event.version.cast_signed(),
                    event.event_type,
                    &event.data[..]
                ])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.0.lock();
        state.set_full(true)?;
        let write = "INSERT INTO synced VALUES (1, 1) ON CONFLICT DO UPDATE SET times = times + 1";
        state.connection.execute(write, [])?;
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        let state = self.0.lock();
        let sql = "SELECT version, type, data FROM events WHERE stream = ?1 ORDER BY version";
        let mut select = state.connection.prepare_cached(sql)?;
        let mut rows = select.query([stream])?;
        while let Some(row) = rows.next()? {
            see(row, seen)?;
        }
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        let state = self.0.lock();
        let mut select = state.connection.prepare_cached("SELECT version, type, data FROM events ORDER BY position")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            see(row, seen)?;
        }
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let state = self.0.lock();
        let sql = "SELECT version, type, data FROM events WHERE stream = ?1 AND version = ?2";
        let mut select = state.connection.prepare_cached(sql)?;
        let mut rows = select.query(params![stream, version.cast_signed()])?;
        see(rows.next()?.ok_or("no such event")?, seen)?;
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        let mut state = self.0.lock();
        state.set_full(true)?;
        let transaction = state.connection.transaction()?;
        for keyframe in keyframes {
            let mut insert = transaction.prepare_cached("INSERT INTO keyframes VALUES (?1, ?2, ?3)")?;
            insert.execute(params![keyframe.stream, keyframe.version.cast_signed(), keyframe.state])?;
        }
        transaction.commit()?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let state = self.0.lock();
        let transaction = state.connection.unchecked_transaction()?;
        let mut from = 0;
        {
            let sql = "SELECT version, state FROM keyframes WHERE stream = ?1 AND version <= ?2 ORDER BY version DESC LIMIT 1";
            let mut newest = transaction.prepare_cached(sql)?;
            let mut rows = newest.query(params![stream, version.cast_signed()])?;
            if let Some(row) = rows.next()? {
                from = row.get::<_, i64>(0)?;
                seen.keyframe(row.get_ref(1)?.as_blob()?);
            }
            let sql = "SELECT version, type, data FROM events WHERE stream = ?1 AND version > ?2 AND version <= ?3 \
                       ORDER BY version";
            let mut select = transaction.prepare_cached(sql)?;
            let mut rows = select.query(params![stream, from, version.cast_signed()])?;
            while let Some(row) = rows.next()? {
                see(row, seen)?;
            }
        }
        transaction.commit()?;
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        let state = self.0.lock();
        Ok(state.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}
