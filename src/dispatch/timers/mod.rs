//! Timers: an event that is to come in at a time. A timer is a record of the log; when it is due its event is routed and
//! appended, together with the record that it has fired: in one append, so it comes in once. The event has the timer's id.

mod fire;
mod record;
mod schedules;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::DispatchError;
use super::claims::ClaimOf;
use super::dispatcher::{Dispatcher, blocking};
use super::driver::{Message, Question};
use super::hold::Hold;
use crate::event::{Envelope, Event, Scope, Timestamp};
use crate::log::{Address, Append, EventStore, RecordKind};

pub(super) use fire::work;
pub(super) use record::{TimerRecord, What, parse_schedule_key, parse_timer_key, timer_key};
pub use schedules::ScheduleInfo;
pub(super) use schedules::{Occurrence, last_occurrence, occur};

/// The furthest that a timer may be ahead: 100 years.
pub const MAX_TIMER_AHEAD: Duration = Duration::from_secs(100 * 366 * 86_400);

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerInfo {
    /// Its id, which its event will have.
    pub id: Uuid,
    /// The scope.
    pub scope: Scope,
    /// When it is due.
    pub due: Timestamp,
    /// The type of its event.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The stream of its event.
    pub stream: String,
    /// What caused it, where a handler set it.
    pub causation_id: Option<Uuid>,
}

/// A timer as the thread of dispatch knows it; its event is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimerEntry {
    pub(super) scope: Scope,
    pub(super) id: Uuid,
    pub(super) due: i64,
    pub(super) address: Address,
}

impl Dispatcher {
    /// Sets a timer: `event` comes into `scope` at `due`, or at once where that is over. Durable when this returns. The
    /// event is routed now, so that one which could not come in is refused, and again when it is due. Its time is `due` unless
    /// stated. Gives the timer's id, which is the event's: given, or made. The same id with the same event and time is the
    /// same timer, also once it has fired.
    ///
    /// # Errors
    /// [`DispatchError::Timer`] where the event can't be routed, is too far ahead, another one is set under the id, or this
    /// one was cancelled or its event was refused when it was due;
    /// [`DispatchError::Append`], [`DispatchError::Read`].
    pub async fn set_timer(&self, scope: &Scope, due: Timestamp, event: Event) -> Result<Uuid, DispatchError> {
        let (context, scope) = (self.context().clone(), scope.clone());
        let now = context.now();
        // Whoever else sets one under this id waits, and then finds it known.
        let claim = match event.id {
            Some(id) => Some(context.claims.claim([(ClaimOf::Timer, scope.clone(), id)].into()).await),
            None => None,
        };
        let (id, append) = blocking(self.runtime(), move || {
            let refused = |what: String| DispatchError::Timer { what };
            let ahead = due.micros().saturating_sub(now);
            if ahead > i64::try_from(MAX_TIMER_AHEAD.as_micros()).unwrap_or(i64::MAX) {
                return Err(refused(format!("{due} is more than MAX_TIMER_AHEAD, 100 years, ahead")));
            }
            context.plans.router.admit(&scope, &event).map_err(|error| refused(error.to_string()))?;
            let mut event = event.time_unless_stated(due);
            let made = || context.store.environment().entropy.uuid_v7(now);
            let id = *event.id.get_or_insert_with(made);
            let append = setting(&scope, id, due, &event).map_err(refused)?;
            match what_is_known(&context.store, &scope, id)? {
                None => Ok((id, Some(append))),
                Some(body) if append.records.iter().any(|record| record.body == body) => {
                    match why_ended(&context.store, &scope, id)? {
                        Some(why) => Err(refused(format!("the timer {id} {why}; expected a new id"))),
                        None => Ok((id, None)),
                    }
                }
                Some(_) => Err(refused(format!("another timer has the id {id}"))),
            }
        })
        .await?;
        if let Some(append) = append {
            self.append_claimed(claim, Hold::of_nothing(self.context()), append).await?;
        }
        Ok(id)
    }

    /// Takes a timer back, for good; `reason` is kept on record. Durable when this returns.
    ///
    /// # Errors
    /// [`DispatchError::NoSuchTimer`] where it was never set, has fired, or was cancelled; [`DispatchError::Append`].
    pub async fn cancel_timer(&self, scope: &Scope, id: Uuid, reason: Option<&str>) -> Result<(), DispatchError> {
        let hold = self.hold_timer(scope, id).await?;
        // It may have fired before it was held.
        let (store, of) = (self.context().store.clone(), scope.clone());
        let due = blocking(self.runtime(), move || open_timer(&store, &of, id)).await?;
        let due = due.ok_or(DispatchError::NoSuchTimer { id })?;
        let what = What::Cancelled { actor: self.acting(), reason: reason.map(|reason| self.said(reason)) };
        let append = Append::of_records();
        let append = append.record(RecordKind::Timer, timer_key(scope, id), TimerRecord { due, what }.encode());
        self.append_held(hold, append).await
    }

    /// Keeps a timer from firing, where anything fires.
    async fn hold_timer(&self, scope: &Scope, id: Uuid) -> Result<Hold, DispatchError> {
        if !self.is_serving() {
            return Ok(Hold::of_nothing(self.context()));
        }
        let of = scope.clone();
        let hold = self.ask(|reply| Message::HoldTimer { scope: of, id, reply }).await?;
        hold.ok_or(DispatchError::NoSuchTimer { id })
    }

    /// The timers that are set, by time, `limit` at most: of one scope, or all.
    ///
    /// # Errors
    /// What made dispatch stop; [`DispatchError::Read`].
    pub async fn timers(&self, scope: Option<&Scope>, limit: usize) -> Result<Vec<TimerInfo>, DispatchError> {
        let (mut entries, mut after) = (Vec::new(), None);
        while entries.len() < limit {
            let (scope, limit) = (scope.cloned(), limit - entries.len());
            let page = self.ask(|reply| Message::Ask(Question::Timers { scope, after, limit, reply })).await?;
            entries.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let store = self.context().store.clone();
        blocking(self.runtime(), move || entries.iter().map(|entry| info(&store, entry)).collect()).await
    }
}

/// The append that sets a timer; an error says why its event can't be kept.
pub(super) fn setting(scope: &Scope, id: Uuid, due: Timestamp, event: &Event) -> Result<Append, String> {
    let event = event.to_json(scope).map_err(|error| error.to_string())?;
    let record = TimerRecord { due: due.micros(), what: What::Set { event: event.into() } };
    Ok(Append::of_records().record(RecordKind::Timer, timer_key(scope, id), record.encode()))
}

/// The body of the record that set a timer, whatever became of it.
fn what_is_known(store: &EventStore, scope: &Scope, id: Uuid) -> Result<Option<Bytes>, DispatchError> {
    let mut records = store.records_with_key(RecordKind::Timer, &timer_key(scope, id))?;
    Ok((!records.is_empty()).then(|| records.swap_remove(0).body))
}

/// What has become of a timer that never fires; `None` where it is set, or has fired.
fn why_ended(store: &EventStore, scope: &Scope, id: Uuid) -> Result<Option<String>, DispatchError> {
    let records = store.records_with_key(RecordKind::Timer, &timer_key(scope, id))?;
    let Some(last) = records.last() else { return Ok(None) };
    let record = TimerRecord::decode(&last.body).ok_or(DispatchError::Record { address: last.address })?;
    Ok(match record.what {
        What::Cancelled { .. } => Some("was cancelled".to_owned()),
        What::Failed { error } => Some(format!("was due, and its event was refused: {error}")),
        What::Set { .. } | What::Fired | What::Occurred { .. } => None,
    })
}

/// When a timer is due; `None` where it isn't set any more.
fn open_timer(store: &EventStore, scope: &Scope, id: Uuid) -> Result<Option<i64>, DispatchError> {
    let mut due = None;
    for found in store.records_with_key(RecordKind::Timer, &timer_key(scope, id))? {
        let record = TimerRecord::decode(&found.body).ok_or(DispatchError::Record { address: found.address })?;
        due = matches!(record.what, What::Set { .. }).then_some(record.due);
    }
    Ok(due)
}

/// The event that a timer brings, from the record that set it.
fn event_of(store: &EventStore, scope: &Scope, id: Uuid) -> Result<Event, DispatchError> {
    let lost = || DispatchError::NoSuchTimer { id };
    let body = what_is_known(store, scope, id)?.ok_or_else(lost)?;
    match TimerRecord::decode(&body).map(|record| record.what) {
        Some(What::Set { event }) => {
            let envelope =
                Envelope::from_json(&event).map_err(|error| DispatchError::Timer { what: error.to_string() })?;
            Ok(envelope.to_event()?)
        }
        _ => Err(lost()),
    }
}

fn info(store: &EventStore, entry: &TimerEntry) -> Result<TimerInfo, DispatchError> {
    let event = event_of(store, &entry.scope, entry.id)?;
    Ok(TimerInfo {
        id: entry.id,
        scope: entry.scope.clone(),
        due: Timestamp::from_micros(entry.due),
        event_type: event.event_type,
        stream: event.stream,
        causation_id: event.causation_id,
    })
}
