//! The last resort: a panic ends the program as a failure does, with one line and exit code 1.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::OnceLock;

use crate::failure::{Failure, Outcome};

static FIRST: OnceLock<String> = OnceLock::new();

/// Runs `work`; a panic in it, on whatever thread, is its failure. Where `work` fails by itself, that says more.
pub(crate) fn caught(work: impl FnOnce() -> Outcome) -> Outcome {
    set_hook(Box::new(|panic| {
        // The database panics on some damage, which is caught where a file is opened and then made anew; anywhere else the
        // work fails by itself.
        if panic.location().is_some_and(|place| place.file().contains("/redb-")) {
            return;
        }
        let place = panic.location().map(|place| format!(" ({}:{})", file_name(place.file()), place.line()));
        let what = panic.payload_as_str().unwrap_or("no reason is known").replace('\n', " ");
        // The first is the cause of those that follow.
        let _ = FIRST.set(format!("{what}{}", place.unwrap_or_default()));
    }));
    let result = catch_unwind(AssertUnwindSafe(work));
    let panicked = || {
        let what = FIRST.get().map_or("no reason is known", String::as_str);
        Err(Failure::new(format!("a fault inside Atlas: {what}; `atlas verify` tells whether the directory is whole")))
    };
    match result {
        Err(_) => panicked(),
        Ok(Ok(()) | Err(Failure::BrokenPipe)) if FIRST.get().is_some() => panicked(),
        Ok(result) => result,
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}
