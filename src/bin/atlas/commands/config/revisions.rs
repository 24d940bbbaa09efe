//! `atlas config show`, `history` and `export`: what is configured, and how it came to be.

use std::collections::BTreeMap;
use std::path::Path;

use atlas::config::{Catalog, DocumentId, HistoryEntry, QueueOptions, Shown, What};
use atlas::event::Name;
use atlas::{EventType, Timestamp, TreeScope};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Export, History, Show};
use crate::directory::{self, Opening};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};
use crate::table::{Column, Table, counted, joined};

#[derive(Serialize)]
struct Revision<'a> {
    tree: &'a TreeScope,
    revision: u32,
    active: bool,
    recorded_at: Timestamp,
    actor: Option<&'a str>,
    extends: Option<&'a TreeScope>,
    queues: &'a BTreeMap<Name, QueueOptions>,
    constants: BTreeMap<&'a str, &'a RawValue>,
    documents: BTreeMap<&'a EventType, Document<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a DocumentId,
    handlers: Vec<Name>,
}

pub(super) async fn show(arguments: &Show, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let (catalog, tree) = (atlas.catalog(), &arguments.scope);
        let Some(revision) = catalog.active(tree)? else {
            return Err(none_active(catalog, tree)?);
        };
        let shown = catalog.show(tree, revision)?;
        let documents = documents(catalog, &shown)?;
        if output.json {
            return output.json_line(&Revision {
                tree,
                revision,
                active: shown.active,
                recorded_at: Timestamp::from_micros(shown.revision.recorded_at),
                actor: shown.revision.actor.as_deref(),
                extends: shown.revision.extends.as_ref(),
                queues: &shown.queues,
                constants: constants(&shown)?,
                documents,
            });
        }
        let imported = Timestamp::from_micros(shown.revision.recorded_at);
        output.line(format_args!("{tree}: revision {revision}, active, imported {imported}"))?;
        if let (Some(extends), Some(with)) = (&shown.revision.extends, shown.revision.extended) {
            output.line(format_args!("extends {extends}, revision {with}"))?;
        }
        if !shown.constants.is_empty() {
            let constants = shown.constants.iter().map(|(name, text)| format!("{name} = {text}"));
            output.line(format_args!("constants: {}", joined(constants)))?;
        }
        if !shown.queues.is_empty() {
            output.line(format_args!("queues: {}", joined(shown.queues.keys())))?;
        }
        let mut table = Table::new([Column::Text("TYPE"), Column::Text("DOCUMENT"), Column::Text("HANDLERS")]);
        for (event_type, document) in documents {
            let id: String = document.id.to_string().chars().take(12).collect();
            let handlers = if document.handlers.is_empty() { "-".to_owned() } else { joined(&document.handlers) };
            table.row(output, [event_type.to_string(), id, handlers])?;
        }
        table.end(output)?;
        Ok(())
    })
    .await
}

fn constants(shown: &Shown) -> Outcome<BTreeMap<&str, &RawValue>> {
    let mut constants = BTreeMap::new();
    for (name, text) in &shown.constants {
        constants.insert(name.as_str(), serde_json::from_str(text)?);
    }
    Ok(constants)
}

/// The documents of a revision, with the names of their handlers.
fn documents<'a>(catalog: &Catalog, shown: &'a Shown) -> Outcome<BTreeMap<&'a EventType, Document<'a>>> {
    #[derive(serde::Deserialize)]
    struct Handlers {
        handlers: Vec<Handler>,
    }
    #[derive(serde::Deserialize)]
    struct Handler {
        name: Name,
    }
    let mut documents = BTreeMap::new();
    for (event_type, id) in &shown.documents {
        let bytes = catalog.document_bytes(*id)?;
        let bytes = bytes.ok_or_else(|| Failure::new(format!("document {id} of {event_type} is missing")))?;
        let parsed: Handlers = serde_json::from_slice(&bytes)?;
        let handlers = parsed.handlers.into_iter().map(|handler| handler.name).collect();
        documents.insert(event_type, Document { id, handlers });
    }
    Ok(documents)
}

/// Nothing is active for `tree`: says what there is instead.
fn none_active(catalog: &Catalog, tree: &TreeScope) -> Outcome<Failure> {
    let trees = catalog.trees()?;
    if let Some(known) = trees.iter().find(|known| known.tree == *tree) {
        let latest = known.latest;
        let how = format!("expected one that was activated, with `atlas config activate {tree}@{latest}`");
        return Ok(Failure::new(format!("{tree} has no active revision, only staged ones; {how}")));
    }
    let known = if trees.is_empty() { "none".to_owned() } else { joined(trees.iter().map(|known| &known.tree)) };
    Ok(Failure::new(format!("there is no tree {tree}; expected one of those imported: {known}")))
}

pub(super) async fn export(arguments: &Export, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let (catalog, tree) = (atlas.catalog(), &arguments.scope);
        let revision = match arguments.revision {
            Some(revision) => revision,
            None => match catalog.active(tree)? {
                Some(active) => active,
                None => return Err(none_active(catalog, tree)?),
            },
        };
        let exported = catalog.export(tree, revision, &arguments.folder)?;
        if output.json {
            return output.json_line(&exported);
        }
        let files = counted(exported.files as u64, "file", "files");
        output.line(format_args!("{}: revision {revision} of {tree}, {files}", arguments.folder.display()))
    })
    .await
}

#[derive(Serialize)]
struct Entry<'a> {
    what: What,
    revision: u32,
    recorded_at: Timestamp,
    actor: Option<&'a str>,
    reason: Option<&'a str>,
}

pub(super) async fn history(arguments: &History, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let history = atlas.catalog().history(&arguments.scope)?;
        let entry = |entry: &HistoryEntry| Timestamp::from_micros(entry.recorded_at);
        if output.json {
            return output.json_array(history.iter().map(|e| {
                let (actor, reason) = (e.actor.as_deref(), e.reason.as_deref());
                Ok(Entry { what: e.what, revision: e.revision, recorded_at: entry(e), actor, reason })
            }));
        }
        let columns = [
            Column::Text("WHEN"),
            Column::Number("REVISION"),
            Column::Text("WHAT"),
            Column::Text("WHO"),
            Column::Text("WHY"),
        ];
        let mut table = Table::new(columns);
        for e in &history {
            let what = match e.what {
                What::Imported => "imported",
                What::Activated => "activated",
            };
            let (who, why) = (e.actor.clone().unwrap_or_default(), e.reason.clone().unwrap_or_default());
            table.row(output, [entry(e).to_string(), e.revision.to_string(), what.to_owned(), who, why])?;
        }
        if table.end(output)? == 0 {
            message(format_args!("{}: nothing was imported", arguments.scope));
        }
        Ok(())
    })
    .await
}
