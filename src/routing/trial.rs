//! A handler tried on an event, with no effect: what its guard says, and what it would be called with.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::expression::{ExpressionError, Input};
use super::plan::Handler;

/// What a handler would do with an event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trial {
    /// Its guard says no.
    Skipped,
    /// It is called once for each of these data; `None` stands for the whole envelope.
    Called(Option<Vec<Box<RawValue>>>),
    /// Its guard or its transform fails: which, and why.
    Failed {
        /// `when` or `data`; "an expression" where it isn't known which.
        key: &'static str,
        /// Why.
        error: String,
    },
}

impl Trial {
    /// Tries a handler. An expression that panics fails.
    pub(super) fn of(handler: &Handler, input: &Result<Input, ExpressionError>) -> Self {
        let tried = catch_unwind(AssertUnwindSafe(|| Self::run(handler, input)));
        tried.unwrap_or_else(|_| Self::Failed { key: "an expression", error: "it panics".to_owned() })
    }

    fn run(handler: &Handler, input: &Result<Input, ExpressionError>) -> Self {
        let failed = |key, error: &ExpressionError| Self::Failed { key, error: error.to_string() };
        let needed = if handler.when.is_some() { "when" } else { "data" };
        let input = match input {
            Ok(input) => input,
            Err(error) if handler.when.is_some() || handler.data.is_some() => return failed(needed, error),
            Err(_) => return Self::Called(None),
        };
        match handler.when.as_ref().map(|when| when.first_is_true(input)) {
            Some(Ok(false)) => return Self::Skipped,
            Some(Err(error)) => return failed("when", &error),
            Some(Ok(true)) | None => {}
        }
        match handler.data.as_ref().map(|data| data.outputs(input)) {
            None => Self::Called(None),
            Some(Ok(outputs)) => Self::Called(Some(outputs.iter().filter_map(raw).collect())),
            Some(Err(error)) => failed("data", &error),
        }
    }

    /// How many calls it comes to.
    pub fn calls(&self) -> usize {
        match self {
            Self::Called(None) => 1,
            Self::Called(Some(calls)) => calls.len(),
            Self::Skipped | Self::Failed { .. } => 0,
        }
    }

    /// Whether it comes to the same.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Skipped, Self::Skipped) | (Self::Called(None), Self::Called(None)) => true,
            (Self::Called(Some(a)), Self::Called(Some(b))) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.get() == b.get())
            }
            (Self::Failed { key: a, error: x }, Self::Failed { key: b, error: y }) => a == b && x == y,
            _ => false,
        }
    }
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Skipped => f.write_str("skipped"),
            Self::Called(None) => f.write_str("called"),
            Self::Called(Some(calls)) => match calls.len() {
                1 => f.write_str("called"),
                n => write!(f, "called {n} times"),
            },
            Self::Failed { key, .. } => write!(f, "{key} fails"),
        }
    }
}

/// What an expression put out is JSON.
fn raw(output: &Bytes) -> Option<Box<RawValue>> {
    serde_json::from_slice(output).ok()
}
