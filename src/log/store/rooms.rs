//! What the other rooms ask of the log: their records, what is durable, and the world that the store lives in.

use std::sync::Arc;

use super::{EventStore, until_error};
use crate::log::follow::Follow;
use crate::log::recorded::RoomRecord;
use crate::log::segment::Window;
use crate::log::view::View;
use crate::log::{Address, ReadError, RecordKind};
use crate::storage::{Environment, Fence};

impl EventStore {
    /// Shut before another may hold the directory: whoever writes to it beside the log does so behind this.
    pub(crate) fn fence(&self) -> &Fence {
        &self.inner().fence
    }

    /// The world that the store lives in.
    pub(crate) fn environment(&self) -> &Environment {
        &self.inner().environment
    }

    /// Takes in no more of what a host appends: for who compares several answers.
    pub(crate) fn stand_still(&self) {
        if let Some(beside) = &self.inner().beside {
            beside.stand_still();
        }
    }

    /// The log as it is now.
    pub(crate) fn view(&self) -> Result<Arc<View>, ReadError> {
        self.inner().current()
    }

    /// Whether it was opened for reading only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.inner().is_read_only()
    }

    /// The end of what is durable: no durable record stands at or after it.
    pub(crate) fn durable_end(&self) -> Address {
        let _ = self.inner().look();
        self.inner().durable.end()
    }

    /// Events and records of other rooms from an address on, in log order.
    pub(crate) fn follow(&self, from: Address) -> Result<Follow, ReadError> {
        Follow::new(self.inner().clone(), from)
    }

    /// Durable records of one kind from an address on, in log order.
    pub(crate) fn records(
        &self,
        kind: RecordKind,
        from: Address,
    ) -> Result<impl Iterator<Item = Result<RoomRecord, ReadError>> + Send + use<>, ReadError> {
        let view = self.inner().current()?;
        let mut number = view.part_at(from);
        let mut next = from;
        let mut window = Window::default();
        let step = move || -> Result<Option<RoomRecord>, ReadError> {
            loop {
                let Some(part) = view.part(number)? else { return Ok(None) };
                let segment = part.segment().number();
                if let Some(offset) = part.next_room(part.offset_from(next), Some(kind))? {
                    next = Address::new(segment, offset.saturating_add(1));
                    return part.room(offset, &mut window).map(Some);
                }
                number += 1;
            }
        };
        Ok(until_error(step))
    }

    /// Durable records with a key, in log order.
    pub(crate) fn records_with_key(&self, kind: RecordKind, key: &[u8]) -> Result<Vec<RoomRecord>, ReadError> {
        let view = self.inner().current()?;
        let hash = view.hash().room(kind as u8, key);
        let mut records = Vec::new();
        let mut window = Window::default();
        for part in view.keyed_parts(hash)? {
            for offset in part.rooms_with(hash, kind, key)? {
                let record = part.room(offset, &mut window)?;
                if record.key == key {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    /// Waits until the durable end is beyond `end`; [`ReadError::Closed`] once the store is closed.
    pub(crate) fn beyond(&self, end: Address) -> impl Future<Output = Result<(), ReadError>> + Send + 'static {
        let core = self.inner().clone();
        async move { core.beyond(end).await }
    }
}
