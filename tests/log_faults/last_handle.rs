//! The last handle of a store may be dropped by whoever its own work wakes.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use atlas::EventStore;
use atlas::log::{Append, Query};
use atlas::storage::{Environment, Lane, MemoryDisk};

use crate::held_jobs::{HeldJobs, poll};
use crate::world::{event, ids, open, options, scope};

/// A task that goes on where it is woken, on the thread that wakes it.
struct Inline(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut task = self.0.lock().unwrap();
        let waker = Waker::from(self.clone());
        if let Some(running) = &mut *task
            && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *task = None;
        }
    }
}

fn start(task: impl Future<Output = ()> + Send + 'static) {
    Arc::new(Inline(Mutex::new(Some(Box::pin(task))))).wake();
}

/// Tells that the task was dropped: to its end, or with the thread that panicked.
struct Told(Sender<bool>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(!std::thread::panicking());
    }
}

fn append(store: &EventStore, number: u128) -> Pin<Box<dyn Future<Output = ()>>> {
    let appended = store.append_async(Append::to(&scope()).event(event(number)));
    Box::pin(async { drop(appended.await) })
}

#[test]
fn it_is_dropped_on_the_thread_that_commits() {
    let disk = MemoryDisk::new();
    let (sender, dropped) = channel();
    let environment = Environment::new(disk.clone());
    // Nothing is committed before the task waits for it.
    let (go, gate) = channel();
    environment.scheduler.submit(Lane::Commit, Box::new(move || gate.recv().unwrap()));
    let store = EventStore::open_with(environment, options()).unwrap();
    start(async move {
        let _told = Told(sender);
        store.append_async(Append::to(&scope()).event(event(1))).await.unwrap();
        // Queued behind what this very thread has just committed.
        assert!(poll(&mut append(&store, 2)).is_none());
        drop(store);
    });
    go.send(()).unwrap();
    assert!(dropped.recv().unwrap());
    // The directory is free, and what had its place in the queue is in the log.
    assert_eq!(ids(&open(disk).unwrap()), [1, 2]);
}

#[test]
fn it_is_dropped_by_a_subscriber_that_is_woken() {
    let disk = MemoryDisk::new();
    let (sender, dropped) = channel();
    let jobs = Arc::new(HeldJobs::default());
    let environment = Environment { scheduler: jobs.clone(), ..Environment::new(disk.clone()) };
    let store = EventStore::open_with(environment, options()).unwrap();
    assert!(poll(&mut append(&store, 1)).is_none());
    start(async move {
        let _told = Told(sender);
        let mut subscription = store.subscribe(Query::new(), 0);
        assert_eq!(subscription.next().await.unwrap().position(), 1);
        drop(store);
    });
    jobs.run();
    assert!(dropped.try_recv().unwrap());
    assert_eq!(ids(&open(disk).unwrap()), [1]);
}
