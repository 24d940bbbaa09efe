//! Why a command ends without its result, and how that is said: one line on stderr, exit code 1.

use std::fmt;
use std::io;

/// A command was refused or failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is wrong that the message says in full.
    Message(String),
    /// Something is wrong at a place in a file, which the message begins with, so that editors can jump there.
    Located(String),
    /// What was said on the command line makes no sense; exit code 2.
    Usage(String),
    /// All was said already; only the exit code is left.
    Said,
    /// Whoever read the output has gone: no error.
    BrokenPipe,
}

impl Failure {
    /// A failure with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// A failure at `place`, such as `events.ndjson:7`.
    pub(crate) fn at(place: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::Located(format!("{place}: {what}"))
    }

    /// The same failure, with something to know beside it.
    pub(crate) fn and(self, beside: impl fmt::Display) -> Self {
        match self {
            Self::Message(what) => Self::Message(format!("{what} ({beside})")),
            Self::Located(what) => Self::Located(format!("{what} ({beside})")),
            other => other,
        }
    }

    /// A failure to write results.
    pub(crate) fn writing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Message(format!("the results cannot be written: {error}")),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let message = error.to_string();
        // The faults of a configuration tree: one line each, each beginning with its place.
        if message.contains('\n') { Self::Located(message) } else { Self::Message(message) }
    }
}

/// What a command ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;
