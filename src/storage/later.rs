//! Jobs that are run once a delay has passed, by one thread that sleeps until the next is due.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Job;
use crate::sync::Mutex;

/// Runs jobs later, in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Later(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Running(Sender<Due>, JoinHandle<()>),
    Stopped,
}

struct Due {
    at: Instant,
    job: Job,
}

#[allow(
    clippy::disallowed_methods,
    reason = "a delay is measured by the machine's own clock, whatever the time is said to be"
)]
fn now() -> Instant {
    Instant::now()
}

/// Runs what is due until nobody can submit any more; what is not due by then is dropped.
fn work(submitted: &Receiver<Due>) {
    let mut waiting: Vec<Due> = Vec::new();
    loop {
        // The latest first.
        let next = waiting.last().map(|due| due.at.saturating_duration_since(now()));
        let received = match next {
            Some(Duration::ZERO) => {
                if let Some(due) = waiting.pop() {
                    (due.job)();
                }
                continue;
            }
            Some(pause) => submitted.recv_timeout(pause),
            None => submitted.recv().map_err(RecvTimeoutError::from),
        };
        match received {
            Ok(due) => {
                let after = waiting.partition_point(|other| other.at > due.at);
                waiting.insert(after, due);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Later {
    pub(super) fn submit(&self, delay: Duration, job: Job) {
        let mut state = self.0.lock();
        if matches!(*state, State::Idle) {
            let (sender, receiver) = channel();
            match thread::Builder::new().name("atlas-later".to_owned()).spawn(move || work(&receiver)) {
                Ok(thread) => *state = State::Running(sender, thread),
                Err(error) => {
                    // Whoever drops a job unrun must not be asked for the next one at once.
                    tracing::warn!(%error, "cannot start a thread for what is to be run later; it is dropped");
                    drop(state);
                    return thread::sleep(delay);
                }
            }
        }
        if let State::Running(sender, _) = &*state {
            let due = Due { at: now() + delay, job };
            // The receiver lives as long as the sender in `state`.
            let _ = sender.send(due);
        }
    }

    /// Ends the job that runs, and drops those that wait.
    pub(super) fn stop(&self) {
        let state = std::mem::replace(&mut *self.0.lock(), State::Stopped);
        let State::Running(sender, thread) = state else { return };
        drop(sender);
        // A job may wake somebody who then drops the last handle of a store.
        if thread.thread().id() == thread::current().id() {
            return;
        }
        if thread.join().is_err() {
            tracing::error!("a job that was run later panicked");
        }
    }
}
