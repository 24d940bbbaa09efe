//! Atlas with its default options but for keyframes, which stand where the work says. Each append states the version that
//! it expects of each stream, and each event its id.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::atlas::log::{
    Append, At, Compress, Direction, Durability, EventRef, EventStore, ExpectedVersion, Fold, KeyframePolicy, Options,
    Query,
};
use ::atlas::storage::{Environment, Job, Lane, RealDisk, Scheduler, ThreadScheduler};
use ::atlas::{Event, Scope};

use crate::peer::{Can, Keyframe, Kind, Peer, Result, Rows, Task, one_by_one};
use crate::seen::Seen;
use crate::work::{KEYFRAME_EVERY, NewEvent, keyframe_state};

/// What it is when sealed segments are packed: of 128 MiB, so that most of a store is sealed.
pub const PACKED: Kind = Kind {
    name: "atlas-packed",
    package: "atlas-events",
    note: "sealed segments packed with lz4",
    rows: Rows::Reading,
    open: open_packed,
};

pub const KIND: Kind = Kind { name: "atlas", package: "atlas-events", note: "", rows: Rows::All, open };

struct Atlas {
    store: EventStore,
    scope: Scope,
    behind: Behind,
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    open_with_segments(dir, Options::default().segment_size)
}

/// With segments of another size.
pub fn open_with_segments(dir: &Path, segment_size: u64) -> Result<Arc<dyn Peer>> {
    let keyframes = KeyframePolicy::Events(KEYFRAME_EVERY);
    open_with(dir, Options { keyframes, segment_size, ..Options::default() })
}

fn open_packed(dir: &Path) -> Result<Arc<dyn Peer>> {
    let keyframes = KeyframePolicy::Events(KEYFRAME_EVERY);
    open_with(dir, Options { keyframes, segment_size: 128 << 20, compress: Compress::All, ..Options::default() })
}

fn open_with(dir: &Path, options: Options) -> Result<Arc<dyn Peer>> {
    std::fs::create_dir_all(dir)?;
    let behind = Behind::default();
    let environment = Environment { scheduler: Arc::new(behind.clone()), ..Environment::new(RealDisk::new(dir)) };
    let store = EventStore::open_with(environment, options)?;
    Ok(Arc::new(Atlas { store, scope: Scope::new("bench", "peers")?, behind }))
}

/// Threads that tell how many jobs are still to be done.
#[derive(Clone, Debug, Default)]
struct Behind {
    threads: Arc<ThreadScheduler>,
    jobs: Arc<AtomicUsize>,
}

impl Scheduler for Behind {
    fn submit(&self, lane: Lane, job: Job) {
        let jobs = self.jobs.clone();
        jobs.fetch_add(1, Ordering::AcqRel);
        let counted = move || {
            job();
            jobs.fetch_sub(1, Ordering::AcqRel);
        };
        self.threads.submit(lane, Box::new(counted));
    }

    fn submit_after(&self, delay: Duration, job: Job) {
        self.threads.submit_after(delay, job);
    }

    fn stop(&self) {
        self.threads.stop();
    }
}

fn append_of(scope: &Scope, batch: &[NewEvent]) -> Append {
    let mut append = Append::to(scope);
    for event in batch {
        if event.opens {
            append = append.expect_version(event.stream, ExpectedVersion::Exact(event.version - 1));
        }
        append = append.event(Event::new(event.event_type, event.stream).id(event.id).json(event.data.clone()));
    }
    append
}

fn see(event: &EventRef<'_>, seen: &mut Seen) {
    seen.event(event.version(), event.event_type().as_bytes(), event.data());
}

/// The check as a fold: what a keyframe holds follows from its version.
struct SeenFold;

#[derive(Clone)]
struct SeenState {
    seen: Seen,
    version: u64,
}

impl Fold for SeenFold {
    type State = SeenState;

    fn name(&self) -> &str {
        "seen"
    }

    fn fingerprint(&self) -> u64 {
        1
    }

    fn start(&self) -> SeenState {
        SeenState { seen: Seen::default(), version: 0 }
    }

    fn apply(&self, state: &mut SeenState, event: &EventRef<'_>) {
        see(event, &mut state.seen);
        state.version = event.version();
    }

    fn encode(&self, state: &SeenState) -> Vec<u8> {
        keyframe_state(state.version)
    }

    fn decode(&self, bytes: &[u8]) -> Option<SeenState> {
        let mut seen = Seen::default();
        seen.keyframe(bytes);
        Some(SeenState { seen, version: 0 })
    }
}

impl Peer for Atlas {
    fn append(&self, batch: &[NewEvent], durable: bool) -> Result<()> {
        let durability = if durable { Durability::Sync } else { Durability::Deferred };
        self.store.append(append_of(&self.scope, batch).durability(durability))?;
        Ok(())
    }

    fn appends(self: Arc<Self>, events: Vec<NewEvent>, until: Instant) -> Option<Task> {
        Some(Box::pin(async move {
            let one = |event: NewEvent| {
                let answer = self.store.append_async(append_of(&self.scope, &[event]));
                async { Ok(answer.await.map(drop)?) }
            };
            one_by_one(events, until, one).await
        }))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.store.sync()?)
    }

    fn settle(&self) -> Result<()> {
        while self.behind.jobs.load(Ordering::Acquire) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn read_stream(&self, stream: &str, seen: &mut Seen) -> Result<Can> {
        let mut events = self.store.read_stream(&self.scope, stream, 1, Direction::Forward)?;
        while let Some(event) = events.next_ref() {
            see(&event?, seen);
        }
        Ok(Some(()))
    }

    fn scan(&self, seen: &mut Seen) -> Result<Can> {
        let mut events = self.store.read(Query::new())?;
        while let Some(event) = events.next_ref() {
            see(&event?, seen);
        }
        Ok(Some(()))
    }

    fn event(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        let mut events = self.store.read_stream(&self.scope, stream, version, Direction::Forward)?;
        see(&events.next_ref().ok_or("no such event")??, seen);
        Ok(Some(()))
    }

    fn keyframes(&self, keyframes: &[Keyframe]) -> Result<Can> {
        for keyframe in keyframes.chunk_by(|a, b| a.stream == b.stream).filter_map(|of_stream| of_stream.last()) {
            self.store.fold(&self.scope, keyframe.stream, &SeenFold, At::Version(keyframe.version), true)?;
        }
        self.store.sync()?;
        Ok(Some(()))
    }

    fn state(&self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        *seen = self.store.fold(&self.scope, stream, &SeenFold, At::Version(version), true)?.state.seen;
        Ok(Some(()))
    }

    fn close(&self) -> Result<()> {
        Ok(self.store.close()?)
    }
}
