//! `atlas trail`: every step of an event that is on record.

use std::path::Path;

use atlas::Uuid;
use atlas::dispatch::{Outcome as Ended, Step, Trail};
use atlas::event::Name;
use atlas::routing::{ExplainedHandler, Explanation, Trial};

use crate::commands::get::EventArguments;
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::{Output, Paint};
use crate::table::{clipped, counted, joined};

/// How much of data and outputs is shown, in characters.
const DATA_SHOWN: usize = 200;

/// Show everything that is known of an event: how it was routed, what was sent where, each attempt, what came of it
///
/// Guards and transforms are worked out again: they give the same each time. All else is on record, with its time.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas trail 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e
  atlas --json trail 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e | jq '.steps[] | select(.step == \"failed\")'"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    event: EventArguments,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Look, async |atlas| {
        let event = arguments.event.find(atlas.store())?;
        let trail = atlas.dispatcher().trail(Some(event.scope()), event.id()).await?;
        if output.json { output.json_line(&trail) } else { text(&trail, output) }
    })
    .await
}

fn text(trail: &Trail, output: &mut Output) -> Outcome {
    let place = format_args!("{} {} {}", trail.stream, trail.version, trail.id);
    output.line(format_args!("{} {}", output.paint.heading(&trail.event_type), output.paint.faint(place)))?;
    if let Some(cause) = trail.causation_id {
        output.line(format_args!("  caused by {cause}"))?;
    }
    match &trail.routing {
        Some(routing) => routed(routing, output)?,
        None => output.line("  not routed: it never has deliveries")?,
    }
    for step in &trail.steps {
        let at = output.paint.faint(step.at);
        let handler = step.handler.as_ref().map(|handler| format!("{handler}: ")).unwrap_or_default();
        output.line(format_args!("  {at}  {handler}{}", said(&step.step, output.paint)))?;
    }
    Ok(())
}

fn routed(routing: &Explanation, output: &mut Output) -> Outcome {
    let Explanation { tree, revision, file, handlers, .. } = routing;
    output.line(format_args!("  routed by {tree}, revision {revision}, {file}"))?;
    if handlers.is_empty() {
        return output.line("  no handlers: it is Complete, Success as it stands");
    }
    for ExplainedHandler { spec, line, trial, .. } in handlers {
        let place = output.paint.faint(format_args!("{file}:{line}"));
        output.line(format_args!("  {} -> {}  {place}", spec.name, spec.target))?;
        if let Some(when) = &spec.when {
            let says = match trial {
                Some(Trial::Skipped) => "no",
                Some(Trial::Failed { key: "when", .. }) => "it fails",
                _ => "yes",
            };
            output.line(format_args!("     when {when}: {says}"))?;
        }
        match trial {
            Some(Trial::Called(Some(calls))) => calls.iter().zip(1..).try_for_each(|(data, call): (_, u32)| {
                output.line(format_args!("     data of call {call}: {}", clipped(data.get(), DATA_SHOWN)))
            })?,
            Some(Trial::Called(None)) => output.line("     data: the whole envelope")?,
            Some(Trial::Failed { key, error }) => output.line(format_args!("     {key} fails: {error}"))?,
            Some(Trial::Skipped) | None => {}
        }
    }
    Ok(())
}

/// A step, in words.
fn said(step: &Step, paint: Paint) -> String {
    let because = |reason: &Option<String>| reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let by = |actor: &Option<String>| actor.as_ref().map(|actor| format!(" by {actor}")).unwrap_or_default();
    let of = |group: &Option<Name>| group.as_ref().map(|group| format!(" for group {group}")).unwrap_or_default();
    let gave = |output: &Option<serde_json::Value>, emitted: &[Uuid]| {
        let output = output.as_ref().map(|output| format!("; output {}", clipped(&output.to_string(), DATA_SHOWN)));
        let emitted = (!emitted.is_empty()).then(|| format!("; emitted {}", joined(emitted)));
        output.unwrap_or_default() + &emitted.unwrap_or_default()
    };
    match step {
        Step::Received { revision: Some(revision) } => format!("received, routed by revision {revision}"),
        Step::Received { revision: None } => "received".to_owned(),
        Step::Skipped => "skipped".to_owned(),
        Step::Started { attempt, calls, worker } => {
            let calls = if *calls == 1 { String::new() } else { format!(", {calls} calls") };
            format!("attempt {attempt} started{}{calls}", by(worker))
        }
        Step::CallDone { call, output, emitted } => format!("call {call} succeeded{}", gave(output, emitted)),
        Step::Failed { attempt, error, next_attempt } => {
            format!("attempt {attempt} {}: {error}; next at {next_attempt}", paint.waiting("failed"))
        }
        Step::Parked { attempts, error } => {
            let attempts = counted(u64::from(*attempts), "attempt", "attempts");
            format!("{} after {attempts}: {error}", paint.bad("parked"))
        }
        Step::Released { actor, reason } => format!("released{}{}", by(actor), because(reason)),
        Step::Dropped { actor, reason } => {
            format!("{}, dropped{}: {reason}", paint.bad("Complete, Failure"), by(actor))
        }
        Step::Queued { queue, message, call } => format!("call {call}: message {message} in queue {queue}"),
        Step::Put { queue, message, actor } => format!("message {message} put into queue {queue}{}", by(actor)),
        Step::Ingested { message, event } => format!("message {message} ingested as event {event}"),
        Step::Refused { message, error, .. } => format!("message {message} {}: {error}", paint.bad("refused")),
        Step::Leased { message, until, group } => format!("message {message} taken until {until}{}", of(group)),
        Step::Acknowledged { message, group } => format!("message {message} acknowledged{}", of(group)),
        Step::Nacked { message, group, reason, not_before, dead } => {
            let then = match (dead, not_before) {
                (true, _) => format!(", {}", paint.bad("dead letter")),
                (false, Some(from)) => format!(" until {from}"),
                (false, None) => String::new(),
            };
            format!("message {message} given back{}{then}: {reason}", of(group))
        }
        Step::Extended { message, group, until } => format!("message {message} extended until {until}{}", of(group)),
        Step::Dead { message, group } => format!("message {message} {}{}", paint.bad("dead letter"), of(group)),
        Step::Requeued { message, group, actor, reason } => {
            format!("message {message} requeued{}{}{}", of(group), by(actor), because(reason))
        }
        Step::MessageDropped { message, group, actor, reason } => {
            format!("message {message} dropped{}{}: {reason}", of(group), by(actor))
        }
        Step::TimerSet { timer, due } => format!("timer {timer} set, due {due}"),
        Step::TimerFired { timer } => format!("timer {timer} fired"),
        Step::TimerCancelled { timer, actor, reason } => {
            format!("timer {timer} cancelled{}{}", by(actor), because(reason))
        }
        Step::TimerFailed { timer, error } => format!("timer {timer} {}: {error}", paint.bad("refused")),
        Step::Completed { outcome, attempts, output, error, emitted } => {
            let outcome = match outcome {
                Ended::Success => paint.good("Complete, Success"),
                Ended::Failure => paint.bad("Complete, Failure"),
            };
            let attempts = counted(u64::from(*attempts), "attempt", "attempts");
            format!("{outcome} after {attempts}{}{}", because(error), gave(output, emitted))
        }
        other => format!("{other:?}"),
    }
}
