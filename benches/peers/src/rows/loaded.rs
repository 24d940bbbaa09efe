//! The loaded store of each peer, and what the reading rows share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Context;
use crate::limit::{Cold, Walk};
use crate::peer::{Can, Keyframe, Kind, Peer, Result};
use crate::sample::{Samples, Subject, interleave};
use crate::seen::Seen;
use crate::stats::quantile;
use crate::work::{KEYFRAME_EVERY, Names, Plan, Source, keyframe_state};

/// Events of a commit while loading.
const BATCH: usize = 1_000;

/// All peers, loaded and open, and the limit.
pub struct Loaded {
    pub stores: Vec<(Kind, Arc<dyn Peer>, PathBuf)>,
    pub walk: Walk,
    walk_dir: PathBuf,
}

/// All peers, loaded and closed, and the limit.
pub struct Closed {
    pub stores: Vec<(Kind, PathBuf)>,
    pub limit: Cold,
    limit_dir: PathBuf,
}

/// Appends the first `events` of the plan.
pub fn load(peer: &dyn Peer, names: &Names, plan: &Plan, events: usize) -> Result<()> {
    let mut source = Source::new(names);
    for part in plan.order[..events.min(plan.order.len())].chunks(BATCH) {
        peer.append(&source.batch(part.iter().map(|stream| *stream as usize)), false)?;
    }
    peer.sync()
}

impl Loaded {
    pub fn load(context: &Context) -> Result<Self> {
        let (names, plan) = (&context.names, &context.plan);
        let keyframes: Vec<Keyframe> = plan
            .keyframed()
            .flat_map(|stream| {
                let versions = (1..=plan.events[stream].len() as u64 / KEYFRAME_EVERY).map(|n| n * KEYFRAME_EVERY);
                versions.map(move |version| (stream, version))
            })
            .map(|(stream, version)| Keyframe { stream: names.stream(stream), version, state: keyframe_state(version) })
            .collect();
        let walk_dir = context.dir.join("loaded-limit");
        let walk = Walk::create(&walk_dir, names, plan)?;
        let mut stores = Vec::new();
        for kind in context.reading() {
            context.progress.say(format!("loading {}", kind.name));
            let dir = context.dir.join(format!("loaded-{}", kind.name));
            if dir.exists() {
                std::fs::remove_dir_all(&dir)?;
            }
            let failed = |error| format!("loading {}: {error}", kind.name);
            let peer = (kind.open)(&dir).map_err(failed)?;
            load(peer.as_ref(), names, plan, plan.order.len()).map_err(failed)?;
            peer.keyframes(&keyframes).map_err(failed)?;
            peer.settle().map_err(failed)?;
            stores.push((*kind, peer, dir));
        }
        Ok(Self { stores, walk, walk_dir })
    }

    /// Closes all.
    pub fn close(self, context: &Context) -> Result<Closed> {
        let mut stores = Vec::new();
        for (kind, peer, dir) in self.stores {
            context.progress.say(format!("closing {}", kind.name));
            peer.close().map_err(|error| format!("closing {}: {error}", kind.name))?;
            stores.push((kind, dir));
        }
        Ok(Closed { stores, limit: self.walk.into_cold(), limit_dir: self.walk_dir })
    }
}

impl Closed {
    pub fn remove(self) -> Result<()> {
        for (_, dir) in self.stores {
            std::fs::remove_dir_all(dir)?;
        }
        Ok(std::fs::remove_dir_all(self.limit_dir)?)
    }
}

/// Whom a read is asked of.
#[derive(Clone, Copy)]
pub enum Reader<'a> {
    Peer(&'a dyn Peer),
    /// The walk in memory, checking each CRC or not.
    Limit(&'a Walk, bool),
}

impl Reader<'_> {
    pub fn read_stream(self, stream: &str, seen: &mut Seen) -> Result<Can> {
        match self {
            Self::Peer(peer) => peer.read_stream(stream, seen),
            Self::Limit(walk, crc) => walk.read_stream(stream, crc, seen).map(Some),
        }
    }

    pub fn scan(self, seen: &mut Seen) -> Result<Can> {
        match self {
            Self::Peer(peer) => peer.scan(seen),
            Self::Limit(walk, crc) => walk.scan(crc, seen).map(Some),
        }
    }

    pub fn event(self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        match self {
            Self::Peer(peer) => peer.event(stream, version, seen),
            Self::Limit(walk, crc) => walk.event(stream, version, crc, seen).map(Some),
        }
    }

    pub fn state(self, stream: &str, version: u64, seen: &mut Seen) -> Result<Can> {
        match self {
            Self::Peer(peer) => peer.state(stream, version, seen),
            Self::Limit(walk, crc) => walk.state(stream, version, crc, seen).map(Some),
        }
    }
}

/// Samples a way of reading of the limit and of all peers.
pub fn sample(
    context: &Context,
    loaded: &Loaded,
    row: &str,
    take: impl Fn(Reader<'_>) -> Result<Option<Vec<f64>>>,
) -> Result<Vec<Samples>> {
    let take = &take;
    let mut subjects = vec![
        Subject::new("limit", || take(Reader::Limit(&loaded.walk, false))),
        Subject::new("limit-crc", || take(Reader::Limit(&loaded.walk, true))),
    ];
    for (kind, peer, _) in &loaded.stores {
        subjects.push(Subject::new(kind.name, move || take(Reader::Peer(peer.as_ref()))));
    }
    interleave(context.samples, row, &mut subjects, &context.progress)
}

/// Whether a read saw what it had to.
pub fn check(what: impl FnOnce() -> String, seen: Seen, expected: Seen) -> Result<()> {
    if seen == expected {
        return Ok(());
    }
    let how = if seen.count == expected.count { ", but wrong ones or in another order" } else { "" };
    Err(format!("{}: saw {} events and states of {}{how}", what(), seen.count, expected.count).into())
}

/// Reads again and again until the time is up: events a second. Each read says how many events it must see.
pub fn rate(
    context: &Context,
    reads: &[(usize, Seen)],
    read: impl Fn(&str, &mut Seen) -> Result<Can>,
) -> Result<Option<Vec<f64>>> {
    let (mut events, mut at) = (0, 0);
    let start = Instant::now();
    loop {
        let (stream, expected) = &reads[at % reads.len()];
        let mut seen = Seen::default();
        if read(context.names.stream(*stream), &mut seen)?.is_none() {
            return Ok(None);
        }
        check(|| format!("stream {stream}"), seen, *expected)?;
        events += expected.count;
        at += 1;
        if start.elapsed() >= context.time {
            return Ok(Some(vec![events as f64 / start.elapsed().as_secs_f64()]));
        }
    }
}

/// Times each read, until they or four times a sample's time run out: the median and the 99 % quantile in microseconds.
pub fn times(
    context: &Context,
    reads: &[(usize, u64, Seen)],
    read: impl Fn(&str, u64, &mut Seen) -> Result<Can>,
) -> Result<Option<Vec<f64>>> {
    let mut micros = Vec::with_capacity(reads.len());
    let begin = Instant::now();
    for (stream, version, expected) in reads {
        let stream = context.names.stream(*stream);
        let mut seen = Seen::default();
        let start = Instant::now();
        let can = read(stream, *version, &mut seen)?;
        micros.push(start.elapsed().as_nanos() as f64 / 1e3);
        if can.is_none() {
            return Ok(None);
        }
        check(|| format!("{stream} at {version}"), seen, *expected)?;
        if begin.elapsed() > context.time * 4 {
            break;
        }
    }
    micros.sort_by(f64::total_cmp);
    Ok(Some(vec![quantile(&micros, 0.5), quantile(&micros, 0.99)]))
}

/// Bytes that the files beneath a directory take on disk, of those whose path passes.
pub fn disk_bytes(dir: &Path, passes: &dyn Fn(&Path) -> bool) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += disk_bytes(&path, passes)?;
        } else if passes(&path) {
            bytes += path.metadata()?.blocks() * 512;
        }
    }
    Ok(bytes)
}
