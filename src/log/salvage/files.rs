//! Which segment each file holds. Its header says so, whatever the file's name; of a damaged one it can be proven what it
//! was, as all but the salt is known from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::unreadable::Patched;
use super::{Loss, store_of, whole_segment};
use crate::log::format::{
    BadHeader, FRAME_HEADER_LEN, FrameHeader, PACKED_VERSION, Reader, SEGMENT_HEADER_LEN, Salt, SegmentEnd,
    SegmentHeader, check_frame,
};
use crate::log::packed::open_plain;
use crate::log::segment::{Segment, segment_name};
use crate::log::{MAX_FRAME, OpenError, ReadError};
use crate::storage::{Disk, DiskFile, is_shortage};

const HEADER_DAMAGED: &str = "the segment header is damaged; its frames can be read all the same";

/// A segment, and its file.
type Opened = (Arc<Segment>, Arc<Patched>);

/// A file that holds a segment of this store.
pub(super) struct SegmentFile {
    name: String,
    bytes: Vec<u8>,
    /// `None`: it is damaged, and the file's name is believed.
    header: Option<SegmentHeader>,
    what: &'static str,
    /// Its name and its header are what they should be.
    pub(super) is_sound: bool,
}

/// All segment files, by the number of the segment.
pub(super) struct Files {
    pub(super) store_id: [u8; 16],
    pub(super) segments: BTreeMap<u32, SegmentFile>,
    pub(super) losses: Vec<Loss>,
    /// Every segment of which there is a file, of whatever use.
    present: BTreeSet<u32>,
}

impl Files {
    /// Reads the headers of the files that `numbers` name.
    pub(super) fn read(disk: &dyn Disk, numbers: &[u32]) -> Result<Self, OpenError> {
        let (mut segments, mut losses, mut present) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let mut found = Vec::new();
        for number in numbers {
            let name = segment_name(*number);
            match read_header(disk, &name) {
                Ok((bytes, length)) => found.push((*number, name, length, SegmentHeader::decode(&bytes), bytes)),
                Err(error) if is_shortage(&error) => return Err(ReadError::io(name)(error).into()),
                Err(error) => {
                    present.insert(*number);
                    losses.push(unreadable_segment(disk, *number, &name, &error));
                }
            }
        }
        let store_id = store_of(found.iter().filter_map(|(.., header, _)| Some(header.ok()?.store_id)));
        let own = |number: u32, header: &Result<SegmentHeader, BadHeader>| {
            header.is_ok_and(|header| header.number == number && header.store_id == store_id)
        };
        // Those whose name is right first: of two that say the same one the other is a copy.
        let (sound, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(number, .., header, _)| own(*number, header));
        for (number, name, _, header, bytes) in sound {
            present.insert(number);
            let header = header.ok();
            segments.insert(number, SegmentFile { name, bytes, header, what: "", is_sound: true });
        }
        for (number, name, length, header, bytes) in others {
            let mut lost = |what: String| losses.push(whole_segment(number, length, what));
            match header {
                Ok(header) if header.store_id != store_id => {
                    present.insert(number);
                    lost("the segment is of another store".to_owned());
                }
                Ok(header) if segments.contains_key(&header.number) => {
                    present.insert(number);
                    lost(format!("the file is another copy of segment {}", header.number));
                }
                Ok(header) => {
                    let right = segment_name(header.number);
                    let what = format!("the file is segment {}: rename it to {right}", header.number);
                    losses.push(Loss { bytes: 0, ..whole_segment(number, 0, what) });
                    present.insert(header.number);
                    let file = SegmentFile { name, bytes, header: Some(header), what: "", is_sound: false };
                    segments.insert(header.number, file);
                }
                Err(BadHeader::Newer(found)) => {
                    present.insert(number);
                    lost(OpenError::NewerFormat { file: name, found, known: PACKED_VERSION }.to_string());
                }
                Err(BadHeader::Bad(what)) => {
                    present.insert(number);
                    // One of another name that says to be this segment has been taken, or is taken below in its place.
                    segments.entry(number).or_insert(SegmentFile { name, bytes, header: None, what, is_sound: false });
                }
            }
        }
        Ok(Self { store_id, segments, losses, present })
    }

    /// The last segment that the log is known to have.
    pub(super) fn last(&self) -> u32 {
        self.segments.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Those that are missing up to segment `last`: the first and the last of each run.
    pub(super) fn missing(&self, last: u32) -> Vec<(u32, u32)> {
        let mut missing = Vec::new();
        let mut next = 1u32;
        for number in self.present.iter().copied().filter(|number| *number <= last).chain([last.saturating_add(1)]) {
            if number > next {
                missing.push((next, number - 1));
            }
            next = number.saturating_add(1);
        }
        missing
    }
}

impl SegmentFile {
    /// Opens it as segment `number`; `before` is how the segment before it ends, where that is known. What is wrong with
    /// its header is added to `losses`; `None` where nothing can be read with it. What can't be read of the file is
    /// passed over by the one that is given beside it.
    pub(super) fn open(
        &self,
        disk: &dyn Disk,
        store_id: [u8; 16],
        number: u32,
        before: Option<SegmentEnd>,
        losses: &mut Vec<Loss>,
    ) -> Result<Option<Opened>, ReadError> {
        let opened = open_plain(disk, &self.name).and_then(|file| {
            let file = Arc::new(Patched::new(file));
            let before = if number == 1 { Some(SegmentEnd::default()) } else { before };
            let header = match self.header {
                None => proven(&*file, &self.bytes, store_id, number, before)?,
                known => known,
            };
            Ok((header, file.len()?, file))
        });
        match opened {
            Ok((Some(header), _, file)) => {
                if self.header.is_none() {
                    losses.push(whole_segment(number, SEGMENT_HEADER_LEN as u64, HEADER_DAMAGED.to_owned()));
                }
                Ok(Some((Segment::of_file(self.name.clone(), file.clone(), header), file)))
            }
            Ok((None, length, _)) => {
                let what = format!("{}: damaged at offset 0: {}", self.name, self.what);
                losses.push(whole_segment(number, length, what));
                Ok(None)
            }
            Err(error) if is_shortage(&error) => Err(ReadError::io(&self.name)(error)),
            Err(error) => {
                losses.push(unreadable_segment(disk, number, &self.name, &error));
                Ok(None)
            }
        }
    }
}

/// What stands where a segment's header should be, and how long the file is.
fn read_header(disk: &dyn Disk, name: &str) -> std::io::Result<(Vec<u8>, u64)> {
    let file = open_plain(disk, name)?;
    let mut bytes = vec![0; SEGMENT_HEADER_LEN];
    let read = file.read_up_to(0, &mut bytes)?;
    bytes.truncate(read);
    Ok((bytes, file.len()?))
}

/// A segment of which nothing can be read, under the `name` of its file.
pub(super) fn unreadable_segment(disk: &dyn Disk, number: u32, name: &str, error: &std::io::Error) -> Loss {
    let is_file = error.kind() != std::io::ErrorKind::IsADirectory;
    let length = disk.open(name, false).and_then(|file| file.len()).ok().filter(|_| is_file).unwrap_or(0);
    Loss { file: name.to_owned(), ..whole_segment(number, length, format!("the segment can't be read: {error}")) }
}

/// What a damaged header was, as its own CRC proves: the salt as it stands, and the rest as it is known from elsewhere. Where
/// that CRC itself is damaged, all else is what it should be, and the first frame is whole by the salt.
fn proven(
    file: &dyn DiskFile,
    bytes: &[u8],
    store_id: [u8; 16],
    number: u32,
    before: Option<SegmentEnd>,
) -> std::io::Result<Option<SegmentHeader>> {
    let mut fields = Reader::new(bytes.get(40..).unwrap_or_default());
    let (Some(salt), Some(last_crc), Some(offset)) = (fields.u64(), fields.u32(), fields.u32()) else {
        return Ok(None);
    };
    let as_it_stands = SegmentEnd { last_crc, offset };
    let header = |before| SegmentHeader { store_id, number, salt, before };
    let same =
        |header: &SegmentHeader, place: std::ops::Range<usize>| header.encode().get(place.clone()) == bytes.get(place);
    let said = [Some(as_it_stands), before].into_iter().flatten().map(header);
    if let Some(header) = said.into_iter().find(|header| same(header, 60..SEGMENT_HEADER_LEN)) {
        return Ok(Some(header));
    }
    let header = header(as_it_stands);
    let is_known = same(&header, 0..60) && before.is_none_or(|before| before == as_it_stands);
    Ok((is_known && first_frame_is_whole(file, salt)?).then_some(header))
}

fn first_frame_is_whole(file: &dyn DiskFile, salt: u64) -> std::io::Result<bool> {
    let mut head = [0; FRAME_HEADER_LEN];
    let read = file.read_up_to(SEGMENT_HEADER_LEN as u64, &mut head)?;
    let left = usize::try_from(file.len()?.saturating_sub(SEGMENT_HEADER_LEN as u64)).unwrap_or(usize::MAX);
    let Ok(frame) = FrameHeader::decode(head.get(..read).unwrap_or_default(), MAX_FRAME.min(left)) else {
        return Ok(false);
    };
    let mut bytes = vec![0; frame.length as usize];
    file.read_exact_at(SEGMENT_HEADER_LEN as u64, &mut bytes)?;
    Ok(check_frame(&bytes, &Salt::new(salt)).is_ok())
}
