//! What a check found, and what it looked at.

use crate::log::ReadError;

/// Something in a directory that isn't as it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file's name in the data directory.
    pub file: String,
    /// Where, in bytes from its start.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What a check looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Whether it was a deep check; `false` where one was asked for, but the log itself is damaged.
    pub deep: bool,
    /// Segments.
    pub segments: u64,
    /// Events in whole frames.
    pub events: u64,
    /// Indexes of segments. One that is missing is no problem: it is derived.
    pub indexes: u64,
    /// Streams that were read from their first event to their last; of a deep check.
    pub streams: u64,
    /// Keyframes that were held against their fold; of a deep check.
    pub keyframes: u64,
    /// Keyframes of folds that the check doesn't know, which it counts and can't judge; of a deep check.
    pub other_keyframes: u64,
    /// Derived databases.
    pub databases: Vec<String>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Whether there are no problems.
    pub ok: bool,
    /// The problems, by file.
    pub problems: Vec<Problem>,
    /// What was looked at.
    pub checked: Checked,
}

impl Report {
    /// Whether the log itself is damaged, and not only what is derived from it.
    pub fn log_is_damaged(&self) -> bool {
        self.problems.iter().any(|problem| problem.file.ends_with(".seg"))
    }

    /// Adds a problem.
    pub(crate) fn add(&mut self, file: impl Into<String>, offset: u64, what: impl Into<String>) {
        self.ok = false;
        self.problems.push(Problem { file: file.into(), offset, what: what.into() });
    }

    pub(super) fn add_error(&mut self, error: ReadError) {
        match error {
            ReadError::Corrupt { file, offset, what } => self.add(file, offset, what),
            ReadError::Io { file, source } if source.kind() == std::io::ErrorKind::IsADirectory => {
                self.add(file, 0, "a directory stands in the place of the file; move it away");
            }
            ReadError::Io { file, source } => self.add(file, 0, source.to_string()),
            other => self.add("log", 0, other.to_string()),
        }
    }
}
