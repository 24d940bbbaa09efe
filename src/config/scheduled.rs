//! What `catalog.redb` tells of schedules.

use redb::ReadTransaction;

use super::derived::Derived;
use super::document::DocumentId;
use super::fault::ConfigError;
use super::info::What;
use super::look_up::{file, stored};
use super::schedules::{self, Schedule, Schedules};
use super::tables::damaged;
use crate::event::{Name, TreeScope};

impl Derived {
    /// Since when a schedule stands as it does in what is active of a tree, in microseconds since the Unix epoch; `None`
    /// where it doesn't.
    pub(super) fn scheduled_since(
        &self,
        tree: &TreeScope,
        name: &Name,
        schedule: &Schedule,
    ) -> Result<Option<i64>, ConfigError> {
        let read = self.read()?;
        let (mut since, mut the_same) = (None, None);
        for entry in self.history(tree)?.iter().rev().filter(|entry| entry.what == What::Activated) {
            let stored =
                stored(&read, entry.revision)?.ok_or_else(|| damaged("revisions", "a revision that is missing"))?;
            let file = stored.file("schedules.json");
            // The file seldom changes with an activation.
            if the_same != Some(file) {
                let known = file.map(|id| read_schedules(&read, id)).transpose()?;
                if !known.is_some_and(|known| known.get(name).is_some_and(|(found, _)| found == schedule)) {
                    break;
                }
                the_same = Some(file);
            }
            since = Some(entry.recorded_at);
        }
        Ok(since)
    }
}

pub(super) fn read_schedules(read: &ReadTransaction, id: DocumentId) -> Result<Schedules, ConfigError> {
    schedules::schedules("schedules.json", &file(read, id)?)
        .whole()
        .map_err(|_| damaged("documents", "schedules.json that can't be read"))
}
