//! Packed files that nobody packed: a head that is right, and pages of any bytes whose CRCs are made right. For the fuzz
//! target and the tests.

use bytes::Bytes;

use super::file::{Head, PackedFile, pages_of};
use super::page;
use crate::log::format::{Salt, SegmentEnd, SegmentHeader};
use crate::storage::{Disk, DiskFile, MemoryDisk};

/// Opens `file` as a packed one and reads all of it that can be read: no bytes may make that panic, go on for ever, or take
/// more memory than the plain segment has bytes. How many bytes were read.
pub(crate) fn read_all(file: &[u8]) -> u64 {
    let disk = MemoryDisk::new();
    let Ok(written) = disk.create("packed") else { return 0 };
    let Ok(()) = written.write_all_at(0, file) else { return 0 };
    let mut read = 0;
    for is_mapped in [false, true] {
        let Ok(Some(packed)) = PackedFile::open(written.clone(), is_mapped) else { continue };
        // A head that is whole is believed about the length: a page at a time, up to more than any input means.
        let end = packed.plain_len().min(1 << 20) as u64;
        let mut buffer = vec![0; 4096];
        let mut at = 0;
        while at < end {
            match packed.read_at(at, &mut buffer) {
                Ok(bytes) => {
                    read += bytes as u64;
                    at += bytes.max(1) as u64;
                }
                Err(_) => at += 509,
            }
        }
        let _ = packed.damaged_head();
        packed.fetch((0..end as u32).step_by(1000));
    }
    read
}

/// A file of a segment of `plain_len` bytes, with `pages`, as far as it has so many.
pub(crate) fn file_of(plain_len: u32, dictionary: &[u8], pages: &[&[u8]]) -> Vec<u8> {
    let header = SegmentHeader { store_id: [1; 16], number: 1, salt: 9, before: SegmentEnd::default() };
    let mut at = Head::len_for(plain_len, dictionary.len()) as u32;
    let (mut table, mut bodies) = (at.to_le_bytes().to_vec(), Vec::new());
    for number in 0..pages_of(plain_len) {
        let mut page = pages.get(number).map_or(Vec::new(), |page| page.to_vec());
        page::mend(number as u32, &mut page, &Salt::new(header.salt));
        at += page.len() as u32;
        table.extend_from_slice(&at.to_le_bytes());
        bodies.extend_from_slice(&page);
    }
    let dictionary = Bytes::copy_from_slice(dictionary);
    let head = Head { header, plain_len, dictionary, table: table.into() }.encode();
    [&head[..], &bodies, &head, &Head::trailer(head.len())].concat()
}

/// Any bytes as a packed file, and as the pages of one.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    read_all(bytes);
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let Some((cut, rest)) = rest.split_first() else { return };
    let plain_len = u32::from_le_bytes(*length) % (4 * super::PAGE as u32) + 65;
    let cut = usize::from(*cut) * rest.len() / 255;
    let (first, second) = rest.split_at(cut);
    read_all(&file_of(plain_len, b"{\"amount\":\"12.50\",\"currency\":\"EUR\"}", &[first, second]));
}

/// The disk file of these bytes.
#[cfg(test)]
pub(super) fn disk_file(bytes: &[u8]) -> std::sync::Arc<dyn DiskFile> {
    let file = MemoryDisk::new().create("packed").unwrap();
    file.write_all_at(0, bytes).unwrap();
    file
}
