//! What is measured at one size.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::memory::Watch;
use super::raw_log::RawLog;
use super::reads::Reads;
use super::shape::Shape;
use super::table::{Column, Figure};
use super::{BATCH, Setup};
use crate::limit::{Bare, GroupCommit, raw_batch};
use crate::peer::{Peer, Result, Task};
use crate::rows::{check, disk_bytes, w3};
use crate::seen::Seen;
use crate::work::{Names, NewEvent, Random, Source};
use crate::{cold, peers};

/// Events of a bulk sample.
const BULK: u64 = 100_000;

/// A size of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Each stream has as many events as the others.
    pub streams: u64,
    pub events_of_stream: u64,
}

impl Size {
    /// So many events, in streams of 89.
    pub fn of_events(events: u64) -> Self {
        Self { streams: (events / 89).max(64), events_of_stream: 89 }
    }

    /// So many streams, of two events each.
    pub fn of_streams(streams: u64) -> Self {
        Self { streams: streams.max(64), events_of_stream: 2 }
    }

    pub fn events(self) -> u64 {
        self.streams * self.events_of_stream
    }
}

pub fn measure(setup: &Setup, size: Size) -> Result<Column> {
    let mut column = Column::new(size);
    let shape = Shape::new(size.streams, size.events_of_stream);
    let names: &'static Names = Box::leak(Box::new(Names::leak(shape.streams())));
    let mut reads = Reads::new(names, &shape);
    let say = |what: &str| setup.progress.say(format!("{} M events: {what}", size.events() as f64 / 1e6));

    say("limit");
    let dir = setup.dir.join("growth-limit");
    limit(setup, &dir, names, &shape, &mut reads, &mut column)?;
    std::fs::remove_dir_all(&dir)?;

    say("filling");
    let dir = setup.dir.join("growth-atlas");
    let mut source = Source::new(names);
    fill(&dir, &shape, &mut source, &mut column)?;
    say("opening and reading");
    opens(setup, &dir, &reads, &mut column)?;
    let peer = read(setup, &dir, &mut reads, &mut column)?;
    say("writing");
    write(setup, &peer, &mut source, &mut column)?;
    peer.close()?;
    drop(peer);
    std::fs::remove_dir_all(&dir)?;
    Ok(column)
}

fn limit(
    setup: &Setup,
    dir: &Path,
    names: &'static Names,
    shape: &Shape,
    reads: &mut Reads,
    column: &mut Column,
) -> Result<()> {
    let raw = RawLog::create(dir, names, shape)?;
    cold::warm(raw.path())?;
    for _ in 0..setup.repetitions {
        column.limit(Figure::Streams, reads.rate(setup.time, |stream, seen| raw.read_stream(stream, seen))?);
        let [median, slow] = reads.times(|stream, version, seen| raw.event(stream, version, seen))?;
        column.limit(Figure::Event, median);
        column.limit(Figure::SlowEvent, slow);
    }
    column.limit(Figure::Cached, cold::cached_share(raw.path())?);
    Ok(())
}

fn open(dir: &Path) -> Result<Arc<dyn Peer>> {
    let atlas = peers::all().into_iter().find(|kind| kind.name == "atlas").ok_or("no atlas")?;
    (atlas.open)(dir)
}

fn fill(dir: &Path, shape: &Shape, source: &mut Source<'_>, column: &mut Column) -> Result<()> {
    let mut memory = Watch::start()?;
    let peer = open(dir)?;
    let (mut number, mut seconds) = (0, 0.0);
    while number < shape.events() {
        let next = (number + BATCH).min(shape.events());
        let batch = source.batch((number..next).map(|number| shape.stream_of(number)));
        let start = Instant::now();
        peer.append(&batch, false)?;
        seconds += start.elapsed().as_secs_f64();
        number = next;
        if (number / BATCH).is_multiple_of(100) {
            memory.look()?;
        }
    }
    let start = Instant::now();
    peer.sync()?;
    seconds += start.elapsed().as_secs_f64();
    memory.look()?;
    peer.close()?;
    drop(peer);
    column.atlas(Figure::Fill, shape.events() as f64 / seconds);
    column.atlas(Figure::MemoryFilling, memory.most());
    column.atlas(Figure::Files, cold::files(dir)?.len() as f64);
    column.atlas(Figure::Disk, disk_bytes(dir, &|_| true)? as f64 / shape.events() as f64);
    Ok(())
}

fn opens(setup: &Setup, dir: &Path, reads: &Reads, column: &mut Column) -> Result<()> {
    let (stream, version, expected) = reads.single();
    for repetition in 0..=setup.repetitions {
        let mut seen = Seen::default();
        let start = Instant::now();
        let peer = open(dir)?;
        peer.first_read(stream, version, &mut seen)?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        peer.close()?;
        check(|| stream.to_owned(), seen, expected)?;
        // The first brings what it needs into the page cache.
        if repetition > 0 {
            column.atlas(Figure::Open, took);
        }
    }
    Ok(())
}

fn read(setup: &Setup, dir: &Path, reads: &mut Reads, column: &mut Column) -> Result<Arc<dyn Peer>> {
    cold::warm(dir)?;
    let mut memory = Watch::start()?;
    let peer = open(dir)?;
    for _ in 0..setup.repetitions {
        let rate = reads.rate(setup.time, |stream, seen| peer.read_stream(stream, seen).map(drop))?;
        column.atlas(Figure::Streams, rate);
        let [median, slow] = reads.times(|stream, version, seen| peer.event(stream, version, seen).map(drop))?;
        column.atlas(Figure::Event, median);
        column.atlas(Figure::SlowEvent, slow);
        memory.look()?;
    }
    column.atlas(Figure::MemoryReading, memory.most());
    column.atlas(Figure::Cached, cold::cached_share(dir)?);
    Ok(peer)
}

/// Bulk and durable single appends into the store as large as it is, in turns with the limit.
fn write(setup: &Setup, peer: &Arc<dyn Peer>, source: &mut Source<'_>, column: &mut Column) -> Result<()> {
    let mut random = Random::new(0xb01);
    let streams = source.streams();
    let bare = Bare::create(&setup.dir.join("growth-bare"))?;
    for _ in 0..setup.repetitions {
        let mut batch = || source.batch((0..BATCH).map(|_| random.below(streams)));
        let batches: Vec<_> = (0..BULK / BATCH).map(|_| batch()).collect();
        let start = Instant::now();
        batches.iter().try_for_each(|batch| peer.append(batch, false))?;
        peer.sync()?;
        column.atlas(Figure::Bulk, BULK as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        batches.iter().try_for_each(|batch| bare.write(&raw_batch(batch)))?;
        bare.sync()?;
        column.limit(Figure::Bulk, BULK as f64 / start.elapsed().as_secs_f64());
    }
    drop(bare);
    std::fs::remove_dir_all(setup.dir.join("growth-bare"))?;

    let group = Arc::new(GroupCommit::create(&setup.dir.join("growth-group"))?);
    for _ in 0..setup.repetitions {
        let shares = shares(setup, source, &mut random);
        let until = Instant::now() + setup.time;
        let appends = shares.iter().filter_map(|share| peer.clone().appends(share.clone(), until)).collect();
        let (rate, done) = w3::run_tasks(&setup.runtime, appends)?;
        w3::take_back(source, &shares, &done);
        column.atlas(Figure::Tasks, rate);
        let until = Instant::now() + setup.time;
        let task = |share| -> Task { Box::pin(group.clone().appends(share, until)) };
        column.limit(Figure::Tasks, w3::run_tasks(&setup.runtime, shares.into_iter().map(task).collect())?.0);
    }
    drop(group);
    Ok(std::fs::remove_dir_all(setup.dir.join("growth-group"))?)
}

/// What each of the 64 tasks appends: streams of its own, by chance.
fn shares(setup: &Setup, source: &mut Source<'_>, random: &mut Random) -> Vec<Vec<NewEvent>> {
    let streams = source.streams() / w3::TASKS;
    let each = w3::most_events(setup.time) / w3::TASKS;
    (0..w3::TASKS)
        .map(|task| {
            source.singles((0..each).map(|_| task + w3::TASKS * random.below(streams)).collect::<Vec<_>>().into_iter())
        })
        .collect()
}
