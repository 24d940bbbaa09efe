//! Configuration: trees of documents, the catalogue of event types, revisions. The truth is in the log, as records of
//! the kind Configuration; `catalog.redb` is derived from it.

mod apply;
mod catalog;
mod check;
mod completeness;
mod derived;
mod document;
mod duration;
mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod info;
mod init;
mod json;
mod nearest;
mod parse_document;
mod read;
mod records;
mod report;
mod root_files;
mod snapshot;
mod tables;
mod tree;

pub use catalog::{Bindings, Catalog};
pub(crate) use check::{CATALOG_FILE, catalog_reflects, differing_table};
pub use document::{
    Document, DocumentId, HandlerSpec, MAX_FILE_LEN, MAX_HANDLERS, OutOfAttempts, QueueOptions, Retry, Target,
};
pub use duration::MAX_DURATION;
pub(crate) use fault::ExpressionFault;
pub use fault::{ConfigError, Fault, Gap};
pub use info::{HistoryEntry, RevisionInfo, Shown, TreeInfo, TypeInfo, What};
pub use init::{Initialised, init};
pub use json::MAX_DEPTH;
pub(crate) use nearest::nearest;
pub use report::{Activated, Checked, Declared, Imported, Unbound};
pub use root_files::{TypeDeclaration, read_types};
pub(crate) use snapshot::Snapshot;
pub use tree::{MAX_TREE_BYTES, MAX_TREE_FILES};
