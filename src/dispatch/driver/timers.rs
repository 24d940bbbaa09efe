//! Timers on the thread of dispatch: which are set follows from the log; those that are due are fired behind.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Driver;
use crate::dispatch::DispatchError;
use crate::dispatch::arrivals::is_later;
use crate::dispatch::timers::{self, TimerEntry, TimerRecord, What, parse_schedule_key, parse_timer_key};
use crate::event::Scope;
use crate::log::RoomRecord;

/// Timers that are fired in one go.
const FIRED_AT_ONCE: usize = 64;
/// Timers that wait for another process and are passed over; more put off all for a while.
const MAX_NOT_HERE: usize = 1_024;
/// How many timers one answer looks at: dispatch goes on between two.
const VISITED_AT_ONCE: usize = 4_096;
/// Timers that are being fired at once.
const MAX_FIRING: usize = 256;

/// Some of the timers that were asked for.
pub(in crate::dispatch) struct TimerPage {
    pub(in crate::dispatch) entries: Vec<TimerEntry>,
    /// Where the next ones begin; `None` where these were the last, or enough.
    pub(in crate::dispatch) next: Option<TimerEntry>,
}

/// Timers that were handed out to be fired and whose end hasn't been followed yet.
#[derive(Debug, Default)]
pub(super) struct Firing {
    handed_out: BTreeSet<(Scope, Uuid)>,
    /// When some that could not be fired are tried again, and all others with them.
    later: Option<i64>,
    /// Those that wait for another process, which can fire them.
    not_here: BTreeSet<(Scope, Uuid)>,
    /// When the first of the others is due, where it is known.
    first_due: Option<Option<i64>>,
}

impl Driver {
    pub(super) fn timer(&mut self, record: &RoomRecord) -> Result<(), DispatchError> {
        let unknown = || DispatchError::Record { address: record.address };
        let decoded = TimerRecord::decode(&record.body).ok_or_else(unknown)?;
        if let What::Occurred { schedule, through, .. } = &decoded.what {
            let scope = parse_schedule_key(&record.key).ok_or_else(unknown)?;
            self.tell_of_timer(record, &scope, Uuid::nil(), &decoded);
            return self.occurred(scope, schedule.clone(), *through);
        }
        let (scope, id) = parse_timer_key(&record.key).ok_or_else(unknown)?;
        self.firing.first_due = None;
        self.tell_of_timer(record, &scope, id, &decoded);
        let TimerRecord { due, what } = decoded;
        match what {
            What::Set { .. } => self.lanes.shelf().set_timer(&TimerEntry { scope, id, due, address: record.address }),
            What::Fired | What::Cancelled { .. } | What::Failed { .. } | What::Occurred { .. } => {
                self.lanes.shelf().end_timer(&scope, id, due)?;
                let key = (scope, id);
                self.firing.handed_out.remove(&key);
                self.firing.not_here.remove(&key);
                Ok(())
            }
        }
    }

    /// Fires what is due at `now`. Returns whether there was anything.
    pub(super) fn fire_timers(&mut self, now: i64) -> Result<bool, DispatchError> {
        if self.firing.later.is_some_and(|at| is_later(at, now)) || self.firing.handed_out.len() >= MAX_FIRING {
            return Ok(false);
        }
        self.firing.later = None;
        let Some(runtime) = self.runtime.clone() else { return Ok(false) };
        if self.first_due()?.is_none_or(|due| due > now) {
            return Ok(false);
        }
        let (mut due, firing) = (Vec::new(), &mut self.firing);
        self.lanes.shelf().visit_timers(None, |timer| {
            if timer.due > now {
                return false;
            }
            let key = (timer.scope.clone(), timer.id);
            if !firing.not_here.contains(&key) && firing.handed_out.insert(key) {
                due.push(timer);
            }
            due.len() < FIRED_AT_ONCE && firing.handed_out.len() < MAX_FIRING
        })?;
        if due.is_empty() {
            return Ok(false);
        }
        runtime.spawn_blocking(timers::work(self.context.clone(), due));
        Ok(true)
    }

    /// A timer could not be fired: it is, from `at` on.
    pub(super) fn fire_later(&mut self, entry: TimerEntry, at: i64, not_here: bool) {
        self.give_timer_back(entry.scope.clone(), entry.id);
        if not_here && self.firing.not_here.len() < MAX_NOT_HERE {
            self.firing.not_here.insert((entry.scope, entry.id));
            self.firing.first_due = None;
        } else {
            self.firing.later = Some(self.firing.later.map_or(at, |later| later.max(at)));
        }
    }

    /// When there is something to fire next: once no more are being fired, their ends wake the thread.
    pub(super) fn next_timer(&mut self) -> Result<Option<i64>, DispatchError> {
        if !self.firing.handed_out.is_empty() {
            return Ok(self.firing.later);
        }
        Ok(self.first_due()?.map(|due| self.firing.later.map_or(due, |later| later.max(due))))
    }

    /// When the first timer is due, of those that this process can fire.
    fn first_due(&mut self) -> Result<Option<i64>, DispatchError> {
        if self.firing.not_here.is_empty() {
            return self.lanes.shelf().next_timer();
        }
        if let Some(known) = self.firing.first_due {
            return Ok(known);
        }
        let (mut first, not_here) = (None, &self.firing.not_here);
        self.lanes.shelf().visit_timers(None, |timer| {
            let due = timer.due;
            first = (!not_here.contains(&(timer.scope, timer.id))).then_some(due);
            first.is_none()
        })?;
        self.firing.first_due = Some(first);
        Ok(first)
    }

    pub(super) fn is_firing(&self) -> bool {
        !self.firing.handed_out.is_empty() || self.is_occurring() || self.inputs.is_busy()
    }

    /// Keeps a timer from being fired, until its end is on record or it is given back. Returns whether that could be had.
    pub(super) fn hold_timer(&mut self, scope: Scope, id: Uuid) -> bool {
        self.firing.handed_out.insert((scope, id))
    }

    pub(super) fn give_timer_back(&mut self, scope: Scope, id: Uuid) {
        self.firing.handed_out.remove(&(scope, id));
    }

    /// Whether timers are due, or being fired.
    pub(super) fn has_timers_due(&mut self, now: i64) -> Result<bool, DispatchError> {
        Ok(self.has_schedules_due(now)
            || !self.firing.handed_out.is_empty()
            || self.first_due()?.is_some_and(|due| due <= now))
    }

    pub(super) fn list_timers(
        &mut self,
        scope: Option<&Scope>,
        after: Option<&TimerEntry>,
        limit: usize,
    ) -> Result<TimerPage, DispatchError> {
        let (mut entries, mut visited, mut next) = (Vec::new(), 0, None);
        self.lanes.shelf().visit_timers(after, |timer| {
            visited += 1;
            next = (visited >= VISITED_AT_ONCE).then(|| timer.clone());
            if scope.is_none_or(|scope| *scope == timer.scope) {
                entries.push(timer);
            }
            next.is_none() && entries.len() < limit
        })?;
        Ok(TimerPage { entries, next })
    }
}
