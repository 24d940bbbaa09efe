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

use std::path::Path;
use std::sync::Arc;

use crate::peer::{Kind, Peer, Result};

pub use atlas::open_with_segments as open_atlas_with_segments;

/// All that are built in.
pub fn all() -> Vec<Kind> {
    vec![
        atlas::KIND,
        atlas::PACKED,
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

/// Opens a peer as its expert would for random reads of what isn't in memory.
pub fn open_for_cold_reads(kind: &Kind, dir: &Path) -> Result<Arc<dyn Peer>> {
    match kind.name {
        "lmdb" | "lmdb-twice" => lmdb::open_without_read_ahead(dir, kind.name == lmdb::TWICE.name),
        _ => (kind.open)(dir),
    }
}

/// The peers of a list of names; all where it is empty.
pub fn named(names: &[String]) -> Result<Vec<Kind>> {
    let all = all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|kind| kind.name != name.as_str())) {
        let known: Vec<&str> = all.iter().map(|kind| kind.name).collect();
        return Err(format!("no peer is called {unknown}; there are {}", known.join(", ")).into());
    }
    Ok(all.into_iter().filter(|kind| names.is_empty() || names.iter().any(|name| name == kind.name)).collect())
}
