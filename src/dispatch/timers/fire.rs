//! Firing timers that are due: the event of each comes in with the record that it has fired.

use std::sync::Arc;

use super::{TimerEntry, TimerRecord, What, event_of, timer_key};
use crate::dispatch::DispatchError;
use crate::dispatch::arrivals::{Arrival, Refusal, Vigil, arrive};
use crate::dispatch::context::Context;
use crate::dispatch::driver::Message;
use crate::log::RecordKind;

/// The work of firing timers, to be run where blocking is allowed.
pub(in crate::dispatch) fn work(context: Arc<Context>, due: Vec<TimerEntry>) -> impl FnOnce() + Send + 'static {
    let vigil = Vigil::new(context);
    move || {
        vigil.watch(|context| {
            for entry in due {
                match fire(context, &entry).map(|arrival| arrival.put_off(context)) {
                    Ok(None) => {}
                    Ok(Some((at, not_here))) => context.mailbox.send(Message::FireLater { entry, at, not_here }),
                    Err(error) => context.mailbox.send(Message::Failed(error)),
                }
            }
        });
    }
}

fn fire(context: &Context, entry: &TimerEntry) -> Result<Arrival, DispatchError> {
    let TimerEntry { scope, id, due, .. } = entry;
    let event = event_of(&context.store, scope, *id)?;
    arrive(context, scope, event, Refusal::IsFinal, |append, error| {
        let what = error.map_or(What::Fired, |error| What::Failed { error });
        append.record(RecordKind::Timer, timer_key(scope, *id), TimerRecord { due: *due, what }.encode())
    })
}
