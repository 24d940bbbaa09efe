//! Occurrences of schedules: the event of each is routed and appended with the record that it has occurred. Its id follows from
//! scope, schedule and time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::record::{TimerRecord, What, schedule_key};
use crate::config::ActiveSchedule;
use crate::dispatch::DispatchError;
use crate::dispatch::arrivals::{Arrival, Refusal, Vigil, arrive};
use crate::dispatch::context::Context;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::driver::{Message, Question};
use crate::event::{Event, Name, Scope, Timestamp};
use crate::log::{EventStore, RecordKind};

/// A schedule that holds for a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleInfo {
    /// The scope.
    pub scope: Scope,
    /// Its name in the tree.
    pub name: Name,
    /// The variant whose tree has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variant: Option<Name>,
    /// When, as the tree says.
    pub cron: String,
    /// In which time zone.
    pub time_zone: String,
    /// The type of its event.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The stream of its event.
    pub stream: String,
    /// When it occurs next; `None` where it never does.
    pub next: Option<Timestamp>,
}

/// An occurrence that is due.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct Occurrence {
    pub(in crate::dispatch) active: ActiveSchedule,
    /// What the schedule is called among all of the scope.
    pub(in crate::dispatch) key: String,
    /// When it is due, in microseconds since the Unix epoch.
    pub(in crate::dispatch) due: i64,
    /// All occurrences up to here are done with by this one.
    pub(in crate::dispatch) through: i64,
}

impl Dispatcher {
    /// The schedules that hold now, with their next occurrences, by scope and name.
    ///
    /// # Errors
    /// What made dispatch stop.
    pub async fn schedules(&self, scope: Option<&Scope>) -> Result<Vec<ScheduleInfo>, DispatchError> {
        let scope = scope.cloned();
        self.ask(|reply| Message::Ask(Question::Schedules { scope, reply })).await
    }
}

/// Up to when occurrences of a schedule are done with, as the log tells.
pub(in crate::dispatch) fn last_occurrence(
    store: &EventStore,
    scope: &Scope,
    key: &str,
) -> Result<Option<i64>, DispatchError> {
    let records = store.records_with_key(RecordKind::Timer, &schedule_key(scope, key))?;
    let Some(last) = records.last() else { return Ok(None) };
    match TimerRecord::decode(&last.body).map(|record| record.what) {
        Some(What::Occurred { through, .. }) => Ok(Some(through)),
        _ => Err(DispatchError::Record { address: last.address }),
    }
}

/// The work of an occurrence, to be run where blocking is allowed.
pub(in crate::dispatch) fn occur(context: Arc<Context>, occurrence: Occurrence) -> impl FnOnce() + Send + 'static {
    let vigil = Vigil::new(context);
    move || {
        vigil.watch(|context| match append(context, &occurrence).map(|arrival| arrival.put_off(context)) {
            Ok(None) => {}
            Ok(Some((at, not_here))) => {
                let (scope, key) = (occurrence.active.scope, occurrence.key);
                context.mailbox.send(Message::OccurLater { scope, key, at, not_here });
            }
            Err(error) => context.mailbox.send(Message::Failed(error)),
        });
    }
}

fn append(context: &Context, occurrence: &Occurrence) -> Result<Arrival, DispatchError> {
    let Occurrence { active, key, due, through } = occurrence;
    let (scope, schedule) = (&active.scope, &active.schedule);
    let mut event = Event::new(schedule.event_type.as_str(), schedule.stream.as_str())
        .json(schedule.data.clone())
        .metadata(&serde_json::json!({ "schedule": active.name.as_str() }))
        .time(Timestamp::from_micros(*due))
        .id(id_of(scope, key, *due));
    if let Some(variant) = &active.variant {
        event = event.variant(variant.as_str());
    }
    arrive(context, scope, event, Refusal::IsFinal, |append, error| {
        let what = What::Occurred { schedule: key.clone(), through: *through, error };
        append.record(RecordKind::Timer, schedule_key(scope, key), TimerRecord { due: *due, what }.encode())
    })
}

/// The id of an occurrence's event: a version 7 UUID with its time in front, the rest from scope and schedule.
fn id_of(scope: &Scope, key: &str, due: i64) -> Uuid {
    let digest = Sha256::new().chain_update(format!("{scope}:{key}:{due}")).finalize();
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(digest) {
        *to = from;
    }
    Builder::from_unix_timestamp_millis(u64::try_from(due / 1_000).unwrap_or_default(), &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id once derived is derived again by every later version, or a restart would bring an event twice.
    #[test]
    fn ids_of_occurrences_stay() {
        let scope = "dutch-bank/loans".parse().unwrap();
        let id = id_of(&scope, "nightly", 1_700_000_000_000_000);
        assert_eq!(id.to_string(), "018bcfe5-6800-7758-88a1-84a18e9e0eae");
        assert_ne!(id, id_of(&scope, "nightly", 1_700_000_060_000_000));
    }
}
