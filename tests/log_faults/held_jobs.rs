//! Background work that runs when the test says so, and futures that are polled by hand.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atlas::storage::{Job, Lane, Scheduler};

#[derive(Default)]
pub(crate) struct HeldJobs(Mutex<VecDeque<Job>>);

impl std::fmt::Debug for HeldJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldJobs")
    }
}

impl HeldJobs {
    fn next(&self) -> Option<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Runs all that was submitted, on this thread.
    pub(crate) fn run(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }
}

impl Scheduler for HeldJobs {
    fn submit(&self, _lane: Lane, job: Job) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
    }
    fn submit_after(&self, _delay: Duration, job: Job) {
        self.submit(Lane::Behind, job);
    }
    fn stop(&self) {
        self.run();
    }
}

/// What a future has come to; nobody is woken by it.
pub(crate) fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
