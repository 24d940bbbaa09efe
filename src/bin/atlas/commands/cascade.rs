//! `atlas cascade`: all that one request set off, as a tree.

use std::collections::HashSet;
use std::path::Path;

use atlas::dispatch::{Cascade, CascadeEvent, Outcome as Ended};
use atlas::{Atlas, Scope, Uuid};

use crate::commands::get::the_event;
use crate::commands::status::delivery_standing;
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Paint};
use crate::table::counted;

/// Show all that one request set off, as a tree
///
/// A cascade is all events with one correlation id, each under the event that caused it, with its deliveries. An event
/// that nothing caused has its own id as correlation id.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  atlas cascade 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e
  atlas cascade 01932f6e-8a3c-7cc3-9d53-7f0c3a4f1b2e --dot | dot -Tsvg > cascade.svg"
)]
pub(crate) struct Arguments {
    /// The correlation id
    #[arg(value_name = "CORRELATION-ID")]
    id: Uuid,
    /// The scope, where several scopes know the id, or no event has it as its own id
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// As a graph in the DOT language of Graphviz
    #[arg(long)]
    dot: bool,
}

pub(crate) async fn run(arguments: Arguments, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas: &Atlas| {
        let scope = match arguments.scope {
            Some(scope) => scope,
            None => {
                let event = the_event(atlas.store(), arguments.id, None)
                    .map_err(|failure| failure.and("a correlation id that is no event's own needs --scope"))?;
                let of = event.correlation_id();
                if of != arguments.id {
                    let what = format!("event {} is not the first of its cascade; that is {of}", arguments.id);
                    return Err(Failure::new(what));
                }
                event.scope().clone()
            }
        };
        let cascade = atlas.dispatcher().cascade(Some(&scope), arguments.id).await?;
        match (output.json, arguments.dot) {
            (true, _) => output.json_line(&cascade),
            (false, true) => dot(&cascade, output),
            (false, false) => text(&cascade, output),
        }
    })
    .await
}

fn text(cascade: &Cascade, output: &mut Output) -> Outcome {
    for (index, event) in cascade.events.iter().enumerate() {
        let rest = cascade.events.get(index + 1..).unwrap_or_default();
        let (branch, trunk) = branches(event, rest);
        let place = output.paint.faint(format_args!("{} {} {}", event.stream, event.version, event.id));
        output.line(format_args!("{branch}{} {place}", event.event_type))?;
        for delivery in &event.deliveries {
            let standing = delivery_standing(delivery, output.paint);
            output.line(format_args!("{trunk}-> {}: {standing}", delivery.handler))?;
        }
    }
    let standing = match cascade.outcome {
        Some(Ended::Success) => output.paint.good("Complete, Success"),
        Some(Ended::Failure) => output.paint.bad("Complete, Failure"),
        None => cascade.phase.to_string(),
    };
    output.line(format_args!("{}: {standing}", counted(cascade.events.len() as u64, "event", "events")))
}

/// Events as boxes with their deliveries, each with an arrow from what caused it.
fn dot(cascade: &Cascade, output: &mut Output) -> Outcome {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
    output.line("digraph cascade {")?;
    output.line("  node [shape=box, fontname=monospace];")?;
    for event in &cascade.events {
        let mut label = format!("{}\\l{} {}\\l", quoted(&event.event_type), quoted(&event.stream), event.version);
        for delivery in &event.deliveries {
            let standing = delivery_standing(delivery, Paint::default());
            label.push_str(&format!("{}: {}\\l", delivery.handler, quoted(&standing)));
        }
        let failed =
            event.deliveries.iter().any(|delivery| delivery.parked || delivery.outcome == Some(Ended::Failure));
        let colour = if failed { ", color=red" } else { "" };
        output.line(format_args!("  \"{}\" [label=\"{label}\"{colour}];", event.id))?;
    }
    let known: HashSet<Uuid> = cascade.events.iter().map(|event| event.id).collect();
    for event in &cascade.events {
        if let Some(cause) = event.causation_id.filter(|cause| known.contains(cause)) {
            output.line(format_args!("  \"{cause}\" -> \"{}\";", event.id))?;
        }
    }
    output.line("}")
}

/// What stands before an event, and before the lines that belong to it. `rest` are the events after it.
fn branches(event: &CascadeEvent, rest: &[CascadeEvent]) -> (String, String) {
    // Whether an event at `depth` follows before the tree returns to a depth above it.
    let goes_on = |depth: u32| rest.iter().map(|next| next.depth).find(|next| *next <= depth) == Some(depth);
    let (mut branch, mut trunk) = (String::new(), String::new());
    for depth in 1..=event.depth {
        let more = goes_on(depth);
        let last = depth == event.depth;
        branch.push_str(match (last, more) {
            (true, true) => "├─ ",
            (true, false) => "└─ ",
            (false, true) => "│  ",
            (false, false) => "   ",
        });
        trunk.push_str(if more { "│  " } else { "   " });
    }
    let has_children = rest.first().is_some_and(|next| next.depth > event.depth);
    trunk.push_str(if has_children { "│  " } else { "   " });
    (branch, trunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(depths: &[u32]) -> Vec<String> {
        let event = |depth: &u32| CascadeEvent {
            depth: *depth,
            id: Uuid::nil(),
            causation_id: None,
            event_type: String::new(),
            stream: String::new(),
            version: 1,
            position: 1,
            deliveries: Vec::new(),
        };
        let events: Vec<CascadeEvent> = depths.iter().map(event).collect();
        let drawn = |(index, event)| branches(event, events.get(index + 1..).unwrap_or_default()).0;
        events.iter().enumerate().map(drawn).collect()
    }

    #[test]
    fn the_tree_is_drawn_with_branches() {
        assert_eq!(drawn(&[0, 1, 2, 1, 0]), ["", "├─ ", "│  └─ ", "└─ ", ""]);
        assert_eq!(drawn(&[0, 1, 2, 3, 2]), ["", "└─ ", "   ├─ ", "   │  └─ ", "   └─ "]);
    }
}
