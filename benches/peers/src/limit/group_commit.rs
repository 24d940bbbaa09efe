//! A group commit of bare bytes, for tasks and for threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::{Bare, raw_batch};
use crate::peer::{Latencies, Result, one_by_one};
use crate::work::NewEvent;

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
