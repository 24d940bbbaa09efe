//! The queue of appends: bounded in bytes, in order of arrival, one committer at a time and no timer. Under load the
//! running sync is the batching window.

use std::collections::VecDeque;

use super::ticket::Ticket;
use crate::sync::{Condvar, Mutex};

/// What waits in the queue.
pub(crate) trait Queued {
    /// Bytes it will take at most.
    fn size(&self) -> usize;
    /// Whether it must be committed alone.
    fn alone(&self) -> bool;
}

/// Who commits what was just queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The caller: nobody else commits now.
    Committer,
    /// Somebody else does already.
    Waiter,
}

#[derive(Debug)]
struct State<T> {
    queued: VecDeque<T>,
    bytes: usize,
    /// Who waits for room, in order, with the size they need; the front is let in first.
    at_the_door: VecDeque<(usize, Ticket<()>)>,
    /// Room given to those let in who have not queued yet.
    promised: usize,
    committing: bool,
    closed: bool,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct CommitQueue<T> {
    state: Mutex<State<T>>,
    idle: Condvar,
    max_bytes: usize,
    max_batch: usize,
}

/// The queue is closed.
#[derive(Debug)]
pub(crate) struct Closed;

impl<T: Queued> CommitQueue<T> {
    /// A queue of at most `max_bytes`, emptied in batches of at most `max_batch` bytes. A single entry may be larger
    /// than either and then passes alone.
    pub(crate) fn new(max_bytes: usize, max_batch: usize) -> Self {
        let state = State {
            queued: VecDeque::new(),
            bytes: 0,
            at_the_door: VecDeque::new(),
            promised: 0,
            committing: false,
            closed: false,
        };
        Self { state: Mutex::new(state), idle: Condvar::new(), max_bytes, max_batch }
    }

    /// Asks for room for `size` bytes: `None` says that there is, else the ticket is set once there is. Who is let in
    /// must [`push`](Self::push) an entry of that size; who has a ticket may be [turned away](Self::turn_away) instead.
    pub(crate) fn enter(&self, size: usize) -> Option<Ticket<()>> {
        let mut state = self.state.lock();
        if state.at_the_door.is_empty() && self.has_room(&state, size) || state.closed {
            state.promised += size;
            return None;
        }
        let ticket = Ticket::new();
        state.at_the_door.push_back((size, ticket.clone()));
        Some(ticket)
    }

    fn has_room(&self, state: &State<T>, size: usize) -> bool {
        let taken = state.bytes + state.promised;
        taken == 0 || taken + size <= self.max_bytes
    }

    #[must_use]
    fn let_in(&self, state: &mut State<T>) -> Vec<Ticket<()>> {
        let mut let_in = Vec::new();
        while let Some((size, _)) = state.at_the_door.front() {
            let size = *size;
            if !self.has_room(state, size) && !state.closed {
                break;
            }
            let Some((_, ticket)) = state.at_the_door.pop_front() else { break };
            state.promised += size;
            let_in.push(ticket);
        }
        let_in
    }

    /// Takes back a request for room, granted or not yet.
    pub(crate) fn turn_away(&self, ticket: &Ticket<()>, size: usize) {
        let mut state = self.state.lock();
        let waiting = state.at_the_door.len();
        state.at_the_door.retain(|(_, other)| !other.is(ticket));
        if state.at_the_door.len() == waiting {
            state.promised = state.promised.saturating_sub(size);
        }
        let let_in = self.let_in(&mut state);
        drop(state);
        let_in.iter().for_each(|ticket| ticket.set(()));
    }

    /// Queues what was let in. The room that it was promised is given back also where the queue is closed.
    pub(crate) fn push(&self, entry: T) -> Result<Role, Closed> {
        let mut state = self.state.lock();
        let size = entry.size();
        state.promised = state.promised.saturating_sub(size);
        if state.closed {
            return Err(Closed);
        }
        state.bytes += size;
        state.queued.push_back(entry);
        if state.committing {
            return Ok(Role::Waiter);
        }
        state.committing = true;
        Ok(Role::Committer)
    }

    /// The next batch for the committer; `None` makes it committer no more.
    pub(crate) fn next_batch(&self) -> Option<Vec<T>> {
        let mut state = self.state.lock();
        let mut batch: Vec<T> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.queued.front() {
            let fits = batch.is_empty() || (bytes + next.size() <= self.max_batch && !next.alone());
            if !fits || batch.first().is_some_and(Queued::alone) {
                break;
            }
            bytes += next.size();
            batch.extend(state.queued.pop_front());
        }
        state.bytes -= bytes;
        let let_in = self.let_in(&mut state);
        if batch.is_empty() {
            state.committing = false;
            self.idle.notify_all();
        }
        drop(state);
        let_in.iter().for_each(|ticket| ticket.set(()));
        Some(batch).filter(|batch| !batch.is_empty())
    }

    /// Whether anything waits; if not, the committer is committer no more.
    pub(crate) fn is_done(&self) -> bool {
        let mut state = self.state.lock();
        if state.queued.is_empty() {
            state.committing = false;
            self.idle.notify_all();
        }
        state.queued.is_empty()
    }

    /// Refuses further entries and blocks until what is queued was committed.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let let_in = self.let_in(&mut state);
        drop(state);
        let_in.iter().for_each(|ticket| ticket.set(()));
        let mut state = self.state.lock();
        while state.committing || !state.queued.is_empty() {
            self.idle.wait(&mut state);
        }
    }
}
