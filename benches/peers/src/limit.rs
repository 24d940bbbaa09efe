//! The bare limit: the same bytes without a store. Written by one pwrite and one fdatasync into space that was filled with
//! zeros before; committed in groups on a runtime; walked in memory.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

use memmap2::Mmap;
use parking_lot::{Condvar, Mutex};

use crate::peer::{Latencies, Result, one_by_one};
use crate::seen::Seen;
use crate::work::{
    DATA_LEN, KEYFRAME_EVERY, Names, NewEvent, Plan, RAW_LEN, STREAM_LEN, TYPE_LEN, keyframe_state, write_data,
};

/// Bytes of a file that writes go round in.
const SPACE: u64 = 128 << 20;
const TYPE_AT: usize = 36;
const STREAM_AT: usize = TYPE_AT + TYPE_LEN;
const DATA_AT: usize = STREAM_AT + STREAM_LEN;

/// A file filled with zeros and synced.
pub struct Bare {
    file: File,
    at: AtomicU64,
}

impl Bare {
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("bare"))?;
        let zeros = vec![0; 1 << 20];
        for at in 0..SPACE >> 20 {
            file.write_all_at(&zeros, at << 20)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: AtomicU64::new(0) })
    }

    /// One pwrite, round and round.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        let mut at = self.at.fetch_add(len, Ordering::Relaxed);
        if at + len > SPACE {
            self.at.store(len, Ordering::Relaxed);
            at = 0;
        }
        Ok(self.file.write_all_at(bytes, at)?)
    }

    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

/// A batch of events as raw bytes.
pub fn raw_batch(batch: &[NewEvent]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(batch.len() * RAW_LEN);
    for event in batch {
        push_raw(&mut raw, 0, event);
    }
    raw
}

fn push_raw(raw: &mut Vec<u8>, position: u64, event: &NewEvent) {
    let start = raw.len();
    raw.extend_from_slice(&[0; 4]);
    raw.extend_from_slice(&position.to_le_bytes());
    raw.extend_from_slice(&event.version.to_le_bytes());
    raw.extend_from_slice(event.id.as_bytes());
    raw.extend_from_slice(event.event_type.as_bytes());
    raw.extend_from_slice(event.stream.as_bytes());
    raw.extend_from_slice(&event.data);
    let crc = crc32fast::hash(&raw[start + 4..]);
    raw[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// A group commit of bare bytes: who appends leaves its bytes and a waker; a thread of its own writes what was left, syncs,
/// and wakes all in one sweep.
pub struct GroupCommit {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    bare: Bare,
    left: Mutex<Left>,
    some: Condvar,
    /// Groups that are on disk.
    done: AtomicU64,
    closed: AtomicBool,
}

#[derive(Default)]
struct Left {
    bytes: Vec<u8>,
    wakers: Vec<Waker>,
    /// The group that is being gathered.
    group: u64,
}

impl GroupCommit {
    pub fn create(dir: &Path) -> Result<Self> {
        let left = Mutex::new(Left { group: 1, ..Left::default() });
        let bare = Bare::create(dir)?;
        let (some, done, closed) = (Condvar::new(), AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { bare, left, some, done, closed });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Appends, durable when it is ready.
    pub fn append(&self, raw: Vec<u8>) -> impl Future<Output = Result<()>> + Send + 'static {
        let shared = self.shared.clone();
        let mut group = None;
        std::future::poll_fn(move |context| {
            let Some(group) = group else {
                let mut left = shared.left.lock();
                let was_empty = left.bytes.is_empty();
                left.bytes.extend_from_slice(&raw);
                left.wakers.push(context.waker().clone());
                group = Some(left.group);
                drop(left);
                if was_empty {
                    shared.some.notify_one();
                }
                return Poll::Pending;
            };
            match shared.done.load(Ordering::Acquire) >= group {
                true => Poll::Ready(Ok(())),
                // Woken by another's waker; its own is still left.
                false => Poll::Pending,
            }
        })
    }

    /// A task that appends events, each durable before the next.
    pub async fn appends(self: Arc<Self>, events: Vec<NewEvent>, until: Instant) -> Result<Latencies> {
        one_by_one(events, until, |event| self.append(raw_batch(&[event]))).await
    }
}

impl Shared {
    fn run(&self) {
        let (mut bytes, mut wakers) = (Vec::new(), Vec::new());
        loop {
            let group = {
                let mut left = self.left.lock();
                while left.bytes.is_empty() {
                    if self.closed.load(Ordering::Acquire) {
                        return;
                    }
                    self.some.wait(&mut left);
                }
                std::mem::swap(&mut bytes, &mut left.bytes);
                std::mem::swap(&mut wakers, &mut left.wakers);
                left.group += 1;
                left.group - 1
            };
            if let Err(error) = self.bare.write(&bytes).and_then(|()| self.bare.sync()) {
                eprintln!("the bare limit could not be written: {error}");
                std::process::abort();
            }
            self.done.store(group, Ordering::Release);
            bytes.clear();
            wakers.drain(..).for_each(Waker::wake);
        }
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        {
            let _left = self.shared.left.lock();
            self.shared.some.notify_one();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The loaded store as raw bytes in a mapped file, with the offsets of each stream's events and keyframes.
pub struct Walk {
    map: Mmap,
    streams: HashMap<&'static str, Vec<u64>>,
    events: u64,
    keyframes: HashMap<&'static str, Vec<u64>>,
}

impl Walk {
    #[expect(unsafe_code, reason = "the file is this harness's own and no longer written")]
    pub fn create(dir: &Path, names: &Names, plan: &Plan) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut raw = Vec::with_capacity(plan.order.len() * RAW_LEN);
        let mut streams: HashMap<_, Vec<u64>> = HashMap::new();
        for (number, stream) in plan.order.iter().enumerate() {
            let stream_number = *stream as usize;
            let stream = names.stream(stream_number);
            let offsets = streams.entry(stream).or_default();
            offsets.push(raw.len() as u64);
            let mut data = Vec::new();
            write_data(number as u64, &mut data);
            let event = NewEvent {
                id: atlas::Uuid::now_v7(),
                stream,
                stream_number,
                event_type: names.event_type(number as u64),
                version: offsets.len() as u64,
                opens: false,
                data: data.into(),
            };
            push_raw(&mut raw, number as u64 + 1, &event);
        }
        let mut keyframes: HashMap<_, Vec<u64>> = HashMap::new();
        for stream in plan.keyframed() {
            let offsets = keyframes.entry(names.stream(stream)).or_default();
            for version in 1..=plan.events[stream].len() as u64 / KEYFRAME_EVERY {
                offsets.push(raw.len() as u64);
                let state = keyframe_state(version * KEYFRAME_EVERY);
                raw.extend_from_slice(&crc32fast::hash(&state).to_le_bytes());
                raw.extend_from_slice(&state);
            }
        }
        let path = dir.join("raw");
        std::fs::write(&path, raw)?;
        let file = File::open(path)?;
        file.sync_all()?;
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map, streams, events: plan.order.len() as u64, keyframes })
    }

    #[inline]
    fn see(&self, offset: u64, crc: bool, seen: &mut Seen) -> Result<()> {
        let raw = self.map.get(offset as usize..offset as usize + RAW_LEN).ok_or("an offset beyond the end")?;
        let (stated, rest) = raw.split_first_chunk::<4>().ok_or("too short")?;
        if crc && crc32fast::hash(rest) != u32::from_le_bytes(*stated) {
            return Err("a CRC that doesn't match".into());
        }
        let version = raw.get(12..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        seen.event(version, &raw[TYPE_AT..STREAM_AT], &raw[DATA_AT..DATA_AT + DATA_LEN]);
        Ok(())
    }

    fn offsets(&self, stream: &str) -> Result<&[u64]> {
        Ok(self.streams.get(stream).ok_or("no such stream")?)
    }

    pub fn read_stream(&self, stream: &str, crc: bool, seen: &mut Seen) -> Result<()> {
        self.offsets(stream)?.iter().try_for_each(|offset| self.see(*offset, crc, seen))
    }

    pub fn scan(&self, crc: bool, seen: &mut Seen) -> Result<()> {
        (0..self.events).try_for_each(|number| self.see(number * RAW_LEN as u64, crc, seen))
    }

    /// The first events, each with its CRC.
    pub fn scan_first(&self, events: u64, seen: &mut Seen) -> Result<()> {
        (0..events.min(self.events)).try_for_each(|number| self.see(number * RAW_LEN as u64, true, seen))
    }

    pub fn event(&self, stream: &str, version: u64, crc: bool, seen: &mut Seen) -> Result<()> {
        let offset = self.offsets(stream)?.get(version as usize - 1).ok_or("no such event")?;
        self.see(*offset, crc, seen)
    }

    pub fn state(&self, stream: &str, version: u64, crc: bool, seen: &mut Seen) -> Result<()> {
        let newest = version / KEYFRAME_EVERY;
        if newest > 0 {
            let frames = self.keyframes.get(stream).ok_or("no such stream")?;
            let offset = *frames.get(newest as usize - 1).ok_or("no such keyframe")? as usize;
            let state = &self.map[offset + 4..offset + 4 + crate::work::KEYFRAME_LEN];
            if crc && crc32fast::hash(state).to_le_bytes() != self.map[offset..offset + 4] {
                return Err("a CRC that doesn't match".into());
            }
            seen.keyframe(state);
        }
        let offsets = &self.offsets(stream)?[(newest * KEYFRAME_EVERY) as usize..version as usize];
        offsets.iter().try_for_each(|offset| self.see(*offset, crc, seen))
    }
}
