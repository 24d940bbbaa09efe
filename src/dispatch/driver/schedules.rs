//! Schedules on the thread of dispatch: which hold follows from the active configuration, what has occurred from the log.

use std::collections::{BTreeMap, BTreeSet};

use super::Driver;
use crate::config::{ActiveSchedule, Missed};
use crate::dispatch::arrivals::is_later;
use crate::dispatch::timers::{Occurrence, last_occurrence, occur};
use crate::dispatch::{DispatchError, ScheduleInfo};
use crate::event::{Scope, Timestamp};

/// Occurrences that are being written at once.
const MAX_OCCURRING: usize = 64;

/// A schedule, by scope and what it is called there: `name`, or `variant/name`.
type Key = (Scope, String);

/// The schedules that hold, and when each occurs next.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    /// The generation of the configuration that it was made from; 0: none.
    generation: u64,
    /// By the clock.
    looked_at: i64,
    known: BTreeMap<Key, Known>,
    by_time: BTreeSet<(i64, Key)>,
    /// Occurrences that were handed out and whose record hasn't been followed yet.
    occurring: BTreeSet<Key>,
    /// When some that could not be written are tried again, and all others with them.
    later: Option<i64>,
    /// Those that wait for another process, or another configuration.
    not_here: BTreeSet<Key>,
}

#[derive(Debug)]
struct Known {
    active: ActiveSchedule,
    next: Option<i64>,
}

impl Driver {
    /// Takes in what an activation has changed: a schedule that stays as it is keeps its next occurrence, unless the clock
    /// was set back meanwhile.
    fn look_at_schedules(&mut self, now: i64) -> Result<(), DispatchError> {
        if std::mem::replace(&mut self.schedules.looked_at, now) > now {
            self.schedules.known.clear();
            self.schedules.generation = 0;
        }
        let snapshot = self.context.catalog.snapshot();
        if self.schedules.generation == snapshot.generation() {
            return Ok(());
        }
        let mut known = BTreeMap::new();
        for active in snapshot.schedules() {
            let name = match &active.variant {
                Some(variant) => format!("{variant}/{}", active.name),
                None => active.name.to_string(),
            };
            let key = (active.scope.clone(), name);
            let next = match self.schedules.known.get(&key) {
                Some(before) if before.active.schedule == active.schedule => before.next,
                _ => self.first_occurrence(&key, &active, now)?,
            };
            known.insert(key, Known { active, next });
        }
        self.schedules.by_time = known.iter().filter_map(|(key, of)| Some((of.next?, key.clone()))).collect();
        self.schedules.known = known;
        self.schedules.not_here.clear();
        self.schedules.generation = snapshot.generation();
        Ok(())
    }

    /// When a schedule occurs first: after what it has done, or after it was activated.
    fn first_occurrence(&mut self, key: &Key, active: &ActiveSchedule, now: i64) -> Result<Option<i64>, DispatchError> {
        let (scope, name) = key;
        let done = match self.lanes.shelf().occurred(scope, name)? {
            Some(done) => Some(done),
            // A file that was made anew doesn't know all; asking the log looks into each of its segments.
            None if self.is_anew => {
                let done = last_occurrence(&self.context.store, scope, name)?;
                if let Some(done) = done {
                    self.lanes.shelf().set_occurred(scope, name, done)?;
                }
                done
            }
            None => None,
        };
        let activated = self.context.catalog.scheduled_since(&active.tree, &active.name, &active.schedule);
        let activated = activated.unwrap_or_else(|error| {
            tracing::warn!(%error, tree = %active.tree, "a schedule counts from now on");
            None
        });
        let activated = activated.unwrap_or(now);
        // What it was before it was changed, or left and came back, is done with. A clock that was set back says the rest.
        let since = done.map_or(activated, |done| done.max(activated)).min(now);
        let next = active.schedule.next_after(since);
        Ok(match active.schedule.missed {
            Missed::Skip if next.is_some_and(|next| next < now) => active.schedule.next_after(now),
            _ => next,
        })
    }

    /// Has what is due occur. Returns whether there was anything.
    pub(super) fn occur(&mut self, now: i64) -> Result<bool, DispatchError> {
        self.look_at_schedules(now)?;
        let Some(runtime) = self.runtime.clone() else { return Ok(false) };
        let calendar = &mut self.schedules;
        if calendar.later.is_some_and(|at| is_later(at, now)) {
            return Ok(false);
        }
        calendar.later = None;
        let mut any = false;
        for (due, key) in calendar.by_time.iter().take_while(|(due, _)| *due <= now) {
            if calendar.occurring.len() >= MAX_OCCURRING {
                break;
            }
            let Some(known) = calendar.known.get(key) else { continue };
            if !calendar.not_here.contains(key) && calendar.occurring.insert(key.clone()) {
                let (active, key, due) = (known.active.clone(), key.1.clone(), *due);
                let occurrence = Occurrence { active, key, due, through: now.max(due) };
                runtime.spawn_blocking(occur(self.context.clone(), occurrence));
                any = true;
            }
        }
        Ok(any)
    }

    /// An occurrence is on record.
    pub(super) fn occurred(&mut self, scope: Scope, schedule: String, through: i64) -> Result<(), DispatchError> {
        self.lanes.shelf().set_occurred(&scope, &schedule, through)?;
        let key = (scope, schedule);
        self.schedules.occurring.remove(&key);
        if let Some(known) = self.schedules.known.get_mut(&key) {
            if let Some(next) = known.next {
                self.schedules.by_time.remove(&(next, key.clone()));
            }
            known.next = known.active.schedule.next_after(through);
            self.schedules.by_time.extend(known.next.map(|next| (next, key)));
        }
        Ok(())
    }

    /// An occurrence could not be written: it is, from `at` on.
    pub(super) fn occur_later(&mut self, scope: Scope, key: String, at: i64, not_here: bool) {
        let (key, calendar) = ((scope, key), &mut self.schedules);
        calendar.occurring.remove(&key);
        match not_here {
            true => _ = calendar.not_here.insert(key),
            false => calendar.later = Some(calendar.later.map_or(at, |later| later.max(at))),
        }
    }

    pub(super) fn is_occurring(&self) -> bool {
        !self.schedules.occurring.is_empty()
    }

    pub(super) fn has_schedules_due(&self, now: i64) -> bool {
        let Calendar { by_time, not_here, .. } = &self.schedules;
        let first = by_time.iter().find(|(_, key)| !not_here.contains(key));
        self.is_occurring() || first.is_some_and(|(due, _)| *due <= now)
    }

    /// When something occurs next: of what is being written the record wakes the thread.
    pub(super) fn next_occurrence(&self) -> Option<i64> {
        let calendar = &self.schedules;
        if calendar.occurring.len() >= MAX_OCCURRING {
            return None;
        }
        let waits = |key: &Key| calendar.occurring.contains(key) || calendar.not_here.contains(key);
        let next = calendar.by_time.iter().find(|(_, key)| !waits(key)).map(|(due, _)| *due)?;
        Some(calendar.later.map_or(next, |later| later.max(next)))
    }

    pub(super) fn list_schedules(
        &mut self,
        scope: Option<&Scope>,
        now: i64,
    ) -> Result<Vec<ScheduleInfo>, DispatchError> {
        self.look_at_schedules(now)?;
        let wanted =
            self.schedules.known.values().filter(|known| scope.is_none_or(|scope| *scope == known.active.scope));
        let info = |Known { active, next }: &Known| ScheduleInfo {
            scope: active.scope.clone(),
            name: active.name.clone(),
            variant: active.variant.clone(),
            cron: active.schedule.cron.clone(),
            time_zone: active.schedule.time_zone.clone(),
            event_type: active.schedule.event_type.to_string(),
            stream: active.schedule.stream.clone(),
            next: next.map(Timestamp::from_micros),
        };
        Ok(wanted.map(info).collect())
    }
}
