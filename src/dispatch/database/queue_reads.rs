//! Reading the tables of queues: pages of messages, what can be taken, what is due.

use std::ops::Bound;

use redb::ReadableTable;
use uuid::Uuid;

use super::queues::{Row, State, addresses, group_key_with, message_key};
use super::{DEAD, DUE, DispatchDatabase, FREE, IN_STREAMS, MESSAGES, decode, failed, number, sortable};
use crate::dispatch::DispatchError;
use crate::dispatch::queue_record::QueueGroup;
use crate::log::Address;

/// A message of a group, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatch) struct MessageEntry {
    pub(in crate::dispatch) id: Uuid,
    pub(in crate::dispatch) address: Address,
    pub(in crate::dispatch) recorded_at: i64,
    pub(in crate::dispatch) receives: u32,
    pub(in crate::dispatch) leases: u64,
    pub(in crate::dispatch) state: State,
    /// Another message of its stream comes before it.
    pub(in crate::dispatch) behind: bool,
}

/// Where a search for what is due goes on: behind a time and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatch) struct DueAt(u64, Address);

/// The messages of a group that are leased or wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dispatch) struct Standing {
    /// How many somebody holds.
    pub(in crate::dispatch) leased: u64,
    /// When the oldest message that isn't dead was recorded.
    pub(in crate::dispatch) oldest: Option<i64>,
}

/// The address behind another.
fn behind(address: Address) -> Address {
    Address::from_u64(address.to_u64().saturating_add(1))
}

/// How many rows are read at a time.
const PAGE: usize = 256;

impl DispatchDatabase {
    fn entry(&mut self, of: &QueueGroup, address: Address, row: Row) -> Result<MessageEntry, DispatchError> {
        let behind = match row.stream {
            Some(stream) => self.first_of_stream(of, stream)?.is_some_and(|first| first != address),
            None => false,
        };
        let Row { id, recorded_at, receives, leases, state, .. } = row;
        Ok(MessageEntry { id, address, recorded_at, receives, leases, state, behind })
    }

    /// A message; `None` where the group doesn't have it.
    pub(in crate::dispatch) fn message(
        &mut self,
        of: &QueueGroup,
        address: Address,
    ) -> Result<Option<MessageEntry>, DispatchError> {
        let row = self.row(of, address)?;
        row.map(|row| self.entry(of, address, row)).transpose()
    }

    fn entries(&mut self, of: &QueueGroup, addresses: Vec<Address>) -> Result<Vec<MessageEntry>, DispatchError> {
        let entry = |address| self.message(of, address)?.ok_or(DispatchError::Row { table: "messages" });
        addresses.into_iter().map(entry).collect()
    }

    fn page_of(
        &mut self,
        (definition, name): (super::Definition, &'static str),
        (of, from): (&QueueGroup, Address),
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        let (from, to) = (message_key(of, from), group_key_with(of, &[u64::MAX]));
        let found = addresses(&self.table(definition)?, name, (&from, &to), count)?;
        self.entries(of, found)
    }

    /// Messages of a group in order, from an address on, up to `count`.
    pub(in crate::dispatch) fn messages(
        &mut self,
        of: &QueueGroup,
        from: Address,
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        let (from, to) = (message_key(of, from), group_key_with(of, &[u64::MAX]));
        let mut found = Vec::new();
        let range = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        for entry in self.table(MESSAGES)?.range::<&[u8]>(range).map_err(failed)?.take(count) {
            let (key, value) = entry.map_err(failed)?;
            let address = number("messages", key.value()).map(Address::from_u64)?;
            found.push((address, decode::<Row>("messages", value.value())?));
        }
        found.into_iter().map(|(address, row)| self.entry(of, address, row)).collect()
    }

    /// Messages that can be taken and never were held, or were given back for good, from an address on.
    pub(in crate::dispatch) fn free(
        &mut self,
        of: &QueueGroup,
        from: Address,
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        self.page_of((FREE, "free"), (of, from), count)
    }

    /// Dead letters, without those behind them, from an address on.
    pub(in crate::dispatch) fn dead(
        &mut self,
        of: &QueueGroup,
        from: Address,
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        self.page_of((DEAD, "dead"), (of, from), count)
    }

    /// Those that stand behind a message in its stream, up to `count`.
    pub(in crate::dispatch) fn behind(
        &mut self,
        of: &QueueGroup,
        first: Address,
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        let Some(stream) = self.row(of, first)?.and_then(|row| row.stream) else { return Ok(Vec::new()) };
        let from = group_key_with(of, &[stream, behind(first).to_u64()]);
        let to = group_key_with(of, &[stream, u64::MAX]);
        let found = addresses(&self.table(IN_STREAMS)?, "in_streams", (&from, &to), count)?;
        self.entries(of, found)
    }

    /// Messages whose lease or wait is over at `now`, in the order in which it was, after a place.
    pub(in crate::dispatch) fn due(
        &mut self,
        of: &QueueGroup,
        after: Option<DueAt>,
        now: i64,
        count: usize,
    ) -> Result<Vec<(DueAt, MessageEntry)>, DispatchError> {
        let DueAt(time, address) = after.unwrap_or(DueAt(0, Address::from_u64(0)));
        let from = group_key_with(of, &[time, behind(address).to_u64()]);
        let to = group_key_with(of, &[sortable(now), u64::MAX]);
        if from > to {
            return Ok(Vec::new());
        }
        let found = addresses(&self.table(DUE)?, "due", (&from, &to), count)?;
        let entries = self.entries(of, found)?.into_iter().filter_map(|entry| match entry.state {
            State::Leased(until) | State::Waiting(until) => Some((DueAt(sortable(until), entry.address), entry)),
            State::Ready | State::Dead => None,
        });
        Ok(entries.collect())
    }

    /// When the next lease or delay ends, of those that aren't over.
    pub(in crate::dispatch) fn next_due(&mut self, of: &QueueGroup, now: i64) -> Result<Option<i64>, DispatchError> {
        let after = DueAt(sortable(now), Address::from_u64(u64::MAX));
        let next = self.due(of, Some(after), i64::MAX, 1)?;
        Ok(next.first().and_then(|(_, entry)| match entry.state {
            State::Leased(until) | State::Waiting(until) => Some(until),
            State::Ready | State::Dead => None,
        }))
    }

    /// How many messages of a group are held at `now`, and how old the oldest is. Looks at all that are leased or wait.
    pub(in crate::dispatch) fn standing(&mut self, of: &QueueGroup, now: i64) -> Result<Standing, DispatchError> {
        let free = self.free(of, Address::START, 1)?;
        let mut oldest = free.first().map(|entry| (entry.address, entry.recorded_at));
        let (mut leased, mut after) = (0, None);
        loop {
            let page = self.due(of, after, i64::MAX, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (_, MessageEntry { address, recorded_at, state, .. }) in page {
                leased += u64::from(matches!(state, State::Leased(until) if until > now));
                if oldest.is_none_or(|(first, _)| address < first) {
                    oldest = Some((address, recorded_at));
                }
            }
        }
        Ok(Standing { leased, oldest: oldest.map(|(_, recorded_at)| recorded_at) })
    }
}
