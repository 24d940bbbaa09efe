//! Stores that are written to, one for each peer, and what the writing rows share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Context;
use crate::peer::{Kind, Peer, Result};
use crate::work::{NewEvent, Random, Source};

/// A store and what was appended to it.
pub struct Store<'a> {
    pub kind: Kind,
    pub peer: Arc<dyn Peer>,
    pub source: Source<'a>,
    pub random: Random,
    dir: PathBuf,
}

impl<'a> Store<'a> {
    /// An empty one.
    pub fn create(context: &'a Context, row: &str, kind: Kind) -> Result<Self> {
        let dir = context.dir.join(format!("{row}-{}", kind.name));
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        let peer = (kind.open)(&dir).map_err(|error| format!("{} can't be opened: {error}", kind.name))?;
        Ok(Self { kind, peer, source: Source::new(&context.names), random: Random::new(7), dir })
    }

    /// Batches of events, each for a stream by chance.
    pub fn batches(&mut self, batches: usize, len: usize) -> Vec<Vec<NewEvent>> {
        let streams = self.source.streams();
        (0..batches).map(|_| self.source.batch((0..len).map(|_| self.random.below(streams)))).collect()
    }

    /// Closes and removes it.
    pub fn remove(self) -> Result<()> {
        self.peer.close()?;
        drop(self.peer);
        Ok(std::fs::remove_dir_all(self.dir)?)
    }
}

/// Commits batches until they or the time run out. Gives how many it were, how long it took, and how long each took.
pub fn commit(
    batches: &[Vec<NewEvent>],
    time: Duration,
    mut append: impl FnMut(&[NewEvent]) -> Result<()>,
) -> Result<(usize, Duration, Vec<u32>)> {
    let mut latencies = Vec::with_capacity(batches.len());
    let start = Instant::now();
    let mut before = start;
    for batch in batches {
        append(batch)?;
        let now = Instant::now();
        latencies.push((now - before).as_nanos().min(u128::from(u32::MAX)) as u32);
        before = now;
        if now - start >= time {
            break;
        }
    }
    Ok((latencies.len(), before - start, latencies))
}

/// A sample of durable commits of `len` events each: events a second.
pub fn durable_commits(store: &mut Store<'_>, time: Duration, len: usize) -> Result<(f64, Vec<u32>)> {
    // More than any disk syncs.
    let batches = store.batches((time.as_secs_f64() * 25_000.0) as usize / len.isqrt(), len);
    let (done, took, latencies) = commit(&batches, time, |batch| store.peer.append(batch, true))?;
    store.source.take_back(batches[done..].iter().flatten());
    Ok(((done * len) as f64 / took.as_secs_f64(), latencies))
}
