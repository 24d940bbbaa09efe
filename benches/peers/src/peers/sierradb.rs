//! SierraDB: its database in this process, without server and cluster. One bucket and one partition, as a transaction spans
//! no more and each bucket syncs a file of its own; it syncs at 64 events or 8 KiB, else every 100 us; no compression. Made for
//! tasks. It knows no commit without a sync; bulk waits for each, as with several on their way it refused versions that were
//! right. It has no keyframes, so R4 is not asked of it, and R2 is not, as a scan is by partition.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sierradb::database::{Database, DatabaseBuilder, ExpectedVersion, NewEvent as SierraEvent, Transaction};
use sierradb::id::{uuid_to_partition_hash, uuid_v7_with_partition_hash};
use sierradb::{IterDirection, StreamId};

use crate::block_on::block_on;
use crate::peer::{Can, Kind, Peer, Result, Rows, Task, one_by_one};
use crate::seen::Seen;
use crate::work::NewEvent;

pub const KIND: Kind =
    Kind { name: "sierradb", package: "sierradb", note: "in process, one bucket", rows: Rows::All, open };

const PARTITION: atlas::Uuid = atlas::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

struct Sierra {
    database: Arc<Database>,
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let database = DatabaseBuilder::new()
        .total_buckets(1)
        .bucket_ids_from_range(0..1)
        .writer_threads(1)
        .reader_threads(2)
        .sync_interval(Duration::from_micros(100))
        .sync_idle_interval(Duration::from_micros(100))
        .min_sync_bytes(8 << 10)
        .max_batch_size(64)
        .compression(false)
        .cache_capacity_bytes(1 << 30)
        .open(dir)?;
    Ok(Arc::new(Sierra { database: Arc::new(database) }))
}

fn transaction(batch: &[NewEvent]) -> Result<Transaction> {
    let hash = uuid_to_partition_hash(PARTITION);
    let event = |event: &NewEvent| {
        Ok::<_, crate::peer::Error>(SierraEvent {
            event_id: uuid_v7_with_partition_hash(hash),
            stream_id: StreamId::new(event.stream)?,
            stream_version: match event.version {
                1 => ExpectedVersion::Empty,
                // It counts from 0.
                version => ExpectedVersion::Exact(version - 2),
            },
            event_name: event.event_type.to_owned(),
            timestamp: 1_700_000_000_000_000_000,
            metadata: Vec::new(),
            payload: event.data.to_vec(),
        })
    };
    let events = batch.iter().map(event).collect::<Result<smallvec::SmallVec<[SierraEvent; 4]>>>()?;
    Ok(Transaction::new(PARTITION, 0, events)?)
}

impl Sierra {
    async fn read(&self, stream: &str, from: u64, most: usize, seen: &mut Seen) -> Result<()> {
        let mut events = self.database.read_stream(0, StreamId::new(stream)?, from, IterDirection::Forward).await?;
        let mut left = most;
        while left > 0 {
            let Some(committed) = events.next().await? else { break };
            for event in committed {
                if left > 0 && &*event.stream_id == stream && event.stream_version >= from {
                    seen.event(event.stream_version + 1, event.event_name.as_bytes(), &event.payload);
                    left -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Peer for Sierra {
    fn append(&self, batch: &[NewEvent], _durable: bool) -> Result<()> {
        block_on(self.database.append_events(transaction(batch)?))?;
        Ok(())
    }

    fn appends(self: Arc<Self>, events: Vec<NewEvent>, until: Instant) -> Option<Task> {
        Some(Box::pin(async move {
            let one = |event: NewEvent| {
                let database = self.database.clone();
                async move { Ok(database.append_events(transaction(&[event])?).await.map(drop)?) }
            };
            one_by_one(events, until, one).await
        }))
    }

    fn takes_threads(&self) -> bool {
        false
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        block_on(self.read(stream, 0, usize::MAX, seen))?;
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        block_on(self.read(stream, version - 1, 1, seen))?;
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        block_on(self.database.shutdown());
        Ok(())
    }
}
