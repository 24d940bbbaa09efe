//! Room for recursion. jaq parses, compiles and evaluates by recursion, and a frame of its evaluation takes up to 20 KiB
//! in a build without optimisation: an expression within its limits could overflow the 2 MiB of a host's thread. What is
//! short runs where it is; what is long or deep runs on a thread of its own that has the room.

/// Twice what the longest chain and the deepest nesting take in a debug build. Only what is used is memory.
const STACK: usize = 64 << 20;

/// How deep an expression may be, in units of [`super::syntax::MAX_EXPRESSION_DEPTH`], to be evaluated where it is.
pub(crate) const SHALLOW: usize = if cfg!(debug_assertions) { 8 } else { 48 };
/// How long an expression may be, in bytes, to be compiled where it is.
pub(crate) const SHORT: usize = if cfg!(debug_assertions) { 16 } else { 256 };

/// Runs `work` here, or on a thread with room where it is `deep`; `None` where there is no such thread to be had.
pub(crate) fn run<T: Send>(deep: bool, work: impl FnOnce() -> T + Send) -> Option<T> {
    if !deep {
        return Some(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("atlas-jq".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
