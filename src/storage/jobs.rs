//! Background work as jobs that an injected scheduler steps: threads in production, a seed in simulation.

use std::time::Duration;

use super::later::Later;
use crate::sync::Mutex;
use crate::sync::mpsc::{Receiver, Sender, channel};
use crate::sync::thread::{Builder, JoinHandle, current};

/// One piece of background work, run once.
pub type Job = Box<dyn FnOnce() + Send>;

/// What a job is for; jobs of one lane run one at a time, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Commits on behalf of callers who don't block. Somebody waits for it.
    Commit,
    /// Sealing, indexing, merging, verifying. Nobody waits for it.
    Behind,
}

/// Who runs background work.
pub trait Scheduler: Send + Sync + std::fmt::Debug + 'static {
    /// Takes a job, to be run soon on another thread. After [`stop`](Self::stop) jobs are dropped unrun.
    fn submit(&self, lane: Lane, job: Job);

    /// Takes a job, to be run on another thread once the delay has passed. Dropped unrun after [`stop`](Self::stop).
    fn submit_after(&self, delay: Duration, job: Job);

    /// Runs what was submitted to its end, but for what still has to wait, then stops. Called once, when the store closes
    /// or its last handle is dropped. Called from a job it doesn't wait for that job, nor for what comes behind it in its
    /// lane.
    fn stop(&self);
}

/// A thread for each lane and one for what is to be run later, each started with the first job.
#[derive(Debug)]
pub struct ThreadScheduler {
    lanes: [Mutex<State>; 2],
    later: Later,
}

enum State {
    Idle,
    Running(Sender<Job>, JoinHandle<()>),
    Stopped,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Running(..) => "Running",
            Self::Stopped => "Stopped",
        })
    }
}

impl Default for ThreadScheduler {
    fn default() -> Self {
        Self { lanes: [Mutex::new(State::Idle), Mutex::new(State::Idle)], later: Later::default() }
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job();
    }
}

impl Scheduler for ThreadScheduler {
    fn submit(&self, lane: Lane, job: Job) {
        let [commit, behind] = &self.lanes;
        let (state, name) = match lane {
            Lane::Commit => (commit, "atlas-commit"),
            Lane::Behind => (behind, "atlas-behind"),
        };
        let mut state = state.lock();
        if matches!(*state, State::Idle) {
            let (sender, receiver) = channel();
            match Builder::new().name(name.to_owned()).spawn(move || work(&receiver)) {
                Ok(thread) => *state = State::Running(sender, thread),
                Err(error) => {
                    // Without a thread the work is done here and now: slower, never lost.
                    tracing::warn!(%error, name, "cannot start a thread; its job runs on the caller's");
                    drop(state);
                    return job();
                }
            }
        }
        if let State::Running(sender, _) = &*state {
            // The receiver lives as long as the sender in `state`.
            let _ = sender.send(job);
        }
    }

    fn submit_after(&self, delay: Duration, job: Job) {
        self.later.submit(delay, job);
    }

    fn stop(&self) {
        self.later.stop();
        for lane in &self.lanes {
            let state = std::mem::replace(&mut *lane.lock(), State::Stopped);
            if let State::Running(sender, thread) = state {
                drop(sender);
                // A job may wake somebody who then drops the last handle of a store.
                if thread.thread().id() == current().id() {
                    continue;
                }
                if thread.join().is_err() {
                    tracing::error!("a background job panicked");
                }
            }
        }
    }
}
