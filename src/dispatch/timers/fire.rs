//! Firing timers that are due: the event of each comes in with the record that it has fired.

use std::sync::Arc;

use super::{TimerEntry, TimerRecord, What, event_of, timer_key};
use crate::dispatch::DispatchError;
use crate::dispatch::arrivals::{LATER, Refusal, Vigil, arrive};
use crate::dispatch::context::Context;
use crate::dispatch::driver::Message;
use crate::log::RecordKind;

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
    let event = event_of(&context.store, scope, *id)?;
    arrive(context, scope, event, Refusal::IsFinal, |append, error| {
        let what = error.map_or(What::Fired, |error| What::Failed { error });
        append.record(RecordKind::Timer, timer_key(scope, *id), TimerRecord { due: *due, what }.encode())
    })
}
