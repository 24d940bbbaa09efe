//! Progress of long work, on stderr, where that is a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or nothing where nobody looks.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Work on `length` bytes; 0 where the length isn't known.
    pub(crate) fn bytes(what: &'static str, length: u64) -> Self {
        let template = if length > 0 {
            "{prefix} [{bar:32}] {bytes} of {total_bytes}, {elapsed}, {eta} to go {msg}"
        } else {
            "{prefix} {spinner} {bytes}, {elapsed} {msg}"
        };
        Self::new(what, length, template)
    }

    /// Work on `length` items; 0 where the number isn't known.
    pub(crate) fn items(what: &'static str, length: u64) -> Self {
        let template = if length > 0 {
            "{prefix} [{bar:32}] {human_pos} of {human_len}, {per_sec}, {elapsed}, {eta} to go"
        } else {
            "{prefix} {spinner} {human_pos}, {per_sec}, {elapsed}"
        };
        Self::new(what, length, template)
    }

    /// Work without a measure.
    pub(crate) fn waiting(what: &'static str) -> Self {
        Self::new(what, 0, "{prefix} {spinner} {elapsed}")
    }

    fn new(what: &'static str, length: u64, template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(what);
        bar.enable_steady_tick(std::time::Duration::from_millis(250));
        Self(bar)
    }

    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    pub(crate) fn say(&self, text: String) {
        if !self.0.is_hidden() {
            self.0.set_message(text);
        }
    }

    /// Runs `write`, which writes to the terminal, with the bar out of its way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
