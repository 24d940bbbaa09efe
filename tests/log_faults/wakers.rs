//! Wakers are the host's code: whatever they do, the store goes on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use atlas::log::{Append, Options};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Event, EventStore, Uuid};

use crate::held_jobs::HeldJobs;
use crate::world::{event, ids, options, scope};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

fn open(options: Options) -> (EventStore, Arc<HeldJobs>) {
    let jobs = Arc::new(HeldJobs::default());
    let environment = Environment { scheduler: jobs.clone(), ..Environment::new(MemoryDisk::new()) };
    (EventStore::open_with(environment, options).unwrap(), jobs)
}

fn task(store: &EventStore, append: Append) -> Task {
    let answer = store.append_async(append);
    Box::pin(async move { drop(answer.await) })
}

/// An executor that is gone: whom it is to run it drops, as `async-task` does with a task that can't be scheduled.
struct DropsOnWake(Mutex<Option<Task>>);

impl Wake for DropsOnWake {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().unwrap().take();
        drop(task);
    }
}

#[test]
fn an_executor_that_drops_whom_it_is_to_wake_does_not_stop_the_store() {
    let (store, jobs) = open(Options { max_queue: 1 << 20, max_commit: 1 << 20, ..Options::default() });
    let large = |number| {
        let event = Event::new("A_B_C_D_1", "s").id(Uuid::from_u128(number)).data(&"x".repeat(900_000));
        task(&store, Append::to(&scope()).event(event))
    };
    let mut queued = large(1);
    assert!(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // It waits at the door, and is dropped by whoever lets it in.
    let mut at_the_door = large(2);
    let drops = Arc::new(DropsOnWake(Mutex::default()));
    assert!(at_the_door.as_mut().poll(&mut Context::from_waker(&Waker::from(drops.clone()))).is_pending());
    *drops.0.lock().unwrap() = Some(at_the_door);
    jobs.run();
    assert!(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(ids(&store), [1]);
    // The room that was promised to it is there for others.
    let mut third = large(3);
    assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    jobs.run();
    assert_eq!(ids(&store), [1, 3]);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker of somebody else's")
    }
}

#[test]
fn a_waker_that_panics_stops_nobody_else() {
    let (store, jobs) = open(options());
    let appended = |number| task(&store, Append::to(&scope()).event(event(number)));
    let (mut first, mut second) = (appended(1), appended(2));
    assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    jobs.run();
    for task in [&mut first, &mut second] {
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    assert_eq!(ids(&store), [1, 2]);
}
