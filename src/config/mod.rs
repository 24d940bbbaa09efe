//! Configuration: trees of documents, the catalogue of event types, revisions. The truth is in the log, as records of
//! the kind Configuration; `catalog.redb` is derived from it.

mod activating;
mod apply;
mod catalog;
mod check;
mod compatibility;
mod completeness;
mod constants;
mod declaration;
mod declaring;
mod derived;
mod difference;
mod document;
mod duration;
mod editor;
mod export;
mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http_target;
mod importing;
mod info;
mod init;
mod json;
mod look_up;
mod nearest;
mod parse_document;
mod read;
mod rebase;
mod records;
mod report;
mod root_files;
mod scheduled;
mod schedules;
mod schema;
mod schema_refs;
mod snapshot;
mod tables;
mod tree;
mod types_file;
mod upcasts;
mod watch;

pub use activating::ActivateOptions;
pub use catalog::{Bindings, Catalog};
pub(crate) use check::{CATALOG_FILE, catalog_reflects, differing_table};
pub(crate) use constants::Constants;
pub use constants::{MAX_CONSTANTS, MAX_CONSTANTS_LEN};
pub use declaration::{SchemaFormat, SchemaRef, TypeDeclaration, Upcast};
pub use difference::{Change, Difference, DocumentChange, HandlerChange, Values};
pub use document::{
    Document, DocumentId, HandlerSpec, MAX_FILE_LEN, MAX_HANDLERS, OutOfAttempts, QueueOptions, Retry, Target,
};
pub use duration::MAX_DURATION;
pub use editor::TreeFileKind;
pub use export::Exported;
pub(crate) use fault::ExpressionFault;
pub use fault::{ConfigError, Fault, Gap};
pub use http_target::{HttpAnswer, HttpFormat, HttpTarget, MAX_HEADER_LEN, MAX_HTTP_HEADERS, MAX_URL_LEN};
pub use importing::MAX_EXTENDS;
pub use info::{HistoryEntry, RevisionInfo, Shown, TreeInfo, TypeInfo, What};
pub use init::{Initialised, init};
pub use json::MAX_DEPTH;
pub(crate) use nearest::nearest;
pub use report::{Activated, Checked, Declared, Imported, Unbound};
pub use schedules::{Missed, Schedule};
pub(crate) use schema::Validator;
pub use schema::Violation;
pub(crate) use snapshot::{ActiveSchedule, Snapshot};
pub use tree::{MAX_TREE_BYTES, MAX_TREE_FILES};
pub use types_file::{Declarations, read_types};
pub(crate) use upcasts::after;
pub use watch::Watch;
