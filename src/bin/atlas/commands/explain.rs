//! `atlas explain`: why an event goes where it goes.

use std::path::Path;

use atlas::config::{HandlerSpec, OutOfAttempts, Target};
use atlas::routing::{ExplainedHandler, Explanation, Trial};
use atlas::{Atlas, EventType, TreeScope, Uuid};
use serde::Serialize;

use crate::commands::get::the_event;
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::{clipped, counted};

/// Explain how a type, or a recorded event, is routed: tree, revision, document, handlers in their order
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atlas explain LOAN_OFFER_SENT_COMPLETE_1 --scope bank/loans
  atlas explain 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e")]
pub(crate) struct Arguments {
    /// An event type, or the id of a recorded event
    #[arg(value_name = "TYPE|EVENT-ID")]
    what: String,
    /// The scope, TENANT/APPLICATION or TENANT/APPLICATION/VARIANT; for a type it is needed
    #[arg(long, value_name = "SCOPE")]
    scope: Option<TreeScope>,
}

/// How much of the data of a call is shown, in characters.
const DATA_SHOWN: usize = 200;

#[derive(Serialize)]
struct Explained<'a> {
    /// The event asked for, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Uuid>,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let event = arguments.what.parse::<Uuid>().ok();
        let explanation = match event {
            Some(id) => explain_event(atlas, id, arguments.scope.as_ref())?,
            None => explain_type(atlas, &arguments.what, arguments.scope.as_ref())?,
        };
        if output.json {
            return output.json_line(&Explained { event, explanation: &explanation });
        }
        text(&explanation, output)
    })
    .await
}

fn explain_event(atlas: &Atlas, id: Uuid, tree: Option<&TreeScope>) -> Outcome<Explanation> {
    let scope = tree.and_then(TreeScope::scope);
    let event = the_event(atlas.store(), id, scope.as_ref())?;
    let Some(revision) = event.revision() else {
        return Err(Failure::new(format!("event {id} was routed by no revision: it was imported as recorded history")));
    };
    Ok(atlas.router().explain_recorded(&event, revision)?)
}

fn explain_type(atlas: &Atlas, event_type: &str, tree: Option<&TreeScope>) -> Outcome<Explanation> {
    let event_type: EventType = event_type.parse()?;
    let Some(tree) = tree else {
        return Err(Failure::Usage(format!("how {event_type} is routed depends on its scope; expected --scope SCOPE")));
    };
    let Some(scope) = tree.scope() else {
        let what =
            "the tree of the default tenant serves the scopes without one of their own; expected --scope of a tenant";
        return Err(Failure::new(what));
    };
    let variant = tree.variant().map(|variant| variant.as_str());
    Ok(atlas.router().explain(&scope, variant, event_type.as_str())?)
}

fn text(explanation: &Explanation, output: &mut Output) -> Outcome {
    output.line(output.paint.heading(&explanation.event_type))?;
    if let Some(description) = &explanation.description {
        output.line(format_args!("  {description}"))?;
    }
    for tried in explanation.tried.iter().take_while(|tried| tried.tree != explanation.tree) {
        output.line(output.paint.faint(format_args!("  tree {}: not active", tried.tree)))?;
    }
    output.line(format_args!("  tree {}, revision {}", explanation.tree, explanation.revision))?;
    output.line(format_args!("  document {}, {}", explanation.file, output.paint.faint(explanation.document)))?;
    if explanation.handlers.is_empty() {
        return output.line("  no handlers: an event of this type is Complete, Success when it is appended");
    }
    output.line("  handlers, in their order:")?;
    for handler in &explanation.handlers {
        describe(handler, &explanation.file, output)?;
    }
    Ok(())
}

fn describe(handler: &ExplainedHandler, file: &str, output: &mut Output) -> Outcome {
    let HandlerSpec { name, weight, when, data, target, retry, timeout, stop_on_failure, out_of_attempts, .. } =
        &handler.spec;
    let called =
        if handler.bound { target.to_string() } else { format!("{target} ({})", output.paint.waiting("unbound here")) };
    let place = output.paint.faint(format_args!("{file}:{}", handler.line));
    output.line(format_args!("  {weight:>5}  {} -> {called}  {place}", output.paint.heading(name)))?;
    if let Some(when) = when {
        output.line(format_args!("         when {when}"))?;
    }
    if let Some(data) = data {
        output.line(format_args!("         data {data}"))?;
    }
    if let Target::Http(http) = target {
        let headers = counted(http.headers.len() as u64, "header", "headers");
        output
            .line(format_args!("         sends {}, with {headers} of its own; answer: {}", http.format, http.answer))?;
    }
    if !matches!(target, Target::Queue(_)) {
        let then = match out_of_attempts {
            OutOfAttempts::Park => "parked",
            OutOfAttempts::Fail => "Complete, Failure",
        };
        output.line(format_args!(
            "         {} attempts of at most {timeout:?} each; {:?} after the first, then {} times as long, up to {:?}; then {then}",
            retry.attempts, retry.initial, retry.multiplier, retry.max,
        ))?;
    }
    if *stop_on_failure {
        output.line("         later handlers wait for its success")?;
    }
    match &handler.trial {
        None => Ok(()),
        Some(Trial::Called(Some(calls))) => {
            output.line(format_args!("         this event: {}", counted(calls.len() as u64, "call", "calls")))?;
            calls
                .iter()
                .try_for_each(|data| output.line(format_args!("           {}", clipped(data.get(), DATA_SHOWN))))
        }
        Some(Trial::Failed { key, error }) => output.line(format_args!("         this event: {key} fails: {error}")),
        Some(Trial::Called(None)) => output.line("         this event: one call, with the whole envelope"),
        Some(Trial::Skipped) => output.line("         this event: skipped, as the guard says no"),
    }
}
