//! The crate's error: what any call of [`Atlas`](crate::Atlas) may fail with.

use thiserror::Error;

use crate::config::ConfigError;
use crate::dispatch::DispatchError;
use crate::event::VocabularyError;
use crate::log::{AppendError, OpenError, ReadError, RebuildError};
use crate::routing::RouteError;

/// What went wrong, by the room that says so.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log refused an append, or can't be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is derived from the log can't be made anew.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// There is no plan for the event; nothing was written.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A configuration tree has faults, or can't be read or activated.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Dispatch has stopped, or refuses what was asked.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// A name, a type, a scope or an id isn't well formed.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The store was opened outside a tokio runtime.
    #[error("no tokio runtime here; open the store inside one: handlers run on it")]
    NoRuntime,
    /// The tokio runtime is shutting down, and took the work with it. What was submitted to the log goes on.
    #[error("the tokio runtime is shutting down")]
    RuntimeGone,
}
