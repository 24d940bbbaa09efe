//! A value that one side sets once and the other waits for, blocking or as a future. Needs no runtime.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::{Condvar, Mutex};

/// The waiting side's and the setting side's handle alike.
#[derive(Debug)]
pub(crate) struct Ticket<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    set: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Clone for Ticket<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Ticket<T> {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State { value: None, waker: None });
        Self(Arc::new(Shared { state, set: Condvar::new() }))
    }

    /// Sets the value and wakes whoever waits.
    pub(crate) fn set(&self, value: T) {
        let waker = {
            let mut state = self.0.state.lock();
            state.value = Some(value);
            state.waker.take()
        };
        self.0.set.notify_all();
        // A waker is the host's code: where it panics, the others still wait to be woken.
        let woken = std::panic::catch_unwind(AssertUnwindSafe(|| waker.map(Waker::wake)));
        if woken.is_err() {
            tracing::error!("a waker panicked");
        }
    }

    /// Blocks until the value is set, and takes it.
    pub(crate) fn wait(&self) -> T {
        let mut state = self.0.state.lock();
        loop {
            if let Some(value) = state.value.take() {
                return value;
            }
            self.0.set.wait(&mut state);
        }
    }

    /// Whether both are handles of one ticket.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nobody holds the other side any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T> Future for Ticket<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.state.lock();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
