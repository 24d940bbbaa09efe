//! How the thread of dispatch is reached: messages, and a wake-up when the log has grown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Messages for one reader, who sleeps until one comes, it is woken, or time is up.
#[derive(Debug)]
pub(super) struct Mailbox<M> {
    state: Mutex<State<M>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<M> {
    messages: VecDeque<M>,
    woken: bool,
    /// The reader is gone: messages are dropped, and whoever waits for an answer is told by that.
    closed: bool,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        let state = State { messages: VecDeque::new(), woken: false, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }
}

impl<M> Mailbox<M> {
    pub(super) fn send(&self, message: M) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            // Outside the lock: what is dropped may send a message itself.
            return drop(message);
        }
        state.messages.push_back(message);
        drop(state);
        self.arrived.notify_one();
    }

    /// All messages that are there.
    pub(super) fn take(&self) -> VecDeque<M> {
        let mut state = self.state.lock();
        state.woken = false;
        std::mem::take(&mut state.messages)
    }

    /// Sleeps until there is a message, a wake-up, or `at_most` has passed.
    pub(super) fn sleep(&self, at_most: Option<Duration>) {
        let mut state = self.state.lock();
        while state.messages.is_empty() && !state.woken {
            match at_most {
                None => self.arrived.wait(&mut state),
                Some(time) => {
                    self.arrived.wait_for(&mut state, time);
                    return;
                }
            }
        }
    }

    /// Waits for as long, or until something arrives.
    pub(super) fn pause(&self, at_most: Duration) {
        self.arrived.wait_for(&mut self.state.lock(), at_most);
    }

    /// From now on messages are dropped, as are those that nobody took.
    pub(super) fn close(&self) {
        let messages = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.messages)
        };
        drop(messages);
    }
}

impl<M: Send> Wake for Mailbox<M> {
    fn wake(self: Arc<Self>) {
        self.state.lock().woken = true;
        self.arrived.notify_one();
    }
}
