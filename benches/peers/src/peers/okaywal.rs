//! okaywal: a write-ahead log that is emptied by checkpoints, so it has the writing rows only. Segments of 128 MiB made
//! ahead, checkpoints that keep nothing, a buffer of 1 MiB. Each entry is a commit, each event a chunk of it. It knows no
//! commit without a sync, so W4 syncs each thousand.

use std::path::Path;
use std::sync::Arc;

use okaywal::{Configuration, LogVoid, WriteAheadLog};
use parking_lot::Mutex;

use crate::peer::{Kind, Peer, Result, Rows};
use crate::record;
use crate::work::NewEvent;

pub const KIND: Kind = Kind {
    name: "okaywal",
    package: "okaywal",
    note: "a log that is emptied; syncs each commit",
    rows: Rows::Writing,
    open,
};

struct Okaywal(Mutex<Option<WriteAheadLog>>, WriteAheadLog);

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    let configuration = Configuration::default_for(dir)
        .preallocate_bytes(128 << 20)
        .checkpoint_after_bytes(112 << 20)
        .buffer_bytes(1 << 20);
    let log = configuration.open(LogVoid)?;
    Ok(Arc::new(Okaywal(Mutex::new(Some(log.clone())), log)))
}

impl Peer for Okaywal {
    fn append(&self, batch: &[NewEvent], _durable: bool) -> Result<()> {
        let mut values = Vec::with_capacity(batch.len());
        for event in batch {
            let mut value = Vec::with_capacity(400);
            record::encode(event, &mut value);
            values.push(value);
        }
        let mut entry = self.1.begin_entry()?;
        for value in &values {
            entry.write_chunk(value)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.0.lock().take().map_or(Ok(()), |log| Ok(log.shutdown()?))
    }
}
