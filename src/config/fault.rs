//! What can be wrong with configuration: faults in files, each with its place, and errors of the catalog.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::constants::Constants;
use super::document::DocumentId;
use crate::event::{EventType, Name, Scope, TreeScope};
use crate::log::{AppendError, ReadError};
use crate::storage::DatabaseError;

/// One thing that is wrong in a file of a configuration tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Fault {
    /// The file, relative to the tree's folder.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in the line, in characters from 1.
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; expected {}", self.file, self.line, self.column, self.what, self.expected)
    }
}

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpressionFault {
    /// In bytes from the start of the expression.
    pub(crate) offset: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What would be right.
    pub(crate) expected: String,
}

/// Checks a guard or a transform, which may use these constants; any where they aren't known. The language belongs to
/// routing, which stands above this room and passes its check down.
pub(crate) type ExpressionCheck = fn(&str, Option<&Constants>) -> Result<(), ExpressionFault>;

/// One reason why trees can't be activated: the proof of completeness fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// A type of the catalogue has no document in the tree.
    Missing {
        /// The tree.
        tree: TreeScope,
        /// The type.
        event_type: EventType,
        /// A document of the tree that is no type of the catalogue and nearly has this name.
        near: Option<String>,
    },
    /// A document of the tree is for a type that the catalogue doesn't know.
    Unknown {
        /// The tree.
        tree: TreeScope,
        /// The document's type, with its file where that is known.
        document: String,
        /// The type that nearly has this name.
        near: Option<EventType>,
    },
    /// The activation adds a type that another active tree of the application lacks.
    Lacking {
        /// The other tree.
        tree: TreeScope,
        /// The type.
        event_type: EventType,
    },
    /// Two trees that are activated together declare a new type in different ways.
    Contradicted {
        /// The second tree.
        tree: TreeScope,
        /// The type.
        event_type: EventType,
    },
    /// A known type is declared with a schema that doesn't accept all that its schema accepts.
    Incompatible {
        /// The application.
        application: Name,
        /// The type.
        event_type: EventType,
        /// Where in the schema, and what is stricter there.
        what: String,
    },
    /// A type is lifted from the version before, which the catalogue doesn't have.
    Upcast {
        /// The application.
        application: Name,
        /// The type.
        event_type: EventType,
        /// The type that is missing, or has no upcast itself; `None` for a first version, which nothing comes before.
        before: Option<EventType>,
    },
}

impl serde::Serialize for Gap {
    /// As text.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { tree, event_type, near } => {
                write!(f, "{tree}: no document for type {event_type}; expected one")?;
                match near {
                    Some(near) => write!(f, " (near miss: {near})"),
                    None => Ok(()),
                }
            }
            Self::Unknown { tree, document, near } => {
                write!(f, "{tree}: the document {document} is for no type of the catalogue; expected a declared type")?;
                match near {
                    Some(near) => write!(f, " (did you mean {near}?)"),
                    None => Ok(()),
                }
            }
            Self::Lacking { tree, event_type } => {
                write!(f, "{tree}: this active tree has no document for the new type {event_type}; ")?;
                f.write_str("expected a revision of it with one in the same activation")
            }
            Self::Contradicted { tree, event_type } => {
                write!(
                    f,
                    "{tree}: types.json declares {event_type} with another schema or upcast than another tree of "
                )?;
                f.write_str("this activation; expected the same")
            }
            Self::Incompatible { application, event_type, what } => {
                write!(
                    f,
                    "{application}: the schema of {event_type} can't be seen to accept all that the one in use does: {what}; "
                )?;
                f.write_str("expected one that accepts as much, or a type with the next version")
            }
            Self::Upcast { application, event_type, before: Some(before) } => {
                write!(f, "{application}: {event_type} has an upcast, from {before}, which is not in the catalogue, ")?;
                f.write_str("or has none itself though there is a version before it; expected a chain without holes")
            }
            Self::Upcast { application, event_type, before: None } => {
                write!(f, "{application}: {event_type} has an upcast and is of the first version; expected none")
            }
        }
    }
}

/// What helps where the damage is in the derived database; nothing does where it is in the log.
fn hint(place: &str) -> &'static str {
    if place.starts_with("catalog.redb") { "; `atlas rebuild` makes the file anew" } else { "" }
}

fn lines<T: fmt::Display>(items: &[T]) -> String {
    let lines: Vec<String> = items.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Configuration was refused, or can't be read or written. Nothing was applied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The files of a tree have faults: all of them, by file and place. Printed one a line.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
    /// The trees are not complete: all reasons. Printed one a line.
    #[error("{}", lines(.0))]
    Incomplete(Vec<Gap>),
    /// A file or folder can't be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The folder for a new tree is not empty.
    #[error("{path}: the folder is not empty; expected a new or an empty one", path = .path.display())]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// The catalogue that a first tree is to be made from has no types in use.
    #[error("{application}: no types are declared and in use; expected at least one")]
    NoTypes {
        /// The application.
        application: Name,
    },
    /// A line of the file that a first tree is made from can't be used.
    #[error("line {line}: {why}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong and what was expected.
        why: String,
    },
    /// There is no such revision of the tree.
    #[error("{tree} has no revision {revision}; expected one that was imported for it{known}")]
    UnknownRevision {
        /// The tree.
        tree: TreeScope,
        /// The number.
        revision: u32,
        /// The newest that it has, as words.
        known: String,
    },
    /// The active revision is not the one that the change expects: somebody else was quicker.
    #[error("{tree}: {found}; expected {expected}: somebody else changed it; look at `config history`")]
    Changed {
        /// The tree.
        tree: TreeScope,
        /// What is active, in words.
        found: String,
        /// What was expected, in words.
        expected: String,
    },
    /// A revision is expected of a tree that is not among those to be activated.
    #[error("{tree} is not activated here; expected revisions only of the trees that are")]
    NotActivated {
        /// The tree.
        tree: TreeScope,
    },
    /// A queue that holds messages would go.
    #[error(
        "queue {queue} of {scope} holds messages, and no tree would have it; expected a tree that keeps it until they are gone (acknowledged or dropped)"
    )]
    QueueInUse {
        /// The scope.
        scope: Scope,
        /// The queue.
        queue: Name,
    },
    /// It can't be told whether a queue that would go holds messages.
    #[error("a queue would go, and whether it holds messages can't be told: {why}")]
    QueuesUnknown {
        /// Why.
        why: String,
    },
    /// An upcast that is declared can't be run.
    #[error("the upcast of {event_type}: {what}; expected {expected}")]
    Upcast {
        /// The type.
        event_type: EventType,
        /// What is wrong.
        what: String,
        /// What would be right.
        expected: String,
    },
    /// A schema that was declared can't be used.
    #[error("schema {document}: {what}")]
    Schema {
        /// The schema's text.
        document: DocumentId,
        /// What is wrong and what would be right.
        what: String,
    },
    /// Nothing was active before the revision that is.
    #[error("{tree} can't be rolled back: {what}; expected one that was activated before")]
    NothingBefore {
        /// The tree.
        tree: TreeScope,
        /// Why, in words.
        what: &'static str,
    },
    /// One tree stands twice in one activation.
    #[error("{tree} stands twice in one activation; expected each tree once")]
    RepeatedTree {
        /// The tree.
        tree: TreeScope,
    },
    /// The activation names no tree.
    #[error("nothing to activate; expected at least one tree and revision")]
    NothingToActivate,
    /// A type is retired and can't be declared again.
    #[error("{application}: type {event_type} is retired; expected a new type, such as one with the next version")]
    Retired {
        /// The application.
        application: Name,
        /// The type.
        event_type: EventType,
    },
    /// The application doesn't know the type.
    #[error("{application}: type {event_type} is not in the catalogue; expected a declared type{near}")]
    UnknownType {
        /// The application.
        application: Name,
        /// The type.
        event_type: EventType,
        /// The nearest known type, as words.
        near: String,
    },
    /// The log refused or failed to take the change.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The derived database can't be read or written.
    #[error(
        "{0}; the file is derived from the log: open the store again, and where it is damaged `atlas rebuild` makes it anew"
    )]
    Database(Arc<dyn std::error::Error + Send + Sync>),
    /// The derived database reflects more than the log holds: the log lost what had been durable.
    #[error("catalog.redb reflects the log up to {applied}, but the log ends at {end}; the log has lost data")]
    AheadOfLog {
        /// The last record applied, as `segment:offset`.
        applied: String,
        /// The end of the log, as `segment:offset`.
        end: String,
    },
    /// A record or an entry can't be read.
    #[error("{place}: {what}{hint}", hint = hint(.place))]
    Damaged {
        /// The record's address, or the table of catalog.redb.
        place: String,
        /// What was found.
        what: &'static str,
    },
}

impl From<DatabaseError> for ConfigError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl ConfigError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}
