//! Packing sealed segments, behind everything else: once they are indexed, nobody waits for it.

use super::Core;
use crate::log::options::Compress;
use crate::log::packed::pack;
use crate::log::segment::segment_name;
use crate::log::{AppendError, ReadError};
use crate::planted::{Bug, planted};
use crate::sync::Ordering;

impl Core {
    /// Packs the segments of the directory that aren't packed, oldest first. What fails is tried again behind the next
    /// rotation.
    pub(super) fn pack_all(&self) {
        if self.options.compress == Compress::None {
            return;
        }
        loop {
            let number = self.packed.load(Ordering::Acquire) + 1;
            if number > self.view.read().directory.last() || !self.packing_goes_on() {
                return;
            }
            match self.pack(number) {
                Err(error @ ReadError::Io { .. }) => {
                    tracing::warn!(%error, "a segment could not be packed; it stays plain for now");
                    return;
                }
                Err(error) => tracing::warn!(%error, "a segment is not packed"),
                Ok(()) => {}
            }
            self.packed.store(number, Ordering::Release);
        }
    }

    /// Whether there is time for it: segments that wait to be indexed are indexed first.
    fn packing_goes_on(&self) -> bool {
        if let Err(error) = self.seal_all() {
            tracing::warn!(%error, "a segment could not be indexed; it stays in memory for now");
        }
        !self.closing.load(Ordering::Acquire) && self.check_held().is_ok()
    }

    /// Puts the packed file in the place of the plain one, if it is smaller. Whoever reads the plain one goes on with it.
    fn pack(&self, number: u32) -> Result<(), ReadError> {
        let segment = self.sealed.segment(number, None)?;
        if segment.packed().is_some() {
            return Ok(());
        }
        let disk = self.sealed.disk();
        let (name, temporary) = (segment_name(number), format!("{}.new", segment_name(number)));
        let io = |error| ReadError::io(&temporary)(error);
        let swap = || {
            let file = disk.create(&temporary).map_err(io)?;
            if !pack(&segment, &self.options.compress, (&file, &temporary), || self.packing_goes_on())? {
                return Ok(false);
            }
            if !planted(Bug::PackedNotSynced) {
                file.sync().map_err(io)?;
            }
            // Another may hold the directory by now, who knows nothing of this file.
            self.check_held().map_err(|error: AppendError| io(std::io::Error::other(error)))?;
            disk.rename(&temporary, &name).map_err(io)?;
            Ok(true)
        };
        match self.sealed.derived.on_disk(swap) {
            // The name is durable or not: either file is the segment.
            Some(Ok(true)) => {
                self.sealed.close(number);
                disk.sync_dir("log").map_err(ReadError::io("log"))
            }
            Some(swapped) => {
                let _ = disk.remove(&temporary);
                swapped.map(drop)
            }
            None => Ok(()),
        }
    }
}
