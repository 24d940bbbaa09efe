//! Tables of timers: those that are set, by the time at which they are due, and by the address of the record that set them.

use std::ops::Bound;

use redb::ReadableTable;
use uuid::Uuid;

use super::{DispatchDatabase, OCCURRED, TIMERS, TIMERS_BY_ADDRESS, decode, failed, key, number, part, scope_of};
use crate::dispatch::DispatchError;
use crate::dispatch::timers::TimerEntry;
use crate::event::Scope;
use crate::log::Address;

/// A time as bytes that order as times do.
fn in_order(due: i64) -> [u8; 8] {
    (due.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn timer_key(due: i64, scope: &Scope, id: Uuid) -> Vec<u8> {
    let mut bytes = in_order(due).to_vec();
    bytes.extend(key(&[&scope.to_string()]));
    bytes.extend_from_slice(id.as_bytes());
    bytes
}

fn entry(key: &[u8], value: &[u8]) -> Result<TimerEntry, DispatchError> {
    let bad = || DispatchError::Row { table: "timers" };
    let (due, rest) = key.split_first_chunk::<8>().ok_or_else(bad)?;
    let due = (u64::from_be_bytes(*due) ^ (1 << 63)).cast_signed();
    let (scope, id) = part("timers", rest)?;
    Ok(TimerEntry {
        scope: scope_of("timers", scope)?,
        id: Uuid::from_slice(id).map_err(|_| bad())?,
        due,
        address: Address::from_u64(decode("timers", value)?),
    })
}

impl DispatchDatabase {
    pub(in crate::dispatch) fn set_timer(&mut self, timer: &TimerEntry) -> Result<(), DispatchError> {
        self.next_timer = None;
        let (key, address) = (timer_key(timer.due, &timer.scope, timer.id), timer.address.to_u64());
        // The first record is what the timer is, should there be another of the same.
        if self.get::<u64>(TIMERS, "timers", &key)?.is_some() {
            return Ok(());
        }
        self.put(TIMERS, &key, &address)?;
        self.put(TIMERS_BY_ADDRESS, &address.to_be_bytes(), &())
    }

    /// Removes a timer that has fired, or was taken back, where it is there.
    pub(in crate::dispatch) fn end_timer(&mut self, scope: &Scope, id: Uuid, due: i64) -> Result<(), DispatchError> {
        self.next_timer = None;
        let key = timer_key(due, scope, id);
        if let Some(address) = self.get::<u64>(TIMERS, "timers", &key)? {
            self.delete(TIMERS, &key)?;
            self.delete(TIMERS_BY_ADDRESS, &address.to_be_bytes())?;
        }
        Ok(())
    }

    /// The timers that are set, by time, those after `after`, until `visit` has seen enough.
    pub(in crate::dispatch) fn visit_timers(
        &mut self,
        after: Option<&TimerEntry>,
        mut visit: impl FnMut(TimerEntry) -> bool,
    ) -> Result<(), DispatchError> {
        let after = after.map(|timer| timer_key(timer.due, &timer.scope, timer.id));
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for found in self.table(TIMERS)?.range::<&[u8]>((from, Bound::Unbounded)).map_err(failed)? {
            let (key, value) = found.map_err(failed)?;
            if !visit(entry(key.value(), value.value())?) {
                break;
            }
        }
        Ok(())
    }

    /// When the first timer is due.
    pub(in crate::dispatch) fn next_timer(&mut self) -> Result<Option<i64>, DispatchError> {
        if let Some(known) = self.next_timer {
            return Ok(known);
        }
        let mut next = None;
        self.visit_timers(None, |timer| {
            next = Some(timer.due);
            false
        })?;
        self.next_timer = Some(next);
        Ok(next)
    }

    /// Occurrences of a schedule up to `through` are done with.
    pub(in crate::dispatch) fn set_occurred(
        &mut self,
        scope: &Scope,
        schedule: &str,
        through: i64,
    ) -> Result<(), DispatchError> {
        self.put(OCCURRED, &key(&[&scope.to_string(), schedule]), &through)
    }

    /// Up to when occurrences of a schedule are done with, as far as the file knows.
    pub(in crate::dispatch) fn occurred(
        &mut self,
        scope: &Scope,
        schedule: &str,
    ) -> Result<Option<i64>, DispatchError> {
        self.get(OCCURRED, "occurred", &key(&[&scope.to_string(), schedule]))
    }

    /// Where the first of them was set.
    pub(super) fn oldest_timer(&mut self) -> Result<Option<Address>, DispatchError> {
        match self.table(TIMERS_BY_ADDRESS)?.first().map_err(failed)? {
            Some((key, _)) => Ok(Some(Address::from_u64(number("timers_by_address", key.value())?))),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_order_as_bytes_do() {
        let times = [i64::MIN, -2, 0, 1, 256, i64::MAX];
        assert!(times.windows(2).all(|pair| in_order(pair[0]) < in_order(pair[1])));
        let (scope, id) = ("bank/loans".parse().unwrap(), Uuid::from_u128(7));
        let key = timer_key(-2, &scope, id);
        let value = super::super::encode(&9_u64).unwrap();
        assert_eq!(entry(&key, &value).unwrap(), TimerEntry { scope, id, due: -2, address: Address::from_u64(9) });
    }
}
