//! What is done with messages of queues: taking, giving back, extending, acknowledging; requeueing and dropping. Each act is
//! a record of the log.
//!
//! The thread of dispatch holds a message for whoever acts on it, from the time at which it is looked at until the record
//! has been followed: so no two act on what one of them has changed meanwhile, and who got a message with the newest
//! receipt is sure of it.

use std::time::Duration;

use uuid::Uuid;

use super::DispatchError;
use super::database::{MessageEntry, State};
use super::dispatcher::{Dispatcher, blocking};
use super::driver::{HeldPage, QueueQuestion, Taken};
use super::hold::Hold;
use super::queue_record::{Happening, QueueGroup, QueueRecord, Then};
use super::queues::{MessageRef, MessageState, QueueMessage};
use crate::event::{Name, Scope};
use crate::log::{Address, Append, EventStore, RecordKind};

/// The longest lease: 12 hours.
pub const MAX_LEASE: Duration = Duration::from_secs(12 * 3_600);
/// The longest delay after which a message that was given back can be taken again: a year.
pub const MAX_NACK_DELAY: Duration = Duration::from_secs(366 * 86_400);
/// The most messages that one take gives; who asks for more gets so many.
pub const MAX_TAKE: usize = 1_000;

/// How many messages are requeued or dropped in one append.
const ACTED_ON_AT_ONCE: usize = 1_000;

fn record(append: Append, of: &QueueGroup, message: &MessageEntry, what: Happening) -> Append {
    let record = QueueRecord::Happened { of: of.clone(), message: message.address, what };
    append.record(RecordKind::Queue, message.id.as_bytes().to_vec(), record.encode())
}

/// A message that is held for an act.
struct Held {
    hold: Hold,
    of: QueueGroup,
    entry: MessageEntry,
}

fn at_most(what: &'static str, found: Duration, limit: Duration, name: &'static str) -> Result<(), DispatchError> {
    if found > limit { Err(DispatchError::TooLong { what, found, limit, name }) } else { Ok(()) }
}

impl Dispatcher {
    /// Takes up to `count` messages (at most [`MAX_TAKE`]) that nobody holds: for `lease`, at most [`MAX_LEASE`], nobody else
    /// of the group gets them. Those that aren't [acknowledged](Self::acknowledge) by then can be taken again. First come
    /// those whose lease or delay is over, in the order in which it was, then the others, oldest first. `group` is as with
    /// [`peek`](Self::peek).
    ///
    /// A message that was taken `max_receives` times becomes a dead letter instead.
    ///
    /// # Errors
    /// [`DispatchError::TooLong`], [`DispatchError::GroupMissing`], [`DispatchError::NoSuchGroup`]; others where dispatch has
    /// stopped or the lease can't be recorded: then nothing is taken.
    pub async fn take(
        &self,
        scope: &Scope,
        queue: &Name,
        group: Option<&str>,
        count: usize,
        lease: Duration,
    ) -> Result<Vec<QueueMessage>, DispatchError> {
        at_most("a lease", lease, MAX_LEASE, "MAX_LEASE")?;
        let of = self.group_of(scope, queue, group).await?;
        let count = count.min(MAX_TAKE);
        loop {
            let options = self.context().catalog.queue_options(scope, queue.as_str());
            let max_receives = options.and_then(|options| options.max_receives);
            let ask = |reply| QueueQuestion::Take { count, max_receives, reply };
            let Taken { hold, mut messages, dead } = self.ask_queue(&of, ask).await?;
            if messages.is_empty() && dead.is_empty() {
                return Ok(Vec::new());
            }
            let until = self.context().after(lease);
            let append = Append::of_records();
            let append = dead.iter().fold(append, |append, message| record(append, &of, message, Happening::Dead));
            let append = messages
                .iter()
                .fold(append, |append, message| record(append, &of, message, Happening::Leased { until }));
            self.append_held(hold, append).await?;
            if messages.is_empty() {
                // All that was found is dead: there may be more.
                continue;
            }
            let receipts: Vec<u64> = messages.iter().map(|message| message.leases.saturating_add(1)).collect();
            for message in &mut messages {
                message.receives = message.receives.saturating_add(1);
                message.state = State::Leased(until);
            }
            let mut messages = self.read_messages(of, messages, false).await?;
            for (message, receipt) in messages.iter_mut().zip(receipts) {
                message.receipt = Some(receipt);
                message.state = MessageState::Leased;
            }
            return Ok(messages);
        }
    }

    /// Removes a message that was worked on. Durable when this returns, as are all acts below.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchMessage`]; [`DispatchError::LeaseLost`] where somebody else has taken it since;
    /// [`DispatchError::GroupMissing`], [`DispatchError::NoSuchGroup`]; [`DispatchError::Append`].
    pub async fn acknowledge(&self, message: impl Into<MessageRef>) -> Result<(), DispatchError> {
        let held = self.hold(&message.into()).await?;
        self.act(held, Happening::Acknowledged).await
    }

    /// Gives a message back: its lease ends now, and it can be taken again after `delay`, at most [`MAX_NACK_DELAY`]; one
    /// that was taken `max_receives` times becomes a dead letter. `reason` is kept, cut to
    /// [`Options::max_error`](super::Options::max_error) bytes.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge); [`DispatchError::NotLeased`] where nobody took it; [`DispatchError::TooLong`].
    pub async fn nack(
        &self,
        message: impl Into<MessageRef>,
        delay: Duration,
        reason: &str,
    ) -> Result<(), DispatchError> {
        at_most("a delay", delay, MAX_NACK_DELAY, "MAX_NACK_DELAY")?;
        let message = message.into();
        let held = self.hold(&message).await?;
        if !matches!(held.entry.state, State::Leased(_)) {
            return Err(DispatchError::NotLeased { id: message.id, found: held.entry.state_at(self.context().now()) });
        }
        let options = self.context().catalog.queue_options(&held.of.scope, held.of.queue.as_str());
        let max_receives = options.and_then(|options| options.max_receives);
        let then = match max_receives {
            Some(max) if held.entry.receives >= max => Then::Dead,
            _ if delay.is_zero() => Then::Free,
            _ => Then::Waits(self.context().after(delay)),
        };
        let what = Happening::Nacked { then, reason: self.said(reason) };
        self.act(held, what).await
    }

    /// Has a lease that still runs end `lease` from now, at most [`MAX_LEASE`].
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge); [`DispatchError::NotLeased`] where no lease runs; [`DispatchError::TooLong`].
    pub async fn extend(&self, message: impl Into<MessageRef>, lease: Duration) -> Result<(), DispatchError> {
        at_most("a lease", lease, MAX_LEASE, "MAX_LEASE")?;
        let message = message.into();
        let held = self.hold(&message).await?;
        let found = held.entry.state_at(self.context().now());
        if found != MessageState::Leased {
            return Err(DispatchError::NotLeased { id: message.id, found });
        }
        let until = self.context().after(lease);
        self.act(held, Happening::Extended { until }).await
    }

    /// Has a dead letter given out again, at its place and with receives from nought; in an ordered queue those behind it
    /// follow. `reason` is kept on record, and who acts.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge); [`DispatchError::NotDead`] where it is none, also where it stands behind one.
    pub async fn requeue(&self, message: impl Into<MessageRef>, reason: Option<&str>) -> Result<(), DispatchError> {
        let message = message.into();
        let held = self.hold(&message).await?;
        if held.entry.state != State::Dead {
            return Err(DispatchError::NotDead { id: message.id, found: held.entry.state_at(self.context().now()) });
        }
        self.act(held, self.requeued(reason)).await
    }

    /// Has all dead letters of a queue given out again. Says how many, without those behind them. A thousand go in one
    /// append; where an error ends this, those before it are requeued.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub async fn requeue_all(
        &self,
        scope: &Scope,
        queue: &Name,
        group: Option<&str>,
        reason: Option<&str>,
    ) -> Result<u64, DispatchError> {
        let of = self.group_of(scope, queue, group).await?;
        self.act_on_all(&of, true, &self.requeued(reason)).await
    }

    /// Removes a message for good, whatever its state; `reason` is kept on record, and who acts.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub async fn drop_message(&self, message: impl Into<MessageRef>, reason: &str) -> Result<(), DispatchError> {
        let held = self.hold(&message.into()).await?;
        self.act(held, self.dropped(reason)).await
    }

    /// Removes all messages that a group of a queue has now, or all its dead letters without those behind them. Says how
    /// many. A thousand go in one append; where an error ends this, those before it are dropped.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub async fn drop_messages(
        &self,
        scope: &Scope,
        queue: &Name,
        group: Option<&str>,
        dead: bool,
        reason: &str,
    ) -> Result<u64, DispatchError> {
        let of = self.group_of(scope, queue, group).await?;
        self.act_on_all(&of, dead, &self.dropped(reason)).await
    }

    fn requeued(&self, reason: Option<&str>) -> Happening {
        Happening::Requeued { actor: self.acting(), reason: reason.map(|reason| self.said(reason)) }
    }

    fn dropped(&self, reason: &str) -> Happening {
        Happening::Dropped { actor: self.acting(), reason: self.said(reason) }
    }

    async fn act_on_all(&self, of: &QueueGroup, dead: bool, what: &Happening) -> Result<u64, DispatchError> {
        let (mut after, mut count) = (Address::from_u64(0), 0);
        let page_size = ACTED_ON_AT_ONCE;
        loop {
            let ask = |reply| QueueQuestion::HoldPage { dead, after, count: page_size, reply };
            let HeldPage { hold, messages: page, held, last } = self.ask_queue(of, ask).await?;
            // What comes anew meanwhile is behind, or dies again: each is acted on once.
            let Some(last) = last else { return Ok(count) };
            after = last;
            if !page.is_empty() {
                let append =
                    page.iter().fold(Append::of_records(), |append, message| record(append, of, message, what.clone()));
                self.append_held(hold, append).await?;
                count += page.len() as u64;
            }
            // What others act on at the moment comes after them, where it is still there, and still as it is asked for.
            for message in held {
                let found = self.ask_queue(of, |reply| QueueQuestion::Hold { message, reply }).await?;
                let Some((entry, hold)) = found.filter(|(entry, _)| !dead || entry.state == State::Dead) else {
                    continue;
                };
                let append = record(Append::of_records(), of, &entry, what.clone());
                self.append_held(hold, append).await?;
                count += 1;
            }
        }
    }

    /// Holds a message for an act of whoever has its newest receipt, or for an operator.
    async fn hold(&self, message: &MessageRef) -> Result<Held, DispatchError> {
        let MessageRef { id, receipt, .. } = *message;
        let (store, wanted) = (self.context().store.clone(), message.clone());
        let found = blocking(self.runtime(), move || find(&store, &wanted)).await?;
        let (scope, queue, address) = found.ok_or(DispatchError::NoSuchMessage { id })?;
        let of = self.group_of(&scope, &queue, message.group.as_deref()).await?;
        let held = self.ask_queue(&of, |reply| QueueQuestion::Hold { message: address, reply }).await?;
        let (entry, hold) = held.ok_or(DispatchError::NoSuchMessage { id })?;
        match receipt {
            // Receipts count from 1.
            Some(receipt) if receipt != entry.leases || receipt == 0 => {
                let newest = (entry.leases > receipt).then_some(entry.leases);
                Err(DispatchError::LeaseLost { id, receipt, newest })
            }
            _ => Ok(Held { hold, of, entry }),
        }
    }

    async fn act(&self, held: Held, what: Happening) -> Result<(), DispatchError> {
        let append = record(Append::of_records(), &held.of, &held.entry, what);
        self.append_held(held.hold, append).await
    }
}

/// Where a message was put.
fn find(store: &EventStore, wanted: &MessageRef) -> Result<Option<(Scope, Name, Address)>, DispatchError> {
    let id: Uuid = wanted.id;
    let mut found = None;
    for record in store.records_with_key(RecordKind::Queue, id.as_bytes())? {
        let decoded = QueueRecord::decode(&record.body).ok_or(DispatchError::Record { address: record.address })?;
        if let QueueRecord::Message(message) = decoded
            && wanted.scope.as_ref().is_none_or(|scope| *scope == message.scope)
            && wanted.queue.as_ref().is_none_or(|queue| *queue == message.queue)
        {
            found = Some((message.scope, message.queue, record.address));
        }
    }
    Ok(found)
}
