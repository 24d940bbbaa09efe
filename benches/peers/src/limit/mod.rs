//! The bare limit: the same bytes without a store. Written by one pwrite and one fdatasync into space that was filled with
//! zeros before; committed in groups on a runtime; walked in memory; read from the disk.

mod bare;
mod cold;
mod group_commit;
mod raw;
mod walk;

pub use bare::Bare;
pub use cold::Cold;
pub use group_commit::GroupCommit;
pub use raw::{push_raw, raw_batch, see_raw};
pub use walk::Walk;
