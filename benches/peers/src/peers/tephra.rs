//! Tephra: segments of 256 MiB, its writer's defaults. A stream is a tag; it knows no versions, so R3 and R4 are not asked of
//! it; the version stands before the data. Appends carry no condition, which is less work than a user's. It knows no commit
//! without a sync: bulk is sent ahead of the answers, and the writer takes many requests into one commit.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tephra::{
    AppendError, Event, EventRef, EventType, Position, PositionRange, Query, QueryItem, SegmentConfig, SegmentSet, Tag,
    Tags, WriteCoordinator, WriteHandle, WriterConfig,
};

use crate::peer::{Can, Kind, Peer, Result, Rows, Task, one_by_one};
use crate::seen::Seen;
use crate::work::NewEvent;

pub const KIND: Kind = Kind { name: "tephra", package: "tephra", note: "", rows: Rows::All, open };

type Answer = (u64, std::result::Result<PositionRange, AppendError>);

struct Tephra {
    coordinator: Mutex<Option<WriteCoordinator>>,
    handle: WriteHandle,
    answers: (flume::Sender<Answer>, flume::Receiver<Answer>),
    unanswered: Mutex<u64>,
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let set = SegmentSet::open(dir, SegmentConfig::new(256 << 20))?;
    let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default())?;
    let (coordinator, unanswered) = (Mutex::new(Some(coordinator)), Mutex::new(0));
    Ok(Arc::new(Tephra { coordinator, handle, answers: flume::unbounded(), unanswered }))
}

fn event_of(event: &NewEvent) -> Result<Event> {
    let mut data = Vec::with_capacity(8 + event.data.len());
    data.extend_from_slice(&event.version.to_le_bytes());
    data.extend_from_slice(&event.data);
    Ok(Event::new(&EventType::new(event.event_type)?, &Tags::new([Tag::new(event.stream)?])?, &data)?)
}

fn of_stream(stream: &str) -> Result<Query> {
    Ok(Query::item(QueryItem::with_tags(Tags::new([Tag::new(stream)?])?)))
}

fn see(event: EventRef<'_>, seen: &mut Seen) -> Result<()> {
    let (version, data) = event.data().split_first_chunk::<8>().ok_or("data without a version")?;
    seen.event(u64::from_le_bytes(*version), event.event_type().as_bytes(), data);
    Ok(())
}

impl Tephra {
    fn read(&self, query: &Query, seen: &mut Seen) -> Result<Can> {
        let mut reads = self.handle.read(query, Position::ZERO, None);
        while let Some(event) = reads.next() {
            see(event?.event, seen)?;
        }
        Ok(Some(()))
    }
}

impl Peer for Tephra {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let events = batch.iter().map(event_of).collect::<Result<_>>()?;
        if durable {
            self.handle.append(events, None)?;
        } else {
            self.handle.append_submit(events, None, 0, self.answers.0.clone())?;
            *self.unanswered.lock() += 1;
        }
        Ok(())
    }

    fn appends(self: Arc<Self>, events: Vec<NewEvent>, until: Instant) -> Option<Task> {
        Some(Box::pin(async move {
            let one = |event: NewEvent| {
                let handle = self.handle.clone();
                async move { Ok(handle.append_async(vec![event_of(&event)?], None).await.map(drop)?) }
            };
            one_by_one(events, until, one).await
        }))
    }

    fn sync(&self) -> Result<()> {
        let mut unanswered = self.unanswered.lock();
        while *unanswered > 0 {
            self.answers.1.recv()?.1?;
            *unanswered -= 1;
        }
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        self.read(&of_stream(stream)?, seen)
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        self.read(&Query::all(), seen)
    }

    fn first_read(&self, stream: &str, _version: u64, seen: &mut Seen) -> Result<Can> {
        let mut reads = self.handle.read_back(&of_stream(stream)?, Position::MAX, Some(1));
        while let Some(event) = reads.next() {
            see(event?.event, seen)?;
        }
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        drop(self.coordinator.lock().take().map(WriteCoordinator::shutdown));
        Ok(())
    }
}
