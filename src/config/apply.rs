//! What each configuration record changes in `catalog.redb`.

use std::collections::BTreeSet;

use redb::{ReadableTable, WriteTransaction};

use super::declaration::TypeDeclaration;
use super::document::DocumentId;
use super::fault::ConfigError;
use super::records::{By, Placed, Record, Revision};
use super::tables::{
    CONTENTS, DOCUMENTS, HISTORY, NUMBERS, REVISIONS, ROUTES, StoredChange, StoredRevision, StoredTree, StoredType,
    TREES, TYPES, WHOLES, decode, encode, failed,
};
use crate::event::Name;
use crate::log::RoomRecord;

/// What records changed that routing asks for.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// The trees of which another revision is active.
    pub(super) trees: BTreeSet<String>,
    /// Whether types were declared or retired.
    pub(super) types: bool,
}

/// Applies one record, and adds to what changed.
pub(super) fn apply(
    transaction: &WriteTransaction,
    record: &RoomRecord,
    changed: &mut Changed,
) -> Result<(), ConfigError> {
    let decoded = Record::decode(&record.body)
        .map_err(|what| ConfigError::Damaged { place: format!("the log at {}", record.address), what })?;
    match decoded {
        Record::Document(bytes) => {
            let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
            documents.insert(DocumentId::of(&bytes).0, &bytes[..]).map_err(failed)?;
            Ok(())
        }
        Record::Revision(revision) => apply_revision(transaction, record, &revision),
        Record::Activation { by, trees, added } => {
            for (tree, revision) in trees {
                let tree = tree.to_string();
                set_tree(transaction, &tree, |stored| stored.active = Some(revision))?;
                put_change(transaction, &tree, record, true, revision, &by)?;
                changed.trees.insert(tree);
            }
            for (application, declaration) in added {
                declare(transaction, record, &application, declaration)?;
                changed.types = true;
            }
            Ok(())
        }
        Record::Declared { application, types, .. } => {
            for declaration in types {
                declare(transaction, record, &application, declaration)?;
            }
            changed.types = true;
            Ok(())
        }
        Record::Retired { application, types, .. } => {
            let mut table = transaction.open_table(TYPES).map_err(failed)?;
            for event_type in types {
                let key = (application.as_str(), event_type.as_str());
                let stored = table.get(key).map_err(failed)?.map(|value| decode::<StoredType>("types", value.value()));
                if let Some(mut stored) = stored.transpose()? {
                    stored.retired_at = Some(record.recorded_at);
                    table.insert(key, encode(&stored)?.as_slice()).map_err(failed)?;
                }
            }
            changed.types = true;
            Ok(())
        }
    }
}

fn apply_revision(transaction: &WriteTransaction, record: &RoomRecord, revision: &Revision) -> Result<(), ConfigError> {
    let (number, tree) = (revision.number, revision.tree.to_string());
    let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
    for bytes in &revision.inline {
        documents.insert(DocumentId::of(bytes).0, &bytes[..]).map_err(failed)?;
    }
    let mut routes = transaction.open_table(ROUTES).map_err(failed)?;
    for (event_type, Placed { id, path }) in &revision.documents {
        let value = [&id.0[..], path.as_deref().unwrap_or_default().as_bytes()].concat();
        routes.insert((number, event_type.as_str()), value.as_slice()).map_err(failed)?;
    }
    for event_type in &revision.removed {
        routes.insert((number, event_type.as_str()), [].as_slice()).map_err(failed)?;
    }
    if revision.base.is_none() {
        let mut wholes = transaction.open_table(WHOLES).map_err(failed)?;
        wholes.insert(revision.tree.application().as_str(), number).map_err(failed)?;
    }
    let mut contents = transaction.open_table(CONTENTS).map_err(failed)?;
    contents.insert((tree.as_str(), revision.identity), number).map_err(failed)?;
    let stored = StoredRevision {
        tree: tree.clone(),
        recorded_at: record.recorded_at,
        actor: revision.by.actor.clone(),
        reason: revision.by.reason.clone(),
        extends: revision.extends.as_ref().map(ToString::to_string),
        base: revision.base,
        files: revision.files.iter().map(|(path, id)| (path.clone(), id.0)).collect(),
    };
    let mut revisions = transaction.open_table(REVISIONS).map_err(failed)?;
    revisions.insert(number, encode(&stored)?.as_slice()).map_err(failed)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    let newest = numbers.get("revisions").map_err(failed)?.map_or(0, |value| value.value());
    numbers.insert("revisions", newest.max(u64::from(number))).map_err(failed)?;
    set_tree(transaction, &tree, |stored| stored.latest = number)?;
    put_change(transaction, &tree, record, false, number, &revision.by)
}

fn set_tree(
    transaction: &WriteTransaction,
    tree: &str,
    change: impl FnOnce(&mut StoredTree),
) -> Result<(), ConfigError> {
    let mut trees = transaction.open_table(TREES).map_err(failed)?;
    let stored = trees.get(tree).map_err(failed)?.map(|value| decode::<StoredTree>("trees", value.value()));
    let mut stored = stored.transpose()?.unwrap_or_default();
    change(&mut stored);
    trees.insert(tree, encode(&stored)?.as_slice()).map_err(failed)?;
    Ok(())
}

/// Adds to a tree's history. One append may hold several changes of a tree, in the order of their addresses.
fn put_change(
    transaction: &WriteTransaction,
    tree: &str,
    record: &RoomRecord,
    activated: bool,
    revision: u32,
    by: &By,
) -> Result<(), ConfigError> {
    let mut history = transaction.open_table(HISTORY).map_err(failed)?;
    let (recorded_at, By { actor, reason }) = (record.recorded_at, by.clone());
    let change = StoredChange { activated, revision, recorded_at, actor, reason };
    history.insert((tree, record.address.to_u64()), encode(&change)?.as_slice()).map_err(failed)?;
    Ok(())
}

/// Adds a type to the catalogue; one that is known keeps what the declaration doesn't say, and its description.
fn declare(
    transaction: &WriteTransaction,
    record: &RoomRecord,
    application: &Name,
    declaration: TypeDeclaration,
) -> Result<(), ConfigError> {
    let mut types = transaction.open_table(TYPES).map_err(failed)?;
    let TypeDeclaration { event_type, description, schema, upcast } = declaration;
    let key = (application.as_str(), event_type.as_str());
    let stored = types.get(key).map_err(failed)?.map(|value| decode::<StoredType>("types", value.value()));
    let stored = match stored.transpose()? {
        Some(mut known) => {
            known.past_schemas.extend(replaced(&mut known.schema, schema));
            known.past_upcasts.extend(replaced(&mut known.upcast, upcast));
            StoredType { description: known.description.or(description), ..known }
        }
        None => {
            let (past_schemas, past_upcasts) = (Vec::new(), Vec::new());
            let (declared_at, retired_at) = (record.recorded_at, None);
            StoredType { description, schema, upcast, past_schemas, past_upcasts, declared_at, retired_at }
        }
    };
    types.insert(key, encode(&stored)?.as_slice()).map_err(failed)?;
    Ok(())
}

/// Puts something new in the place of what is there; gives what was replaced.
fn replaced<T: PartialEq>(known: &mut Option<T>, new: Option<T>) -> Option<T> {
    if new.is_none() || *known == new {
        return None;
    }
    std::mem::replace(known, new)
}
