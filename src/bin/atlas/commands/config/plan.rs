//! `atlas config plan`: what activating a revision or a folder would change.

use std::path::Path;

use atlas::Atlas;
use atlas::config::{Change, Difference, DocumentChange, HandlerChange, Values};

use super::{Plan, about_tree};
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::counted;

pub(super) async fn run(arguments: &Plan, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let difference = difference(atlas, arguments)?;
        if output.json { output.json_line(&difference) } else { text(&difference, output) }
    })
    .await
}

fn difference(atlas: &Atlas, arguments: &Plan) -> Outcome<Difference> {
    let (catalog, tree) = (atlas.catalog(), &arguments.scope);
    if let Some(folder) = &arguments.folder {
        return catalog.plan_folder(folder, tree).map_err(|error| about_tree(folder, error));
    }
    let newest = || catalog.trees().map(|trees| trees.into_iter().find(|known| known.tree == *tree));
    let revision = match arguments.revision {
        Some(revision) => revision,
        None => match newest()? {
            Some(known) => known.latest,
            None => return Err(Failure::new(format!("there is no tree {tree}; expected one that was imported"))),
        },
    };
    Ok(catalog.plan(tree, revision)?)
}

fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Changed => '~',
        Change::Removed => '-',
    }
}

fn text(difference: &Difference, output: &mut Output) -> Outcome {
    let Difference { tree, active, revision, documents, queues, constants, types, extends, same, refused } = difference;
    let before = active.map_or_else(|| "nothing is active".to_owned(), |active| format!("revision {active} is active"));
    let after = revision.map_or_else(|| "the folder".to_owned(), |revision| format!("revision {revision}"));
    output.line(format_args!("{tree}: {after}, while {before}"))?;
    if let Some(values) = extends {
        output.line(format_args!("~ extends: {}", from_to(values)))?;
    }
    for (event_type, change) in types {
        let what = if *change == Change::Added { "" } else { ": another schema or upcast" };
        output.line(format_args!("{} type {event_type}{what}", sign(*change)))?;
    }
    for (queue, change) in queues {
        output.line(format_args!("{} queue {queue}", sign(*change)))?;
    }
    for (name, values) in constants {
        let sign = match (&values.before, &values.after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        output.line(format_args!("{} constant {name}: {}", self::sign(sign), from_to(values)))?;
    }
    for DocumentChange { event_type, file, change, handlers } in documents {
        let sign = sign(*change);
        output.line(output.paint.heading(format_args!("{sign} {event_type}")))?;
        output.line(output.paint.faint(format_args!("    {file}")))?;
        for HandlerChange { name, change, target, keys } in handlers {
            output.line(format_args!("    {} handler {name} -> {target}", self::sign(*change)))?;
            for (key, values) in keys {
                output.line(format_args!("        {key}: {}", from_to(values)))?;
            }
        }
        if handlers.is_empty() {
            let what = match change {
                Change::Changed => "no handler differs",
                _ => "no handlers",
            };
            output.line(format_args!("    {what}"))?;
        }
    }
    let same = counted(*same as u64, "document", "documents");
    if difference.is_empty() {
        return output.line(format_args!("nothing would change; {same}"));
    }
    let count = |change: Change| documents.iter().filter(|document| document.change == change).count();
    let (added, changed, removed) = (count(Change::Added), count(Change::Changed), count(Change::Removed));
    output.line(format_args!("{added} to add, {changed} to change, {removed} to remove; {same} as before"))?;
    if !refused.is_empty() {
        output.line(output.paint.bad("an activation would be refused:"))?;
    }
    refused.iter().try_for_each(|gap| output.line(format_args!("  {gap}")))
}

fn from_to(values: &Values) -> String {
    let said = |value: &Option<String>| value.as_deref().unwrap_or("(none)").to_owned();
    format!("{} -> {}", said(&values.before), said(&values.after))
}
