//! Firing what is due: the event of each timer is routed and appended with the record that it has fired.

use std::sync::Arc;
use std::time::Duration;

use super::{TimerEntry, TimerRecord, What, event_of, is_passing, timer_key};
use crate::dispatch::DispatchError;
use crate::dispatch::context::Context;
use crate::dispatch::driver::Message;
use crate::dispatch::prepare::cut;
use crate::event::Event;
use crate::log::{Append, AppendError, RecordKind};

/// When what found no room on the disk, or no catalog, is tried again.
pub(super) const LATER: Duration = Duration::from_secs(1);

/// Whether what was put off until `at` is to wait still: a clock that was set back doesn't make that longer.
pub(in crate::dispatch) fn is_later(at: i64, now: i64) -> bool {
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

/// The work of firing timers, to be run where blocking is allowed.
pub(in crate::dispatch) fn work(context: Arc<Context>, due: Vec<TimerEntry>) -> impl FnOnce() + Send + 'static {
    let vigil = Vigil::new(context);
    move || {
        vigil.watch(|context| {
            for entry in due {
                match fire(context, &entry) {
                    Ok(true) => {}
                    Ok(false) => context.mailbox.send(Message::FireLater { entry, at: context.after(LATER) }),
                    Err(error) => context.mailbox.send(Message::Failed(error)),
                }
            }
        });
    }
}

/// Fires a timer. Returns whether that is on record; else it is to be tried again.
fn fire(context: &Context, entry: &TimerEntry) -> Result<bool, DispatchError> {
    let TimerEntry { scope, id, due, .. } = entry;
    let record = |append: Append, what: What| {
        append.record(RecordKind::Timer, timer_key(scope, *id), TimerRecord { due: *due, what }.encode())
    };
    let mut event: Event = event_of(&context.store, scope, *id)?;
    event.revision = match context.plans.router.admit(scope, &event) {
        Ok(plan) => Some(plan.revision),
        Err(error) if is_passing(&error) => return Ok(false),
        Err(error) => return failed(context, record, error.to_string()),
    };
    match context.store.append(record(Append::to(scope).event(event), What::Fired)) {
        // The event was there before, by another way: only the record is left to be written.
        Ok(receipt) if receipt.repeated => written(context.store.append(record(Append::of_records(), What::Fired))),
        Err(error) if is_of_the_event(&error) => failed(context, record, error.to_string()),
        other => written(other),
    }
}

/// Records that the event of a timer was refused.
fn failed(context: &Context, record: impl Fn(Append, What) -> Append, error: String) -> Result<bool, DispatchError> {
    tracing::warn!(error, "a timer is due, and its event is refused");
    let what = What::Failed { error: cut(error, context.options.max_error) };
    written(context.store.append(record(Append::of_records(), what)))
}

/// Whether an append was refused for the event that it brings.
pub(super) fn is_of_the_event(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::Event { .. }
            | AppendError::IdReused { .. }
            | AppendError::TooLarge { .. }
            | AppendError::MixedIds { .. }
    )
}

pub(super) fn written<T>(appended: Result<T, AppendError>) -> Result<bool, DispatchError> {
    match appended {
        Ok(_) => Ok(true),
        Err(error) if error.is_full_disk() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
