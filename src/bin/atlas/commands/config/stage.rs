//! `atlas config import`, `check` and `activate`: how a tree comes to route.

use std::path::Path;

use atlas::config::{Activated, Catalog, Imported};
use atlas::storage::{Environment, MemoryDisk};
use atlas::{Atlas, EventType, TreeScope};
use serde::Serialize;

use super::{Activate, Check, Import, Rollback, about_tree, added, say_unbound, say_warnings};
use crate::directory::{self, Opening};
use crate::failure::Outcome;
use crate::output::Output;
use crate::table::{counted, joined};

#[derive(Serialize)]
struct Staged<'a> {
    #[serde(flatten)]
    imported: &'a Imported,
    #[serde(skip_serializing_if = "Option::is_none")]
    activated: Option<Switch<'a>>,
}

#[derive(Serialize)]
struct Switch<'a> {
    trees: Vec<Tree<'a>>,
    repeated: bool,
    types_added: &'a [EventType],
    types_changed: &'a [EventType],
    dependents: &'a [TreeScope],
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Tree<'a> {
    tree: &'a TreeScope,
    revision: u32,
    before: Option<u32>,
}

impl<'a> Switch<'a> {
    fn of(activated: &'a Activated) -> Self {
        let tree = |(tree, revision, before): &'a (TreeScope, u32, Option<u32>)| Tree {
            tree,
            revision: *revision,
            before: *before,
        };
        Self {
            trees: activated.trees.iter().map(tree).collect(),
            repeated: activated.repeated,
            types_added: &activated.types_added,
            types_changed: &activated.types_changed,
            dependents: &activated.dependents,
            warnings: &activated.warnings,
        }
    }
}

pub(super) async fn import(arguments: &Import, dir: &Path, output: &mut Output) -> Outcome {
    // Before the directory is made: a tree with faults, or one that can't be the first, leaves nothing behind.
    let first = (arguments.activate && !dir.exists()).then_some(&arguments.scope);
    on_its_own(&arguments.folder, first).await?;
    directory::work(dir, Opening::Create, async |atlas| stage(&arguments.why.of(atlas.catalog()), arguments, output))
        .await
}

fn stage(catalog: &Catalog, arguments: &Import, output: &mut Output) -> Outcome {
    let (folder, tree) = (&arguments.folder, &arguments.scope);
    if arguments.activate {
        // Before anything is staged: a tree that is not complete leaves no revision behind.
        catalog.check(folder, Some(tree)).map_err(|error| about_tree(folder, error))?;
    }
    let imported = catalog.import(folder, tree).map_err(|error| about_tree(folder, error))?;
    let activated = match arguments.activate {
        true => Some(catalog.activate(&[(tree.clone(), imported.revision)])),
        false => None,
    };
    // All is done before it is told: whoever reads it may go away.
    if !output.json {
        let known = if imported.repeated { ", known already" } else { "" };
        let documents = counted(imported.documents as u64, "document", "documents");
        output.line(format_args!("{tree}: revision {} staged ({documents}{known})", imported.revision))?;
        say_unbound(&imported.unbound, output)?;
    }
    let activated = activated.transpose()?;
    if output.json {
        return output.json_line(&Staged { imported: &imported, activated: activated.as_ref().map(Switch::of) });
    }
    match activated {
        Some(activated) => tell(&activated, output),
        None => output.line(format_args!("activate it: atlas config activate {tree}@{}", imported.revision)),
    }
}

pub(super) async fn check(arguments: &Check, dir: &Path, output: &mut Output) -> Outcome {
    let folder = &arguments.folder;
    let checked = match &arguments.scope {
        None => on_its_own(folder, None).await?,
        Some(tree) => {
            let work = async |atlas: &Atlas| {
                atlas.catalog().check(folder, Some(tree)).map_err(|error| about_tree(folder, error))
            };
            directory::work(dir, Opening::Existing, work).await?
        }
    };
    if output.json {
        return output.json_line(&checked);
    }
    let documents = counted(checked.documents as u64, "document", "documents");
    let whole = match &arguments.scope {
        None => "no faults; whether it is complete needs --scope".to_owned(),
        Some(tree) => format!("no faults, and complete for {tree} with {}", added(&checked.types_added)),
    };
    output.line(format_args!("{}: {documents}, {whole}", folder.display()))?;
    say_unbound(&checked.unbound, output)?;
    say_warnings(&checked.warnings, output)
}

/// Checks the tree in `folder` by itself, beside an empty store in memory; also whether it is complete as `tree`.
async fn on_its_own(folder: &Path, tree: Option<&TreeScope>) -> Outcome<atlas::config::Checked> {
    let atlas = Atlas::builder().http(false).dispatch(false).open_with(Environment::new(MemoryDisk::new())).await?;
    let checked = atlas.catalog().check(folder, tree).map_err(|error| about_tree(folder, error));
    atlas.close().await?;
    checked
}

pub(super) async fn activate(arguments: &Activate, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let trees: Vec<(TreeScope, u32)> =
            arguments.trees.iter().map(|staged| (staged.tree.clone(), staged.revision)).collect();
        let catalog = arguments.how.why.of(atlas.catalog());
        let activated = catalog.activate_with(&trees, &arguments.how.options())?;
        if output.json { output.json_line(&Switch::of(&activated)) } else { tell(&activated, output) }
    })
    .await
}

pub(super) async fn rollback(arguments: &Rollback, dir: &Path, output: &mut Output) -> Outcome {
    directory::work(dir, Opening::Existing, async |atlas| {
        let catalog = arguments.how.why.of(atlas.catalog());
        let activated = catalog.rollback(&arguments.scope, arguments.to, &arguments.how.options())?;
        if output.json { output.json_line(&Switch::of(&activated)) } else { tell(&activated, output) }
    })
    .await
}

fn tell(activated: &Activated, output: &mut Output) -> Outcome {
    for (tree, revision, before) in &activated.trees {
        let before = match before {
            Some(before) if before == revision => " already".to_owned(),
            Some(before) => format!(", instead of {before}"),
            None => String::new(),
        };
        output.line(format_args!("{tree}: revision {revision} is active{before}"))?;
    }
    if !activated.types_added.is_empty() {
        output.line(added(&activated.types_added))?;
    }
    if !activated.types_changed.is_empty() {
        output.line(format_args!("more is known of: {}", joined(&activated.types_changed)))?;
    }
    for tree in &activated.dependents {
        output.line(format_args!("{tree} still extends an older revision; --dependents makes it anew"))?;
    }
    say_warnings(&activated.warnings, output)
}
