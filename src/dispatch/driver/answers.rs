//! What the thread of dispatch answers, once it has followed the log as far as it went when it was asked.

use std::collections::BTreeMap;

use super::Driver;
use super::messages::{Filter, OpenEntry, OpenPage, Place, Question};
use crate::dispatch::lag::{Count, Counts, CountsPage};
use crate::dispatch::lanes::Obstacle;
use crate::dispatch::open_event::OpenEvent;
use crate::dispatch::shelf::Shelf;
use crate::dispatch::state::Stage;
use crate::dispatch::{DispatchError, Remaining, RemainingOf};
use crate::event::{Name, Scope};

/// How many rows are read at a time.
const PAGE: usize = 256;

/// How many open events one answer looks at: dispatch goes on between two.
const VISITED_AT_ONCE: usize = 4_096;

impl Driver {
    pub(super) fn answer(&mut self, now: i64) -> Result<(), DispatchError> {
        for (asked_at, question) in std::mem::take(&mut self.questions) {
            if self.follow.position() < asked_at {
                self.questions.push((asked_at, question));
                continue;
            }
            match question {
                Question::Settled(reply) => {
                    let is_settled = self.lanes.is_settled()?
                        && self.batches == 0
                        && !self.has_timers_due(now)?
                        && !self.inputs.has_any();
                    if self.runtime.is_none() || is_settled {
                        let remaining = self.remaining()?;
                        let _ = reply.send(Ok(remaining));
                    } else {
                        self.questions.push((asked_at, Question::Settled(reply)));
                    }
                }
                Question::Open(filter, reply) => {
                    let open = self.open(&filter)?;
                    let _ = reply.send(Ok(open));
                }
                Question::Counts { scope, after, reply } => {
                    let counts = self.count(scope.as_ref(), after)?;
                    let _ = reply.send(Ok(counts));
                }
                Question::Queues(scope, reply) => {
                    let queues = self.list_queues(scope.as_ref(), now)?;
                    let _ = reply.send(Ok(queues));
                }
                Question::Schedules { scope, reply } => {
                    let schedules = self.list_schedules(scope.as_ref(), now)?;
                    let _ = reply.send(Ok(schedules));
                }
                Question::Timers { scope, after, limit, reply } => {
                    let timers = self.list_timers(scope.as_ref(), after.as_ref(), limit)?;
                    let _ = reply.send(Ok(timers));
                }
                Question::QueuesInUse(reply) => {
                    let in_use = self.queues.in_use();
                    let _ = reply.send(Ok(in_use));
                }
                Question::Queue(of, question) => {
                    if let Some((of, question)) = self.answer_of_queue(of, question, now)? {
                        self.questions.push((asked_at, Question::Queue(of, question)));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn tell_watches(&mut self) -> Result<(), DispatchError> {
        let touched = if self.lanes.take_blocked_anew() {
            self.touched.clear();
            self.watches.keys().copied().collect()
        } else {
            std::mem::take(&mut self.touched)
        };
        for position in touched {
            if position > self.lanes.last() {
                // Not followed yet: the event touches it when it comes.
                continue;
            }
            let Some(scope) = self.watches.get(&position).and_then(|of| of.first()).map(|of| of.scope.clone()) else {
                continue;
            };
            if let Some(blocked) = self.lanes.blocked(&scope, position)? {
                for watch in self.watches.remove(&position).unwrap_or_default() {
                    let _ = watch.reply.send(Ok(blocked.clone()));
                }
            }
        }
        Ok(())
    }

    /// Calls `visit` with the open events, by scope and position, until it says that it has seen enough.
    fn visit_open(
        &mut self,
        scope: Option<&Scope>,
        after: Option<Place>,
        mut visit: impl FnMut(&mut Self, &OpenEvent) -> Result<bool, DispatchError>,
    ) -> Result<(), DispatchError> {
        // What is in memory gets rows, so that there is one place to page through.
        self.lanes.put_all()?;
        let mut scopes = match scope {
            Some(scope) => vec![scope.clone()],
            None => self.lanes.shelf().scopes()?,
        };
        scopes.sort();
        for scope in scopes {
            let mut from = match &after {
                Some((before, _)) if *before > scope => continue,
                Some((before, position)) if *before == scope => position.saturating_add(1),
                _ => 0,
            };
            loop {
                let rows = self.lanes.shelf().rows(&scope, from, PAGE)?;
                let Some(last) = rows.last() else { break };
                from = last.position.saturating_add(1);
                for row in &rows {
                    let in_memory = self.lanes.event(row.position).cloned();
                    if !visit(self, in_memory.as_ref().unwrap_or(row))? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn remaining(&mut self) -> Result<Remaining, DispatchError> {
        let mut counts: BTreeMap<(Scope, Name, Option<Obstacle>), u64> = BTreeMap::new();
        self.visit_open(None, None, |driver, event| {
            for (index, slot) in event.slots.iter().enumerate().filter(|(_, slot)| slot.is_open()) {
                let obstacle = driver.lanes.obstacle(event, index)?;
                *counts.entry((event.scope.clone(), slot.handler.clone(), obstacle)).or_default() += 1;
            }
            Ok(true)
        })?;
        let of = |((scope, handler, obstacle), count)| RemainingOf { scope, handler, obstacle, count };
        Ok(Remaining { handlers: counts.into_iter().map(of).collect() })
    }

    /// The open deliveries that are asked for, of some of the events.
    fn open(&mut self, filter: &Filter) -> Result<OpenPage, DispatchError> {
        let (mut entries, mut visited, mut next) = (Vec::new(), 0, None);
        self.visit_open(filter.scope.as_ref(), filter.after.clone(), |driver, event| {
            for (index, slot) in event.slots.iter().enumerate().filter(|(_, slot)| slot.is_open()) {
                if filter.parked && slot.state.stage != Stage::Parked
                    || filter.handler.as_ref().is_some_and(|handler| *handler != slot.handler)
                {
                    continue;
                }
                entries.push(OpenEntry {
                    scope: event.scope.clone(),
                    stream: event.stream.to_string(),
                    event_type: event.event_type.to_string(),
                    position: event.position,
                    event: event.id,
                    handler: slot.handler.clone(),
                    state: slot.state.clone(),
                    runs: slot.runs(),
                    obstacle: driver.lanes.obstacle(event, index)?,
                });
            }
            visited += 1;
            let goes_on = visited < VISITED_AT_ONCE && entries.len() < filter.limit;
            next = (!goes_on).then(|| (event.scope.clone(), event.position));
            Ok(goes_on)
        })?;
        Ok(OpenPage { entries, next })
    }

    /// Counts the open deliveries of some of the events.
    fn count(&mut self, scope: Option<&Scope>, after: Option<Place>) -> Result<CountsPage, DispatchError> {
        let (mut counts, mut visited, mut next) = (Counts::new(), 0, None);
        self.visit_open(scope, after, |_, event| {
            for slot in event.slots.iter().filter(|slot| slot.is_open()) {
                let key = (event.scope.clone(), slot.handler.clone());
                let of = counts.entry(key).or_insert(Count { open: 0, parked: 0, oldest: event.position });
                of.open += 1;
                of.parked += u64::from(slot.state.stage == Stage::Parked);
            }
            visited += 1;
            let goes_on = visited < VISITED_AT_ONCE;
            next = (!goes_on).then(|| (event.scope.clone(), event.position));
            Ok(goes_on)
        })?;
        Ok(CountsPage { counts, next })
    }
}
