//! What each configuration record changes in `catalog.redb`.

use redb::{ReadableTable, WriteTransaction};

use super::document::DocumentId;
use super::fault::ConfigError;
use super::records::{Record, RevisionContent};
use super::root_files::TypeDeclaration;
use super::tables::{
    CONTENTS, DOCUMENTS, HISTORY, NUMBERS, REVISIONS, ROUTES, StoredChange, StoredRevision, StoredTree, StoredType,
    TREES, TYPES, decode, encode, failed,
};
use crate::event::Name;
use crate::log::RoomRecord;

/// Applies one record. Says whether it may change what is active or retired.
pub(super) fn apply(transaction: &WriteTransaction, record: &RoomRecord) -> Result<bool, ConfigError> {
    let decoded = Record::decode(&record.body)
        .map_err(|what| ConfigError::Damaged { place: format!("the log at {}", record.address), what })?;
    match decoded {
        Record::Document(bytes) => {
            let mut documents = transaction.open_table(DOCUMENTS).map_err(failed)?;
            documents.insert(DocumentId::of(&bytes).0, &bytes[..]).map_err(failed)?;
            Ok(false)
        }
        Record::Revision { number, actor, content } => {
            apply_revision(transaction, record, number, actor, &content)?;
            Ok(false)
        }
        Record::Activation { actor, trees, added } => {
            for (tree, revision) in trees {
                let tree = tree.to_string();
                set_tree(transaction, &tree, |stored| stored.active = Some(revision))?;
                let change =
                    StoredChange { activated: true, revision, recorded_at: record.recorded_at, actor: actor.clone() };
                put_change(transaction, &tree, record, &change)?;
            }
            for (application, declaration) in added {
                declare(transaction, record, &application, declaration)?;
            }
            Ok(true)
        }
        Record::Declared { application, types, .. } => {
            for declaration in types {
                declare(transaction, record, &application, declaration)?;
            }
            Ok(false)
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
            Ok(true)
        }
    }
}

fn apply_revision(
    transaction: &WriteTransaction,
    record: &RoomRecord,
    number: u32,
    actor: Option<String>,
    content: &RevisionContent,
) -> Result<(), ConfigError> {
    let tree = content.tree.to_string();
    let mut routes = transaction.open_table(ROUTES).map_err(failed)?;
    for (event_type, id) in &content.documents {
        routes.insert((number, event_type.as_str()), id.0).map_err(failed)?;
    }
    let mut contents = transaction.open_table(CONTENTS).map_err(failed)?;
    contents.insert((tree.as_str(), content.hash()), number).map_err(failed)?;
    let stored = StoredRevision {
        tree: tree.clone(),
        recorded_at: record.recorded_at,
        actor: actor.clone(),
        types: content.types.iter().map(|t| (t.event_type.to_string(), t.description.clone())).collect(),
        queues: content.queues.iter().map(|(name, options)| (name.to_string(), options.max_depth)).collect(),
    };
    let mut revisions = transaction.open_table(REVISIONS).map_err(failed)?;
    revisions.insert(number, encode(&stored)?.as_slice()).map_err(failed)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    let newest = numbers.get("revisions").map_err(failed)?.map_or(0, |value| value.value());
    numbers.insert("revisions", newest.max(u64::from(number))).map_err(failed)?;
    set_tree(transaction, &tree, |stored| stored.latest = number)?;
    let change = StoredChange { activated: false, revision: number, recorded_at: record.recorded_at, actor };
    put_change(transaction, &tree, record, &change)
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

fn put_change(
    transaction: &WriteTransaction,
    tree: &str,
    record: &RoomRecord,
    change: &StoredChange,
) -> Result<(), ConfigError> {
    let mut history = transaction.open_table(HISTORY).map_err(failed)?;
    history.insert((tree, record.address.to_u64()), encode(change)?.as_slice()).map_err(failed)?;
    Ok(())
}

/// Adds a type to the catalogue; one that is known stays as it is, but for a description that it lacks.
fn declare(
    transaction: &WriteTransaction,
    record: &RoomRecord,
    application: &Name,
    declaration: TypeDeclaration,
) -> Result<(), ConfigError> {
    let mut types = transaction.open_table(TYPES).map_err(failed)?;
    let key = (application.as_str(), declaration.event_type.as_str());
    let stored = types.get(key).map_err(failed)?.map(|value| decode::<StoredType>("types", value.value()));
    let stored = match stored.transpose()? {
        Some(known) => StoredType { description: known.description.or(declaration.description), ..known },
        None => StoredType { description: declaration.description, declared_at: record.recorded_at, retired_at: None },
    };
    types.insert(key, encode(&stored)?.as_slice()).map_err(failed)?;
    Ok(())
}
