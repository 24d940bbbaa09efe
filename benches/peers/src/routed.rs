//! Atlas whole, for the rows of the whole path: a tree in which each of the forty types has a handler, `Atlas::ingest`, and
//! a handler that does nothing but count.

use std::collections::VecDeque;
use std::fs;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use atlas::dispatch::{Delivery, DeliveryFilter, Emit, HandlerError};
use atlas::{Atlas, Event, ScopeHandle};

use crate::peer::{Result, Task, one_by_one};
use crate::work::{Names, NewEvent};

const TENANT: &str = "bench";
const APPLICATION: &str = "peers";
const FUNCTION: &str = "count";
/// Batches that are sent ahead of their answers.
const AHEAD: usize = 16;

/// An open store with its tree active.
pub struct Routed {
    atlas: Atlas,
    scope: ScopeHandle,
    dir: PathBuf,
    /// Calls of the handler.
    calls: Arc<AtomicU64>,
}

impl Routed {
    /// An empty one; its handlers are called where it `serves`, else deliveries stay pending.
    pub async fn create(dir: PathBuf, names: &Names, serves: bool) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        let tree = dir.join("tree");
        write_tree(&tree, names)?;
        let calls = Arc::new(AtomicU64::new(0));
        let atlas = open(&dir, calls.clone(), serves).await?;
        let scope = atlas.scope(TENANT, APPLICATION);
        scope.config().import(&tree).await?.activate().await?;
        Ok(Self { atlas, scope, dir, calls })
    }

    /// A task that ingests events, each durable before the next.
    pub fn ingests(&self, events: Vec<NewEvent>, until: Instant) -> Task {
        let scope = self.scope.clone();
        Box::pin(one_by_one(events, until, move |event| {
            let answer = scope.ingest(event_of(&event));
            async move { Ok(answer.await.map(drop)?) }
        }))
    }

    /// Ingests batches, each an append; a few are sent ahead of the answers, as an ingest is always durable.
    pub async fn ingest_ahead(&self, batches: &[Vec<NewEvent>]) -> Result<()> {
        let mut unanswered = VecDeque::new();
        for batch in batches {
            let mut answer: Pin<Box<_>> = Box::pin(self.scope.ingest_all(batch.iter().map(event_of).collect()));
            // The first poll gives it its place in the log.
            match poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
                Poll::Ready(receipts) => drop(receipts?),
                Poll::Pending => unanswered.push_back(answer),
            }
            if unanswered.len() >= AHEAD
                && let Some(first) = unanswered.pop_front()
            {
                first.await?;
            }
        }
        for answer in unanswered {
            answer.await?;
        }
        Ok(())
    }

    /// Waits until no delivery is left, and all that was recorded of them is on the disk.
    pub async fn settle(&self) -> Result<()> {
        let left = self.atlas.settled().await?.total();
        if left > 0 {
            return Err(format!("{left} deliveries are left").into());
        }
        Ok(self.atlas.store().sync_async().await?)
    }

    /// Closes it, and opens it once more to see that each of so many events was ingested and its delivery is complete.
    pub async fn check_served(self, events: u64) -> Result<()> {
        let called = self.calls.load(Ordering::Relaxed);
        if called != events {
            return Err(format!("{events} events were ingested, but the handler was called {called} times").into());
        }
        self.atlas.close().await?;
        let atlas = open(&self.dir, self.calls.clone(), false).await?;
        let (found, open) = (atlas.store().last_position(), atlas.deliveries(DeliveryFilter::default()).await?.len());
        atlas.close().await?;
        if found != events || open != 0 {
            return Err(format!("after a reopen {found} of {events} events, {open} deliveries open").into());
        }
        Ok(fs::remove_dir_all(self.dir)?)
    }

    /// Closes and removes it.
    pub async fn remove(self) -> Result<()> {
        self.atlas.close().await?;
        Ok(fs::remove_dir_all(self.dir)?)
    }
}

async fn open(dir: &Path, calls: Arc<AtomicU64>, serves: bool) -> Result<Atlas> {
    let count = move |_: Delivery| {
        calls.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, HandlerError>(Emit::none()) }
    };
    Ok(Atlas::builder().function(FUNCTION, count).dispatch(serves).open(dir).await?)
}

fn event_of(event: &NewEvent) -> Event {
    Event::new(event.event_type, event.stream).id(event.id).json(event.data.clone())
}

/// A document for each type, each with one handler.
fn write_tree(dir: &Path, names: &Names) -> Result<()> {
    let document = format!(r#"{{"handlers": [{{"name": "count", "target": {{"function": "{FUNCTION}"}}}}]}}"#);
    fs::create_dir_all(dir)?;
    fs::write(dir.join("types.json"), serde_json::to_vec(names.types())?)?;
    for event_type in names.types() {
        let [kind, flow, operation, result, version] = event_type
            .split('_')
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| format!("{event_type}: not five parts"))?;
        let folder =
            dir.join(version).join(kind.to_lowercase()).join(flow.to_lowercase()).join(operation.to_lowercase());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{}.json", result.to_lowercase())), &document)?;
    }
    Ok(())
}
