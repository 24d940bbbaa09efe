//! Tables of queues: which messages stand in which order, and who holds one.

use std::ops::Bound;

use redb::ReadableTable;
use uuid::Uuid;

use super::{
    DEPTHS, DispatchDatabase, LEASES, MESSAGES, decode, failed, first_key, key, key_with, number, part, scope_of,
};
use crate::dispatch::DispatchError;
use crate::event::{Name, Scope};
use crate::log::Address;

/// A message as the tables know it; its content is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatch) struct MessageEntry {
    pub(in crate::dispatch) id: Uuid,
    pub(in crate::dispatch) address: Address,
    /// Until when somebody holds it, in microseconds since the Unix epoch.
    pub(in crate::dispatch) leased_until: Option<i64>,
}

/// How many messages a queue holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatch) struct QueueDepth {
    pub(in crate::dispatch) scope: Scope,
    pub(in crate::dispatch) queue: Name,
    pub(in crate::dispatch) depth: u64,
}

fn message_key(scope: &Scope, queue: &Name, address: Address) -> Vec<u8> {
    key_with(&[&scope.to_string(), queue.as_str()], address.to_u64())
}

impl DispatchDatabase {
    pub(in crate::dispatch) fn add_message(
        &mut self,
        scope: &Scope,
        queue: &Name,
        address: Address,
        id: Uuid,
    ) -> Result<(), DispatchError> {
        self.put(MESSAGES, &message_key(scope, queue, address), &id)
    }

    /// Removes a message. Returns whether it was there.
    pub(in crate::dispatch) fn remove_message(
        &mut self,
        scope: &Scope,
        queue: &Name,
        address: Address,
    ) -> Result<bool, DispatchError> {
        let key = message_key(scope, queue, address);
        let existed = self.delete(MESSAGES, &key)?;
        if existed {
            self.delete(LEASES, &key)?;
        }
        Ok(existed)
    }

    pub(in crate::dispatch) fn lease(
        &mut self,
        scope: &Scope,
        queue: &Name,
        address: Address,
        until: i64,
    ) -> Result<(), DispatchError> {
        let key = message_key(scope, queue, address);
        let exists = self.table(MESSAGES)?.get(key.as_slice()).map_err(failed)?.is_some();
        if exists { self.put(LEASES, &key, &until) } else { Ok(()) }
    }

    /// Messages of a queue in order, from an address on, up to `count`.
    pub(in crate::dispatch) fn messages(
        &mut self,
        scope: &Scope,
        queue: &Name,
        from: Address,
        count: usize,
    ) -> Result<Vec<MessageEntry>, DispatchError> {
        let from = message_key(scope, queue, from);
        let to = message_key(scope, queue, Address::from_u64(u64::MAX));
        let mut found = Vec::new();
        {
            let messages = self.table(MESSAGES)?;
            let range = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
            for entry in messages.range::<&[u8]>(range).map_err(failed)?.take(count) {
                let (key, value) = entry.map_err(failed)?;
                let address = Address::from_u64(number("messages", key.value())?);
                found.push(MessageEntry { id: decode("messages", value.value())?, address, leased_until: None });
            }
        }
        for entry in &mut found {
            entry.leased_until = self.get(LEASES, "leases", &message_key(scope, queue, entry.address))?;
        }
        Ok(found)
    }

    /// How many messages of a queue are held by somebody at `now`.
    pub(in crate::dispatch) fn leased(&mut self, scope: &Scope, queue: &Name, now: i64) -> Result<u64, DispatchError> {
        let prefix = key(&[&scope.to_string(), queue.as_str()]);
        let mut leased = 0;
        let table = self.table(LEASES)?;
        for entry in table.range::<&[u8]>((Bound::Included(prefix.as_slice()), Bound::Unbounded)).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            if !key.value().starts_with(&prefix) {
                break;
            }
            leased += u64::from(decode::<i64>("leases", value.value())? > now);
        }
        Ok(leased)
    }

    pub(in crate::dispatch) fn set_depth(
        &mut self,
        scope: &Scope,
        queue: &Name,
        depth: u64,
    ) -> Result<(), DispatchError> {
        let key = key(&[&scope.to_string(), queue.as_str()]);
        if depth == 0 { self.delete(DEPTHS, &key).map(drop) } else { self.put(DEPTHS, &key, &depth) }
    }

    /// Every queue that holds messages.
    pub(in crate::dispatch) fn depths(&mut self) -> Result<Vec<QueueDepth>, DispatchError> {
        let mut depths = Vec::new();
        for entry in self.table(DEPTHS)?.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let (scope, rest) = part("depths", key.value())?;
            let (queue, _) = part("depths", rest)?;
            depths.push(QueueDepth {
                scope: scope_of("depths", scope)?,
                queue: Name::parse("queue", queue).map_err(|_| DispatchError::Row { table: "depths" })?,
                depth: decode("depths", value.value())?,
            });
        }
        Ok(depths)
    }

    /// The oldest message of each queue.
    pub(super) fn oldest_messages(&mut self) -> Result<Vec<Address>, DispatchError> {
        let mut oldest = Vec::new();
        for QueueDepth { scope, queue, .. } in self.depths()? {
            let prefix = key(&[&scope.to_string(), queue.as_str()]);
            if let Some(first) = first_key(&self.table(MESSAGES)?, &prefix, &prefix)? {
                oldest.push(Address::from_u64(number("messages", &first)?));
            }
        }
        Ok(oldest)
    }
}
