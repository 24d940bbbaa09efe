//! Ticket, durable end and commit queue, each alone.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use shuttle::future::block_on;

use super::{Count, check, together};
use crate::log::durable::Durable;
use crate::log::queue::{CommitQueue, Queued, Role};
use crate::log::ticket::Ticket;
use crate::log::{Address, ReadError};

#[test]
fn whoever_waits_for_a_ticket_is_woken() {
    check(1, || {
        let (blocking, awaited) = (Ticket::new(), Ticket::new());
        let (set, also_set) = (blocking.clone(), awaited.clone());
        let found: Vec<u32> = together(vec![
            Box::new(move || blocking.wait()),
            Box::new(move || block_on(awaited)),
            Box::new(move || {
                set.set(1);
                also_set.set(2);
                3
            }),
        ]);
        assert_eq!(found, [1, 2, 3]);
    });
}

fn end(number: u64) -> Address {
    Address::new(1, 8 * number as u32)
}

fn advance(durable: &Durable, number: u64) {
    durable.set(end(number), number);
    durable.wake();
}

fn wait_beyond(durable: &Durable, end: Address) -> Result<(), ReadError> {
    while let Some(ticket) = durable.ticket(end)? {
        ticket.wait();
    }
    Ok(())
}

fn wait_beyond_async(durable: &Durable, end: Address) -> Result<(), ReadError> {
    while let Some(ticket) = durable.ticket(end)? {
        block_on(ticket);
    }
    Ok(())
}

#[test]
fn whoever_waits_for_the_durable_end_is_woken_and_sees_what_is_before_it() {
    check(1, || {
        let durable = Arc::new(Durable::new(end(0), 0));
        let seen = |durable: &Durable, wanted: u64| {
            let reached = u64::from(durable.end().offset()) / 8;
            assert!(reached >= wanted);
            // Position n becomes durable with end n: who sees the end finds the position.
            assert!(durable.position() >= reached);
        };
        let (advanced, blocking, awaiting) = (durable.clone(), durable.clone(), durable);
        together(vec![
            Box::new(move || (1..=3).for_each(|number| advance(&advanced, number))) as Box<_>,
            Box::new(move || {
                for wanted in 1..=3 {
                    wait_beyond(&blocking, end(wanted - 1)).unwrap();
                    seen(&blocking, wanted);
                }
            }),
            Box::new(move || {
                for wanted in 1..=3 {
                    wait_beyond_async(&awaiting, end(wanted - 1)).unwrap();
                    seen(&awaiting, wanted);
                }
            }),
        ]);
    });
}

#[test]
fn a_close_tells_whoever_waits_for_the_durable_end() {
    check(1, || {
        let durable = Arc::new(Durable::new(end(0), 0));
        let (closed, blocking, awaiting) = (durable.clone(), durable.clone(), durable);
        let until_closed = |waited: Result<(), ReadError>, number: &mut u64| match waited {
            Ok(()) => {
                *number += 1;
                true
            }
            Err(error) => {
                assert!(matches!(error, ReadError::Closed));
                false
            }
        };
        let advances: Vec<u64> = together(vec![
            Box::new(move || {
                advance(&closed, 1);
                closed.close();
                1
            }),
            Box::new(move || {
                let mut number = 0;
                while until_closed(wait_beyond(&blocking, end(number)), &mut number) {}
                number
            }),
            Box::new(move || {
                let mut number = 0;
                while until_closed(wait_beyond_async(&awaiting, end(number)), &mut number) {}
                number
            }),
        ]);
        assert_eq!(advances, [1, 1, 1], "what became durable before the close is told first");
    });
}

/// An entry of a queue: who queued it, its number there, and its answer.
#[derive(Debug)]
struct Entry {
    by: u64,
    number: u64,
    size: usize,
    answer: Ticket<u64>,
}

impl Queued for Entry {
    fn size(&self) -> usize {
        self.size
    }

    fn alone(&self) -> bool {
        false
    }
}

/// A queue with what was committed, and how many commit now.
#[derive(Debug)]
struct Work {
    queue: CommitQueue<Entry>,
    committing: Count,
    /// The number last committed, for each that queues.
    last: [Count; 3],
}

const MAX_QUEUE: usize = 10;
const MAX_BATCH: usize = 6;

impl Work {
    fn new() -> Arc<Self> {
        let queue = CommitQueue::new(MAX_QUEUE, MAX_BATCH);
        Arc::new(Self { queue, committing: Count::default(), last: Default::default() })
    }

    fn commit(&self, batch: Vec<Entry>) {
        assert_eq!(self.committing.fetch_add(1, SeqCst), 0, "one committer at a time");
        assert!(batch.len() == 1 || batch.iter().map(|entry| entry.size).sum::<usize>() <= MAX_BATCH);
        shuttle::thread::yield_now();
        for entry in &batch {
            let before = self.last[entry.by as usize].swap(entry.number, SeqCst);
            assert_eq!(before + 1, entry.number, "each once, in order of arrival");
        }
        self.committing.fetch_sub(1, SeqCst);
        batch.iter().for_each(|entry| entry.answer.set(entry.number));
    }

    /// As a blocking caller of the log does.
    fn append(self: &Arc<Self>, by: u64, number: u64, size: usize) -> Option<u64> {
        if let Some(room) = self.queue.enter(size) {
            room.wait();
        }
        self.append_let_in(by, number, size)
    }

    fn append_let_in(self: &Arc<Self>, by: u64, number: u64, size: usize) -> Option<u64> {
        let answer = Ticket::new();
        match self.queue.push(Entry { by, number, size, answer: answer.clone() }) {
            Err(_) => return None,
            Ok(Role::Waiter) => {}
            Ok(Role::Committer) => {
                if let Some(batch) = self.queue.next_batch() {
                    self.commit(batch);
                }
                if !self.queue.is_done() {
                    let work = self.clone();
                    shuttle::thread::spawn(move || {
                        while let Some(batch) = work.queue.next_batch() {
                            work.commit(batch);
                        }
                    });
                }
            }
        }
        Some(answer.wait())
    }

    fn appends(self: Arc<Self>, by: u64, sizes: [usize; 3]) -> u64 {
        let mut answered = 0;
        for (number, size) in (1..).zip(sizes) {
            match self.append(by, number, size) {
                Some(answer) => {
                    assert_eq!(answer, number);
                    answered = number;
                }
                None => break,
            }
        }
        answered
    }
}

#[test]
fn each_entry_of_the_queue_is_committed_once_by_one_committer() {
    check(1, || {
        let work = Work::new();
        let (a, b, c, checked) = (work.clone(), work.clone(), work.clone(), work);
        let answered = together(vec![
            Box::new(move || a.appends(0, [4, 4, 4])) as Box<_>,
            Box::new(move || b.appends(1, [7, 1, 7])),
            Box::new(move || c.appends(2, [20, 2, 2])),
        ]);
        assert_eq!(answered, [3, 3, 3]);
        assert_eq!(checked.last.each_ref().map(|last| last.load(SeqCst)), [3, 3, 3]);
    });
}

#[test]
fn who_is_turned_away_leaves_the_room_to_others() {
    check(1, || {
        let work = Work::new();
        let (a, b, c) = (work.clone(), work.clone(), work);
        let answered = together(vec![
            Box::new(move || a.appends(0, [9, 9, 9])) as Box<_>,
            Box::new(move || {
                let mut number = 0;
                for size in [10, 3, 10] {
                    match b.queue.enter(size) {
                        Some(ticket) => b.queue.turn_away(&ticket, size),
                        None => number = b.append_let_in(1, number + 1, size).unwrap(),
                    }
                }
                number
            }),
            Box::new(move || c.appends(2, [5, 8, 2])),
        ]);
        assert_eq!([answered[0], answered[2]], [3, 3]);
    });
}

#[test]
fn a_close_of_the_queue_waits_for_what_was_queued_and_refuses_the_rest() {
    check(1, || {
        let work = Work::new();
        let (a, b, closing, checked) = (work.clone(), work.clone(), work.clone(), work);
        let answered = together(vec![
            Box::new(move || a.appends(0, [9, 4, 9])) as Box<_>,
            Box::new(move || b.appends(1, [3, 9, 1])),
            Box::new(move || {
                closing.queue.close();
                assert_eq!(closing.committing.load(SeqCst), 0, "nobody commits after a close");
                let committed = closing.last.each_ref().map(|last| last.load(SeqCst));
                shuttle::thread::yield_now();
                assert_eq!(closing.last.each_ref().map(|last| last.load(SeqCst)), committed);
                closing.queue.close();
                0
            }),
        ]);
        let committed = checked.last.each_ref().map(|last| last.load(SeqCst));
        assert_eq!([answered[0], answered[1], 0], committed, "who was committed was answered, who was refused was not");
    });
}
