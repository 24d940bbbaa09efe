//! `atlas get`: one event by its id.

use std::path::Path;

use atlas::log::{EventStore, RecordedEvent};
use atlas::{Scope, Uuid};

use crate::directory;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Show an event
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas get 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e")]
pub(crate) struct Arguments {
    /// The event's id
    #[arg(value_name = "EVENT-ID")]
    id: Uuid,
    /// The event's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

pub(crate) fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::look(dir, |store| {
        let event = the_event(store, arguments.id, arguments.scope.as_ref())?;
        if output.json { output.json_line(&event.envelope()) } else { output.json_pretty(&event.envelope()) }
    })
}

/// The one event with `id`, in `scope` where that is given.
pub(crate) fn the_event(store: &EventStore, id: Uuid, scope: Option<&Scope>) -> Outcome<RecordedEvent> {
    if let Some(scope) = scope {
        let event = store.event(scope, id)?;
        return event.ok_or_else(|| Failure::new(format!("{scope} has no event {id}")));
    }
    let mut events = store.events_with_id(id)?;
    let Some(event) = events.pop() else {
        return Err(Failure::new(format!("there is no event {id}")));
    };
    if events.is_empty() {
        return Ok(event);
    }
    events.push(event);
    let scopes: Vec<String> = events.iter().map(|event| event.scope().to_string()).collect();
    Err(ambiguous(format_args!("event {id}"), scopes))
}

/// `what` is known in several `scopes`.
pub(crate) fn ambiguous(what: impl std::fmt::Display, mut scopes: Vec<String>) -> Failure {
    scopes.sort();
    Failure::new(format!("{what} is in several scopes; expected --scope with one of {}", scopes.join(", ")))
}
