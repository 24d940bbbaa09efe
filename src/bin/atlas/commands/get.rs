//! `atlas get`: one event by its id.

use std::path::Path;

use atlas::log::{EventStore, RecordedEvent};
use atlas::{Atlas, Scope, Uuid};

use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// The arguments that name an event.
#[derive(Debug, clap::Args)]
pub(crate) struct EventArguments {
    /// The event's id
    #[arg(value_name = "EVENT-ID")]
    id: Uuid,
    /// The event's scope, where several scopes know the id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

impl EventArguments {
    pub(crate) fn find(&self, store: &EventStore) -> Outcome<RecordedEvent> {
        the_event(store, self.id, self.scope.as_ref())
    }
}

/// Show an event
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas get 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e")]
pub(crate) struct Arguments {
    #[command(flatten)]
    event: EventArguments,
    /// With type and data as the newest version of its type has them, by the upcasts of the catalogue
    #[arg(long)]
    lifted: bool,
}

pub(crate) async fn run(arguments: &Arguments, dir: &Path, output: &mut Output) -> Outcome {
    if arguments.lifted {
        return directory::work(dir, Opening::Look, async |atlas| lifted(atlas, arguments, output)).await;
    }
    directory::look(dir, |store| {
        let event = arguments.event.find(store)?;
        if output.json { output.json_line(&event.envelope()) } else { output.json_pretty(&event.envelope()) }
    })
}

fn lifted(atlas: &Atlas, arguments: &Arguments, output: &mut Output) -> Outcome {
    let event = arguments.event.find(atlas.store())?;
    let lifted = atlas.router().lift(&event)?;
    let mut envelope = event.envelope();
    envelope.event_type = lifted.event_type.as_str().into();
    if event.content_type().is_none() {
        envelope.data = Some(serde_json::from_slice(&lifted.data)?);
    }
    if output.json { output.json_line(&envelope) } else { output.json_pretty(&envelope) }
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
