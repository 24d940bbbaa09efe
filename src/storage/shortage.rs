//! What an error says of: the process, which has not enough of something just now, or the file.

use std::io;

const INTERRUPTED: i32 = 4;
const NO_MEMORY: i32 = 12;
const SYSTEM_HAS_TOO_MANY_FILES: i32 = 23;
const PROCESS_HAS_TOO_MANY_FILES: i32 = 24;

/// Whether a call failed for want of what the process or the system is short of (EMFILE, ENFILE, ENOMEM), or was
/// interrupted. Such an error says nothing of the file.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let by_number = matches!(
        error.raw_os_error(),
        Some(INTERRUPTED | NO_MEMORY | SYSTEM_HAS_TOO_MANY_FILES | PROCESS_HAS_TOO_MANY_FILES)
    );
    by_number || matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::OutOfMemory)
}
