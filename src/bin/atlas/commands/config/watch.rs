//! `atlas config watch`: a folder is checked on each save, and activated when it is whole.

use std::path::Path;
use std::time::Duration;

use super::{Import, Watch, stage};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, message};

/// How long between two looks.
const EVERY: Duration = Duration::from_millis(300);

pub(super) async fn run(arguments: &Watch, dir: &Path, output: &mut Output) -> Outcome {
    let mut watch = atlas::config::Watch::new(&arguments.folder);
    let import = Import {
        folder: arguments.folder.clone(),
        scope: arguments.scope.clone(),
        activate: true,
        why: arguments.why.clone(),
    };
    loop {
        if watch.changed()? {
            match stage::import(&import, dir, output).await {
                Err(failure @ (Failure::Usage(_) | Failure::BrokenPipe)) => return Err(failure),
                // What is wrong is said, and what is active stays; the next save is looked at again.
                Err(Failure::Message(what) | Failure::Located(what)) => message(what),
                Ok(()) | Err(Failure::Said) => {}
            }
            output.flush()?;
        }
        std::thread::sleep(EVERY);
    }
}
