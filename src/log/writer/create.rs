//! A new segment's file.

use std::sync::Arc;

use super::Failure;
use crate::log::AppendError;
use crate::log::format::{SEGMENT_HEADER_LEN, SegmentEnd, SegmentHeader};
use crate::log::segment::{Segment, segment_name};
use crate::planted::{Bug, planted};
use crate::storage::{Disk, Environment};

/// Creates the file of segment `number`, durably, with its header and nothing else; it gets its name only when it is
/// whole. Once it may have its name there is no way back, so nothing
/// is left to be read then.
pub(crate) fn create_segment(
    disk: &dyn Disk,
    environment: &Environment,
    store_id: [u8; 16],
    number: u32,
    before: SegmentEnd,
) -> Result<Arc<Segment>, Failure> {
    let header = SegmentHeader { store_id, number, salt: environment.entropy.next_u64(), before };
    let temporary = format!("log/{number:08}.seg.new");
    let write = || {
        let file = disk.create(&temporary)?;
        file.write_all_at(0, &header.encode())?;
        file.sync().map(|()| file)
    };
    let file = write().map_err(|source| {
        // A file that was never named; an open would remove it as well.
        let _ = disk.remove(&temporary);
        Failure::Refused(AppendError::NoSpace { needed: SEGMENT_HEADER_LEN as u64, source: Arc::new(source) })
    })?;
    let name = || {
        disk.rename(&temporary, &segment_name(number))?;
        if planted(Bug::SegmentNameNotSynced) { Ok(()) } else { disk.sync_dir("log") }
    };
    name().map_err(|source| Failure::Poisoned { operation: "sync", source })?;
    Ok(Segment::of_file(segment_name(number), file, header))
}
