//! The seam between the scheduler and what holds open events beyond memory: `dispatch.redb`, or a map in tests.

use super::open_event::{LaneKey, OpenEvent};
use crate::event::{Name, Scope};

/// Rows of open events, found by scope and position, and by lane. A row that is put stands in every lane in which the
/// event has an open delivery.
pub(super) trait Shelf {
    type Error;

    /// Puts the event's row, in place of an older one.
    fn put(&mut self, event: &OpenEvent) -> Result<(), Self::Error>;

    /// Removes the event's row.
    fn remove(&mut self, event: &OpenEvent) -> Result<(), Self::Error>;

    /// Takes the event out of one lane, ahead of the next [`put`](Self::put).
    fn leave_lane(&mut self, lane: &LaneKey, position: u64) -> Result<(), Self::Error>;

    /// The row of an event; nothing in it runs.
    fn get(&mut self, scope: &Scope, position: u64) -> Result<Option<OpenEvent>, Self::Error>;

    /// Up to `count` rows of a scope from a position on, in order.
    fn rows(&mut self, scope: &Scope, from: u64, count: usize) -> Result<Vec<OpenEvent>, Self::Error>;

    /// The first position in a lane.
    fn first_in_lane(&mut self, lane: &LaneKey) -> Result<Option<u64>, Self::Error>;

    /// The first of each lane of a handler: up to `count`, of streams after `after`.
    fn heads(
        &mut self,
        scope: &Scope,
        handler: &Name,
        after: &str,
        count: usize,
    ) -> Result<Vec<(String, u64)>, Self::Error>;

    /// Keeps a time at which an event is to be looked at again.
    fn set_alarm(&mut self, at: i64, scope: &Scope, position: u64) -> Result<(), Self::Error>;

    /// Forgets such a time.
    fn clear_alarm(&mut self, at: i64, scope: &Scope, position: u64) -> Result<(), Self::Error>;

    /// Up to `count` of the events that are to be looked at by `now`.
    fn alarms(&mut self, now: i64, count: usize) -> Result<Vec<(i64, Scope, u64)>, Self::Error>;

    /// The first time kept.
    fn next_alarm(&mut self) -> Result<Option<i64>, Self::Error>;

    /// The scopes that have rows.
    fn scopes(&mut self) -> Result<Vec<Scope>, Self::Error>;
}
