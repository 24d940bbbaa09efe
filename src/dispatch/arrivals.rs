//! Events that come in by themselves: of timers, of schedules, of input queues. Each is routed and appended in one append with
//! the record that says so, or that says why it was refused: so it comes in once.

use std::sync::Arc;
use std::time::Duration;

use super::DispatchError;
use super::context::Context;
use super::driver::Message;
use super::prepare::cut;
use crate::config::ConfigError;
use crate::event::{Event, Scope};
use crate::log::{Append, AppendError};
use crate::routing::RouteError;

/// When what found no room on the disk, or no catalog, is tried again.
pub(super) const LATER: Duration = Duration::from_secs(1);

/// What became of an event that was to come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is on record that it came in, or was refused.
    OnRecord,
    /// Nothing can come in at the moment.
    Later,
    /// This one can't in this process; others may.
    NotHere(String),
}

impl Arrival {
    /// When it is to be tried again, and whether that is not in this process; `None` where it is on record.
    pub(super) fn put_off(self, context: &Context) -> Option<(i64, bool)> {
        match self {
            Self::OnRecord => None,
            Self::Later => Some((context.after(LATER), false)),
            Self::NotHere(error) => {
                tracing::warn!(error, "an event is due, and waits for a process that can tell whether it may come in");
                Some((context.after(LATER), true))
            }
        }
    }
}

/// Whether what was put off until `at` is to wait still: a clock that was set back doesn't make that longer.
pub(super) fn is_later(at: i64, now: i64) -> bool {
    let wait = i64::try_from(LATER.as_micros()).unwrap_or(i64::MAX);
    at > now && at.saturating_sub(now) <= wait
}

/// Tells dispatch should the work vanish with the runtime.
pub(super) struct Vigil {
    context: Arc<Context>,
    ended: bool,
}

impl Vigil {
    /// Before the work first runs: a runtime that shuts down may drop it without.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, ended: false }
    }

    pub(super) fn watch(mut self, work: impl FnOnce(&Context)) {
        work(&self.context);
        self.ended = true;
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        if !self.ended {
            self.context.mailbox.send(Message::Lost);
        }
    }
}

/// Whether an event can come in.
#[derive(Debug)]
pub(super) enum Admission {
    /// It has the revision that routes it.
    Admitted,
    /// Its id is known: what was accepted once stays so.
    Known,
    /// For good.
    Refused(String),
    /// This process can't tell: its build lacks what a schema needs, or something of the configuration is damaged.
    Unusable(String),
    /// It is to be tried again.
    Later,
}

/// Gives an event the revision that routes it.
pub(super) fn admit(context: &Context, scope: &Scope, event: &mut Event) -> Result<Admission, DispatchError> {
    if let Some(id) = event.id
        && let Some(known) = context.store.event(scope, id)?
    {
        event.revision = known.revision();
        return Ok(Admission::Known);
    }
    Ok(match context.plans.router.admit(scope, event) {
        Ok(plan) => {
            event.revision = Some(plan.revision);
            Admission::Admitted
        }
        Err(error) => not_admitted(&error),
    })
}

/// What an error of routing says about an event.
pub(super) fn not_admitted(error: &RouteError) -> Admission {
    match error {
        RouteError::Config(ConfigError::Schema { .. } | ConfigError::Damaged { .. }) => {
            Admission::Unusable(error.to_string())
        }
        // Of the moment, and not of the event.
        RouteError::Config(_) | RouteError::Read(_) => Admission::Later,
        error => Admission::Refused(error.to_string()),
    }
}

/// What becomes of an event that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is lost but for the record.
    IsFinal,
    /// It is kept, and can be tried again.
    IsKept,
}

/// Has an event come in with the record that `record` adds to its append, given why the event is refused where it is.
pub(super) fn arrive(
    context: &Context,
    scope: &Scope,
    mut event: Event,
    refusal: Refusal,
    record: impl Fn(Append, Option<String>) -> Append,
) -> Result<Arrival, DispatchError> {
    let on_record = |is_written: bool| if is_written { Arrival::OnRecord } else { Arrival::Later };
    let refused = |error: String| {
        if refusal == Refusal::IsFinal {
            tracing::warn!(error, %scope, "an event is due to come in, and is refused");
        }
        let append = record(Append::of_records(), Some(cut(error, context.options.max_error)));
        written(context.store.append(append)).map(on_record)
    };
    match admit(context, scope, &mut event)? {
        Admission::Admitted | Admission::Known => {}
        Admission::Refused(error) => return refused(error),
        Admission::Unusable(error) if refusal == Refusal::IsKept => return refused(error),
        // Another process may, or this one once it is mended.
        Admission::Unusable(error) => return Ok(Arrival::NotHere(error)),
        Admission::Later => return Ok(Arrival::Later),
    }
    match context.store.append(record(Append::to(scope).event(event), None)) {
        // The event was there before, by another way: only the record is left to be written.
        Ok(receipt) if receipt.repeated => {
            written(context.store.append(record(Append::of_records(), None))).map(on_record)
        }
        // There is one event in it.
        Err(AppendError::Event { source, .. }) => refused(source.to_string()),
        Err(error) if is_of_the_event(&error) => refused(error.to_string()),
        other => written(other).map(on_record),
    }
}

/// Whether an append was refused for the events that it brings.
pub(super) fn is_of_the_event(error: &AppendError) -> bool {
    match error {
        AppendError::Event { .. }
        | AppendError::Conflict { .. }
        | AppendError::IdReused { .. }
        | AppendError::MixedIds { .. }
        | AppendError::RepeatedId { .. }
        | AppendError::TooLarge { .. } => true,
        AppendError::Empty
        | AppendError::NoSpace { .. }
        | AppendError::Poisoned { .. }
        | AppendError::LockLost
        | AppendError::Closed
        | AppendError::ReadOnly
        | AppendError::Forked { .. }
        | AppendError::Read(_) => false,
    }
}

/// Whether something is on record, or found the disk full.
pub(super) fn written<T>(appended: Result<T, AppendError>) -> Result<bool, DispatchError> {
    match appended {
        Ok(_) => Ok(true),
        Err(error) if error.is_full_disk() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
