//! `atlas config schema`: the JSON Schema of a file of a tree.

use atlas::config::TreeFileKind;

use super::Schema;
use crate::failure::Outcome;
use crate::output::Output;

/// The file of this name.
pub(super) fn kind(text: &str) -> Result<TreeFileKind, String> {
    let known = TreeFileKind::ALL.into_iter().find(|kind| kind.name() == text);
    let names = TreeFileKind::ALL.map(TreeFileKind::name).join(", ");
    known.ok_or_else(|| format!("{text:?} has no schema; expected one of {names}"))
}

pub(super) fn run(arguments: &Schema, output: &mut Output) -> Outcome {
    let schema = arguments.kind.schema();
    if output.json { output.json_line(&schema) } else { output.json_pretty(&schema) }
}
