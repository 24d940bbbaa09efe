//! What the harness asks of a store. `Ok(None)` says that the peer has no such thing: a log has no streams.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crate::seen::Seen;
use crate::work::NewEvent;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;
/// Whether the peer can.
pub type Can = Option<()>;
/// How long each append took, in nanoseconds.
pub type Latencies = Vec<u32>;
/// One of many tasks that append.
pub type Task = Pin<Box<dyn Future<Output = Result<Latencies>> + Send>>;

/// A state of a stream, to be found by its version.
#[derive(Clone, Debug)]
pub struct Keyframe {
    pub stream: &'static str,
    pub version: u64,
    pub state: Vec<u8>,
}

/// An open store.
pub trait Peer: Send + Sync {
    /// Appends a batch as one commit; where `durable`, it is on disk (fdatasync) when this returns.
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()>;

    /// A task that appends events, each durable before the next; `None` where the peer's calls block.
    fn appends(self: Arc<Self>, _events: Vec<NewEvent>, _until: Instant) -> Option<Task> {
        None
    }

    /// Whether `append` may be called by many threads at once (of a peer made for tasks it may be a detour).
    fn takes_threads(&self) -> bool {
        true
    }

    /// Makes all that was appended durable.
    fn sync(&self) -> Result<()>;

    /// Ends what goes on behind after a load, such as compaction, so that reads begin level.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Reads a stream from its first event to its last.
    fn read_stream(&self, _stream: &str, _seen: &mut Seen) -> Result<Can> {
        Ok(None)
    }

    /// Reads the whole log in order.
    fn scan(&self, _seen: &mut Seen) -> Result<Can> {
        Ok(None)
    }

    /// Reads one event.
    fn event(&self, _stream: &str, _version: u64, _seen: &mut Seen) -> Result<Can> {
        Ok(None)
    }

    /// Stores keyframes, durably.
    fn keyframes(&self, _keyframes: &[Keyframe]) -> Result<Can> {
        Ok(None)
    }

    /// Reads the newest keyframe at or below a version, and the events after it up to that version.
    fn state(&self, _stream: &str, _version: u64, _seen: &mut Seen) -> Result<Can> {
        Ok(None)
    }

    /// Whatever the first read after an open is: of an event store the last event of a stream.
    fn first_read(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        self.event(stream, version, seen)
    }

    /// Closes cleanly; the handle is dropped right after.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Rows that a store takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    All,
    /// A log that is emptied has nothing to be read.
    Writing,
    /// What is written differently only behind.
    Reading,
}

/// A kind of store.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// The package whose version is stated.
    pub package: &'static str,
    /// What tells it apart from others of the package.
    pub note: &'static str,
    /// Which rows it takes part in.
    pub rows: Rows,
    /// Opens a store, created where there is none.
    pub open: fn(&Path) -> Result<Arc<dyn Peer>>,
}

/// Appends events one after the other until they or the time run out.
pub async fn one_by_one<F: Future<Output = Result<()>>>(
    events: Vec<NewEvent>,
    until: Instant,
    mut append: impl FnMut(NewEvent) -> F,
) -> Result<Latencies> {
    let mut latencies = Vec::with_capacity(events.len());
    let mut before = Instant::now();
    for event in events {
        if before >= until {
            break;
        }
        append(event).await?;
        let now = Instant::now();
        latencies.push((now - before).as_nanos().min(u128::from(u32::MAX)) as u32);
        before = now;
    }
    Ok(latencies)
}
