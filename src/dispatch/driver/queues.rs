//! What the thread of dispatch answers about queues, and which of their messages it holds for whom.

use super::{Driver, Message, Reply};
use crate::dispatch::database::{MessageEntry, Shift};
use crate::dispatch::hold::Hold;
use crate::dispatch::queue_record::QueueGroup;
use crate::dispatch::{DispatchError, QueueInfo};
use crate::event::{Scope, Timestamp};
use crate::log::Address;

/// How many rows are read at a time.
const PAGE: usize = 256;

/// How many dead letters one take finds before it answers.
const DEAD_AT_ONCE: usize = 1_000;

/// A question about one group of a queue, or about the messages in it.
pub(in crate::dispatch) enum QueueQuestion {
    /// Whether it has messages, dead letters included.
    HasMessages(Reply<bool>),
    /// The first messages, whatever their state.
    Peek { count: usize, reply: Reply<Vec<MessageEntry>> },
    /// Dead letters, each followed by those behind it, after an address.
    Dead { after: Address, count: usize, reply: Reply<Vec<MessageEntry>> },
    /// Holds messages that can be taken, and those that were taken as often as they may be.
    Take { count: usize, max_receives: Option<u32>, reply: Reply<Taken> },
    /// Holds one message, once nobody else does; `None` where it isn't there.
    Hold { message: Address, reply: Reply<Option<(MessageEntry, Hold)>> },
    /// Keeps room for so many messages, or says that there is none.
    Reserve { count: u64, reply: Reply<Hold> },
    /// Of the messages after an address, dead letters without those behind them or all, holds those that nobody else does,
    /// and names the others.
    HoldPage { dead: bool, after: Address, count: usize, reply: Reply<HeldPage> },
}

/// Messages of a queue that are held, of some that were looked at.
pub(in crate::dispatch) struct HeldPage {
    pub(in crate::dispatch) hold: Hold,
    pub(in crate::dispatch) messages: Vec<MessageEntry>,
    /// Those that somebody else holds.
    pub(in crate::dispatch) held: Vec<Address>,
    /// The last one that was looked at; `None` where there was none.
    pub(in crate::dispatch) last: Option<Address>,
}

/// Messages of a queue that are held.
pub(in crate::dispatch) struct Taken {
    pub(in crate::dispatch) hold: Hold,
    pub(in crate::dispatch) messages: Vec<MessageEntry>,
    /// Those that are dead letters now.
    pub(in crate::dispatch) dead: Vec<MessageEntry>,
}

/// Messages that were found to be taken.
#[derive(Default)]
pub(super) struct Found {
    pub(super) messages: Vec<MessageEntry>,
    dead: Vec<MessageEntry>,
}

impl Driver {
    pub(super) fn list_queues(&mut self, scope: Option<&Scope>, now: i64) -> Result<Vec<QueueInfo>, DispatchError> {
        let mut infos = Vec::new();
        for (of, counts) in self.queues.counts() {
            if scope.is_some_and(|scope| *scope != of.scope) {
                continue;
            }
            let standing = self.lanes.shelf().standing(&of, now)?;
            infos.push(QueueInfo {
                scope: of.scope,
                name: of.queue,
                depth: counts.depth,
                leased: standing.leased,
                dead: counts.dead,
                oldest: standing.oldest.map(Timestamp::from_micros),
                group: of.group,
            });
        }
        Ok(infos)
    }

    /// Answers a question. Returns it where it can't be answered yet.
    pub(super) fn answer_of_queue(
        &mut self,
        of: QueueGroup,
        question: QueueQuestion,
        now: i64,
    ) -> Result<Option<(QueueGroup, QueueQuestion)>, DispatchError> {
        match question {
            QueueQuestion::HasMessages(reply) => {
                let _ = reply.send(Ok(self.queues.has_messages(&of)));
            }
            QueueQuestion::Peek { count, reply } => {
                let messages = self.lanes.shelf().messages(&of, Address::START, count)?;
                let _ = reply.send(Ok(messages));
            }
            QueueQuestion::Dead { after, count, reply } => {
                let dead = self.dead_letters(&of, after, count)?;
                let _ = reply.send(Ok(dead));
            }
            QueueQuestion::Take { count, max_receives, reply } => {
                let taken = self.take(&of, count, max_receives, now)?;
                let _ = reply.send(Ok(taken));
            }
            QueueQuestion::Hold { message, reply } => {
                let found = self.lanes.shelf().message(&of, message)?;
                if found.is_some() && !self.queues.hold(&of, message) {
                    // What somebody else does with it comes first.
                    return Ok(Some((of, QueueQuestion::Hold { message, reply })));
                }
                let held = found.map(|message| {
                    let hold = self.hold_of(&of, std::iter::once(&message));
                    (message, hold)
                });
                let _ = reply.send(Ok(held));
            }
            QueueQuestion::Reserve { count, reply } => {
                let _ = reply.send(self.reserve(of, count));
            }
            QueueQuestion::HoldPage { dead, after, count, reply } => {
                let from = Address::from_u64(after.to_u64().saturating_add(1));
                let shelf = self.lanes.shelf();
                let page = if dead { shelf.dead(&of, from, count)? } else { shelf.messages(&of, from, count)? };
                let last = page.last().map(|message| message.address);
                let (messages, held): (Vec<_>, Vec<_>) =
                    page.into_iter().partition(|message| self.queues.hold(&of, message.address));
                let hold = self.hold_of(&of, messages.iter());
                let held = held.into_iter().map(|message| message.address).collect();
                let _ = reply.send(Ok(HeldPage { hold, messages, held, last }));
            }
        }
        Ok(None)
    }

    fn reserve(&mut self, of: QueueGroup, count: u64) -> Result<Hold, DispatchError> {
        let left = self.queues.left(&of.scope, &of.queue, &self.context.catalog);
        if let Some(max_depth) = self.queues.max_depth(&of.scope, &of.queue)
            && count > left
        {
            let QueueGroup { scope, queue, .. } = of;
            return Err(DispatchError::QueueFull { scope, queue, count, left, max_depth });
        }
        self.queues.reserve(&of.scope, &of.queue, count);
        Ok(Hold::new(&self.context, Message::Unreserve { of, count }))
    }

    /// For whoever asked, of messages that the thread holds.
    fn hold_of<'m>(&self, of: &QueueGroup, messages: impl Iterator<Item = &'m MessageEntry>) -> Hold {
        let messages: Vec<Address> = messages.map(|message| message.address).collect();
        match messages.is_empty() {
            true => Hold::of_nothing(&self.context),
            false => Hold::new(&self.context, Message::LetGo { of: of.clone(), messages }),
        }
    }

    fn take(
        &mut self,
        of: &QueueGroup,
        count: usize,
        max_receives: Option<u32>,
        now: i64,
    ) -> Result<Taken, DispatchError> {
        let Found { messages, dead } = self.find(of, count, max_receives, now)?;
        let hold = self.hold_of(of, messages.iter().chain(&dead));
        Ok(Taken { hold, messages, dead })
    }

    /// First those whose lease or wait is over, in the order in which it was; then the oldest of the others. They are held from
    /// now on.
    pub(super) fn find(
        &mut self,
        of: &QueueGroup,
        count: usize,
        max_receives: Option<u32>,
        now: i64,
    ) -> Result<Found, DispatchError> {
        let mut found = Found::default();
        let mut after = None;
        loop {
            let page = self.lanes.shelf().due(of, after, now, PAGE.min(count.saturating_mul(2)))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            if self.take_some(of, page.into_iter().map(|(_, message)| message), count, max_receives, &mut found) {
                return Ok(found);
            }
        }
        let mut from = Address::START;
        loop {
            let page = self.lanes.shelf().free(of, from, PAGE.min(count.saturating_mul(2)))?;
            let Some(last) = page.last() else { return Ok(found) };
            from = Address::from_u64(last.address.to_u64().saturating_add(1));
            if self.take_some(of, page.into_iter(), count, max_receives, &mut found) {
                return Ok(found);
            }
        }
    }

    /// Takes messages that nobody holds. Returns whether that is enough.
    fn take_some(
        &mut self,
        of: &QueueGroup,
        messages: impl Iterator<Item = MessageEntry>,
        count: usize,
        max_receives: Option<u32>,
        taken: &mut Found,
    ) -> bool {
        for message in messages {
            if taken.messages.len() >= count || taken.dead.len() >= DEAD_AT_ONCE {
                return true;
            }
            if !self.queues.hold(of, message.address) {
                continue;
            }
            match max_receives.is_some_and(|max| message.receives >= max) {
                true => taken.dead.push(message),
                false => taken.messages.push(message),
            }
        }
        taken.messages.len() >= count || taken.dead.len() >= DEAD_AT_ONCE
    }

    fn dead_letters(
        &mut self,
        of: &QueueGroup,
        after: Address,
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        let mut found = Vec::new();
        let mut from = Address::from_u64(after.to_u64().saturating_add(1));
        while found.len() < count {
            let page = self.lanes.shelf().dead(of, from, PAGE)?;
            let Some(last) = page.last() else { break };
            from = Address::from_u64(last.address.to_u64().saturating_add(1));
            for dead in page {
                if found.len() >= count {
                    break;
                }
                let address = dead.address;
                found.push(dead);
                found.extend(self.lanes.shelf().behind(of, address, count - found.len())?);
            }
        }
        Ok(found)
    }

    /// The counts of a group change.
    pub(super) fn shift(&mut self, of: &QueueGroup, by: Shift) -> Result<(), DispatchError> {
        if by == Shift::default() {
            return Ok(());
        }
        let counts = self.queues.shift(of, by);
        self.lanes.shelf().set_counts(of, counts)?;
        if by.depth < 0 { self.offer_room(&of.scope, &of.queue) } else { Ok(()) }
    }
}
