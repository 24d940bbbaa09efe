//! Locks and atomics of the log and the seam below it, through one door, so that a test can put others in their place
//! that step through every order of threads.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
