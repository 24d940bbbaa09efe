//! The peers, each in its file with how it is tuned.

mod atlas;
mod lmdb;
mod redb;
mod sqlite;

use crate::peer::Kind;

/// All that are built in.
pub fn all() -> Vec<Kind> {
    vec![atlas::KIND, sqlite::KIND, redb::KIND, lmdb::ONCE, lmdb::TWICE]
}
