//! Events that come in by themselves: of timers, of schedules, of input queues. Each is routed and appended in one append with
//! the record that says so, or that says why it was refused: so it comes in once.

use std::sync::Arc;
use std::time::Duration;

use super::DispatchError;
use super::context::Context;
use super::driver::Message;
use super::prepare::cut;
use crate::event::{Event, Scope};
use crate::log::{Append, AppendError};
use crate::routing::RouteError;

/// When what found no room on the disk, or no catalog, is tried again.
pub(super) const LATER: Duration = Duration::from_secs(1);

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

/// Why an event can't come in.
#[derive(Debug)]
pub(super) enum NotNow {
    /// For good.
    Refused(String),
    /// It is to be tried again.
    Later,
}

/// Gives an event the revision that routes it. What is known already was accepted once, and stays so.
pub(super) fn admit(context: &Context, scope: &Scope, event: &mut Event) -> Result<Result<(), NotNow>, DispatchError> {
    if let Some(id) = event.id
        && let Some(known) = context.store.event(scope, id)?
    {
        event.revision = known.revision();
        return Ok(Ok(()));
    }
    event.revision = match context.plans.router.admit(scope, event) {
        Ok(plan) => Some(plan.revision),
        // Of the moment, and not of the event.
        Err(RouteError::Config(_) | RouteError::Read(_)) => return Ok(Err(NotNow::Later)),
        Err(error) => return Ok(Err(NotNow::Refused(error.to_string()))),
    };
    Ok(Ok(()))
}

/// Has an event come in with the record that `record` adds to its append, given why the event is refused where it is. Returns
/// whether that is on record; else it is to be tried again.
pub(super) fn arrive(
    context: &Context,
    scope: &Scope,
    mut event: Event,
    record: impl Fn(Append, Option<String>) -> Append,
) -> Result<bool, DispatchError> {
    let refused = |error: String| {
        tracing::warn!(error, %scope, "an event is due to come in, and is refused");
        written(context.store.append(record(Append::of_records(), Some(cut(error, context.options.max_error)))))
    };
    match admit(context, scope, &mut event)? {
        Ok(()) => {}
        Err(NotNow::Later) => return Ok(false),
        Err(NotNow::Refused(error)) => return refused(error),
    }
    match context.store.append(record(Append::to(scope).event(event), None)) {
        // The event was there before, by another way: only the record is left to be written.
        Ok(receipt) if receipt.repeated => written(context.store.append(record(Append::of_records(), None))),
        Err(error) if is_of_the_event(&error) => refused(error.to_string()),
        other => written(other),
    }
}

/// Whether an append was refused for the events that it brings.
pub(super) fn is_of_the_event(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::Event { .. }
            | AppendError::IdReused { .. }
            | AppendError::TooLarge { .. }
            | AppendError::MixedIds { .. }
    )
}

/// Whether something is on record, or found the disk full.
pub(super) fn written<T>(appended: Result<T, AppendError>) -> Result<bool, DispatchError> {
    match appended {
        Ok(_) => Ok(true),
        Err(error) if error.is_full_disk() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
