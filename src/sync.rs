//! Locks, atomics and threads of the log and the seam below it, through one door, so that a test can put others in their
//! place that step through orders of threads: `--cfg shuttle` does. What isn't here (`OnceLock`) must hold nobody up: nothing
//! in its initialiser may be a step.

#[cfg(shuttle)]
mod stepped;

#[cfg(not(shuttle))]
pub(crate) use {
    parking_lot::{Condvar, Mutex, RwLock},
    std::{
        sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        sync::mpsc,
        thread,
    },
};

#[cfg(shuttle)]
pub(crate) use {
    shuttle::{
        sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        sync::mpsc,
        thread,
    },
    stepped::{Condvar, Mutex, RwLock},
};
