//! The peers, each in its file with how it is tuned.

mod atlas;
#[cfg(feature = "fjall")]
mod fjall;
mod lmdb;
#[cfg(feature = "okaywal")]
mod okaywal;
#[cfg(feature = "raft-engine")]
mod raft_engine;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sierradb")]
mod sierradb;
mod sqlite;
#[cfg(feature = "tephra")]
mod tephra;
#[cfg(feature = "umadb")]
mod umadb;

use crate::peer::Kind;

/// All that are built in.
pub fn all() -> Vec<Kind> {
    vec![
        atlas::KIND,
        sqlite::KIND,
        redb::KIND,
        lmdb::ONCE,
        lmdb::TWICE,
        #[cfg(feature = "fjall")]
        fjall::KIND,
        #[cfg(feature = "rocksdb")]
        rocksdb::ONCE,
        #[cfg(feature = "rocksdb")]
        rocksdb::TWICE,
        #[cfg(feature = "okaywal")]
        okaywal::KIND,
        #[cfg(feature = "raft-engine")]
        raft_engine::KIND,
        #[cfg(feature = "umadb")]
        umadb::KIND,
        #[cfg(feature = "sierradb")]
        sierradb::KIND,
        #[cfg(feature = "tephra")]
        tephra::KIND,
    ]
}
