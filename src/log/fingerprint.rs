//! What the log was at an address. A file that is derived from the log states it beside how far it reflects the log, so
//! that one of another store, or of a history that parted from this one, is not believed.

use serde::{Deserialize, Serialize};

use super::format::{FRAME_HEADER_LEN, FrameHeader, SEGMENT_HEADER_LEN};
use super::{Address, EventStore, ReadError};

/// The log up to an address. As each frame states the CRC of the one before it, and each segment that of the last frame of
/// the segment before, the CRC of the last frame stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) store_id: [u8; 16],
    /// CRC of the frame that holds the byte before the address; 0 where there is none.
    last_crc: u32,
}

/// How much of which log a derived file says that it reflects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reflected {
    /// All before this address.
    pub(crate) up_to: Address,
    /// `None` of a file that older versions of Atlas wrote.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// What a derived file is to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It reflects this log.
    OfThisLog,
    /// It tells of more than this log holds, which has lost data then. Of another store it isn't known to be.
    AheadOfLog,
    /// It reflects another log: of another store, or one that parted from this one before the address.
    OfAnotherLog,
    /// It doesn't say which log it reflects.
    Unsaid,
}

impl EventStore {
    /// What the log is up to `address`; `None` where it has no such address, or none that is durable.
    pub(crate) fn fingerprint_at(&self, address: Address) -> Result<Option<Fingerprint>, ReadError> {
        if address > self.durable_end() {
            return Ok(None);
        }
        let view = self.view()?;
        let store_id = view.sealed.store_id();
        let of = |last_crc| Ok(Some(Fingerprint { store_id, last_crc }));
        if address.segment() == 0 {
            return of(0);
        }
        let before = Address::new(address.segment(), address.offset().saturating_sub(1));
        let part = view.part(view.part_at(before))?;
        let Some(part) = part.filter(|part| part.segment().number() == address.segment()) else { return Ok(None) };
        let segment = part.segment();
        if before.offset() < SEGMENT_HEADER_LEN as u32 {
            return of(segment.header.before.last_crc);
        }
        let Some(frame) = part.frame_at(before.offset())? else { return Ok(None) };
        let mut bytes = [0; FRAME_HEADER_LEN];
        let found = segment.file.read_up_to(u64::from(frame.offset), &mut bytes).map_err(|error| segment.io(error))?;
        match FrameHeader::decode(bytes.get(..found).unwrap_or_default(), usize::MAX) {
            Ok(header) if before.offset() - frame.offset < header.length => of(header.crc),
            // The segment ends before the address, or that header is damaged.
            _ => Ok(None),
        }
    }

    /// What a derived file is to this log.
    pub(crate) fn standing_of(&self, file: &Reflected) -> Result<Standing, ReadError> {
        if file.up_to > self.durable_end() {
            let store_id = self.view()?.sealed.store_id();
            let may_be_ours = file.fingerprint.is_none_or(|said| said.store_id == store_id);
            return Ok(if may_be_ours { Standing::AheadOfLog } else { Standing::OfAnotherLog });
        }
        match file.fingerprint {
            None => Ok(Standing::Unsaid),
            said if said == self.fingerprint_at(file.up_to)? => Ok(Standing::OfThisLog),
            Some(_) => Ok(Standing::OfAnotherLog),
        }
    }
}
