//! UmaDB: its storage engine in this process, with the plain writer thread that its server runs by default, without the server and
//! its protocol. A stream is a tag; it knows no versions, so R3 and R4 are not asked of it; the version stands before the data.
//! Appends carry the caller's id and no condition, which is less work than a user's. It knows no commit without a sync: bulk is
//! sent ahead of the answers, and the writer takes many requests into one commit.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::pager::ReadMethod;
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbEvent, DcbEventStoreSync as _, DcbQuery, DcbQueryItem, DcbResult, DcbSequencedEvent};

use crate::block_on::block_on;
use crate::peer::{Can, Kind, Peer, Result, Rows, Task, one_by_one};
use crate::seen::Seen;
use crate::work::NewEvent;

pub const KIND: Kind = Kind { name: "umadb", package: "umadb-core", note: "in process", rows: Rows::All, open };

/// Events that the writer takes into one commit, at most.
const MAX_EVENTS: usize = 10_000;

struct Uma {
    database: UmaDb,
    requests: mpsc::Sender<WriterThreadRequest>,
    writer: Mutex<Option<JoinHandle<()>>>,
    unanswered: Mutex<Vec<oneshot::Receiver<DcbResult<u64>>>>,
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let options = StorageOptions::default().db_path(dir).read_method(ReadMethod::Mmap).page_cache_max_mb(1024);
    let mvcc = Arc::new(Mvcc::new(false, options)?);
    let (requests, receiver) = mpsc::channel(4096);
    let (head, _) = watch::channel(None);
    let writer = std::thread::spawn({
        let mvcc = mvcc.clone();
        move || writer_thread_blocking(mvcc, receiver, head, MAX_EVENTS)
    });
    let (writer, unanswered) = (Mutex::new(Some(writer)), Mutex::default());
    Ok(Arc::new(Uma { database: UmaDb::from_arc(mvcc), requests, writer, unanswered }))
}

fn request(batch: &[NewEvent]) -> (WriterThreadRequest, oneshot::Receiver<DcbResult<u64>>) {
    let event = |event: &NewEvent| {
        let mut data = Vec::with_capacity(8 + event.data.len());
        data.extend_from_slice(&event.version.to_le_bytes());
        data.extend_from_slice(&event.data);
        DcbEvent {
            event_type: event.event_type.to_owned(),
            tags: vec![event.stream.to_owned()],
            data,
            uuid: Some(event.id),
            metadata: Vec::new(),
        }
    };
    let (response_tx, answer) = oneshot::channel();
    let events = batch.iter().map(event).collect();
    (WriterThreadRequest::Append { events, condition: None, tracking_info: None, response_tx, cancel: None }, answer)
}

fn of_stream(stream: &str) -> DcbQuery {
    DcbQuery { items: vec![DcbQueryItem { types: Vec::new(), tags: vec![stream.to_owned()] }] }
}

fn see(event: &DcbSequencedEvent, seen: &mut Seen) -> Result<()> {
    let (version, data) = event.event.data.split_first_chunk::<8>().ok_or("data without a version")?;
    seen.event(u64::from_le_bytes(*version), event.event.event_type.as_bytes(), data);
    Ok(())
}

impl Uma {
    async fn append_one(&self, event: &NewEvent) -> Result<()> {
        let (request, answer) = request(std::slice::from_ref(event));
        self.requests.send(request).await.map_err(|_| "the writer is gone")?;
        answer.await??;
        Ok(())
    }
}

impl Peer for Uma {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let (request, answer) = request(batch);
        block_on(self.requests.send(request)).map_err(|_| "the writer is gone")?;
        if durable {
            block_on(answer)??;
        } else {
            self.unanswered.lock().push(answer);
        }
        Ok(())
    }

    fn appends(self: Arc<Self>, events: Vec<NewEvent>, until: Instant) -> Option<Task> {
        Some(Box::pin(async move {
            let one = |event: NewEvent| {
                let peer = self.clone();
                async move { peer.append_one(&event).await }
            };
            one_by_one(events, until, one).await
        }))
    }

    fn sync(&self) -> Result<()> {
        for answer in std::mem::take(&mut *self.unanswered.lock()) {
            block_on(answer)??;
        }
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        for event in self.database.read(Some(of_stream(stream)), None, false, None)? {
            see(&event?, seen)?;
        }
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        let mut from = 1;
        loop {
            let mut last = None;
            // A read gives all at once, so it asks for some at a time.
            for event in self.database.read(None, Some(from), false, Some(4096))? {
                let event = event?;
                see(&event, seen)?;
                last = Some(event.position);
            }
            match last {
                Some(last) => from = last + 1,
                None => return Ok(Some(())),
            }
        }
    }

    fn first_read(&self, stream: &str, _version: u64, seen: &mut Seen) -> Result<Can> {
        for event in self.database.read(Some(of_stream(stream)), None, true, Some(1))? {
            see(&event?, seen)?;
        }
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        block_on(self.requests.send(WriterThreadRequest::Shutdown)).map_err(|_| "the writer is gone")?;
        self.writer.lock().take().map_or(Ok(()), |writer| writer.join().map_err(|_| "the writer panicked".into()))
    }
}
