//! Rotation, and what happens behind it: indexing what was sealed, merging the directory.

use std::sync::Arc;

use super::{Core, MAX_UNSEALED};
use crate::log::derived::scan_sealed;
use crate::log::format::{ClosingReason, SEGMENT_HEADER_LEN};
use crate::log::index::MemoryIndex;
use crate::log::part::{MemoryPart, Part};
use crate::log::recovery;
use crate::log::segment::Segment;
use crate::log::writer::{Writer, create_segment};
use crate::log::{Address, AppendError, OpenError, ReadError};
use crate::planted::{Bug, planted};
use crate::storage::Lane;
use crate::sync::Ordering;

impl Core {
    /// Ends the active segment and begins the next. Where there is no space for it, nothing changes.
    pub(super) fn rotate(self: &Arc<Self>, writer: &mut Writer) -> Result<(), AppendError> {
        let no_space = |source| AppendError::NoSpace { needed: 64, source: Arc::new(source) };
        while self.view.read().recent.len() > MAX_UNSEALED {
            // Behind is behind: help, so that memory stays bounded.
            match self.seal_oldest() {
                Ok(true) => {}
                Ok(false) => break,
                // A full disk has no room for an index either; more of them in memory would be too many.
                Err(error) if self.view.read().recent.len() > 2 * MAX_UNSEALED => {
                    let kind = match &error {
                        ReadError::Io { source, .. } => source.kind(),
                        _ => std::io::ErrorKind::Other,
                    };
                    return Err(no_space(std::io::Error::new(kind, error)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a segment could not be indexed; it stays in memory for now");
                    break;
                }
            }
        }
        let number = writer.part.segment.number() + 1;
        // What is in the segment must be durable before the next one exists.
        if writer.synced_to != Address::new(number - 1, writer.offset) && !planted(Bug::RotateWithoutSync) {
            self.sync_writer(writer)?;
        }
        if !writer.is_closed() {
            let ended = writer.close_segment(ClosingReason::Sealed, self.options.segment_size);
            let end = ended.map_err(|failure| self.fail(failure))?;
            self.publish(writer, end)?;
        }
        let (disk, store_id) = (self.sealed.disk(), self.sealed.store_id());
        let segment = create_segment(disk, &self.environment, store_id, number, writer.segment_end())
            .map_err(|failure| self.fail(failure))?;
        self.sealed.map_active(&segment);
        let (hash, next_position) = {
            let index = writer.part.index.read();
            (index.hash().clone(), index.next_position())
        };
        let index = MemoryIndex::new(hash, SEGMENT_HEADER_LEN as u32, 1, next_position);
        let part = Arc::new(MemoryPart::new(segment.clone(), index));
        let last_crc = recovery::header_crc(&segment);
        let chunk = self.options.fill_chunk;
        let filled = SEGMENT_HEADER_LEN as u64;
        let next = Writer::new(part.clone(), last_crc, writer.last_recorded, false, filled, chunk);
        {
            let mut view = self.view.write();
            let mut changed = (**view).clone();
            changed.recent.push(Part::Memory(part));
            *view = Arc::new(changed);
        }
        *writer = next;
        self.durable.set(writer.synced_to, next_position.saturating_sub(1));
        let core = self.clone();
        let seal = move || {
            if let Err(error) = core.seal_all() {
                tracing::warn!(%error, "a segment could not be indexed; it stays in memory for now");
            }
            core.pack_all();
        };
        self.environment.scheduler.submit(Lane::Behind, Box::new(seal));
        Ok(())
    }

    /// Indexes every segment that isn't appended to any more, then merges the directory.
    pub(super) fn seal_all(&self) -> Result<(), ReadError> {
        let goes_on = || !self.closing.load(Ordering::Acquire) && self.check_held().is_ok();
        let mut more = true;
        while more {
            more = goes_on() && (self.seal_oldest()? || self.merge_directory()?);
        }
        Ok(())
    }

    /// Writes the index of the oldest segment that has none, and moves it to the directory. `false`: there is none.
    fn seal_oldest(&self) -> Result<bool, ReadError> {
        let _sealing = self.sealing.lock();
        let view = self.view.read().clone();
        let next = view.directory.last() + 1;
        if next >= view.tail() {
            return Ok(false);
        }
        let disk = self.sealed.disk();
        let store_id = self.sealed.store_id();
        let parts: Vec<&Part> = view.recent.iter().filter(|part| part.segment().number() == next).collect();
        let index = match parts.as_slice() {
            [Part::Memory(part)] => {
                let index = part.index.read();
                self.sealed.derived.write_index(next, &index)?
            }
            // A segment that was reopened after a clean close: its older part is indexed in a file of its own.
            _ => {
                let segment = Segment::open(disk, next, false, None).map_err(OpenError::into_read)?;
                let scan = scan_sealed(&segment, self.sealed.hash().clone())?;
                self.sealed.derived.write_index(next, &scan.index)?
            }
        };
        let directory = view.directory.with(disk, store_id, &index)?;
        self.sealed.derived.watch_directory(&directory);
        self.sealed.sealed(index)?;
        let mut current = self.view.write();
        let mut changed = (**current).clone();
        changed.directory = Arc::new(directory);
        changed.recent.retain(|part| part.segment().number() > next);
        *current = Arc::new(changed);
        Ok(true)
    }

    /// Merges two runs of the directory where that is due. `false`: it isn't.
    fn merge_directory(&self) -> Result<bool, ReadError> {
        let _sealing = self.sealing.lock();
        let view = self.view.read().clone();
        let disk = self.sealed.disk();
        let Some((merged, old)) = view.directory.merged(disk, self.sealed.store_id())? else { return Ok(false) };
        self.sealed.derived.watch_directory(&merged);
        {
            let mut current = self.view.write();
            let mut changed = (**current).clone();
            changed.directory = Arc::new(merged);
            *current = Arc::new(changed);
        }
        for name in old {
            match disk.remove(&name) {
                // Who makes a part of the directory anew removes what it made on the way.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(ReadError::io(&name)(error)),
                _ => {}
            }
        }
        Ok(true)
    }
}
