//! Mapping of bytes that don't change any more: the one place in the crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use bytes::Bytes;

struct Mapping(memmap2::Mmap);

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Maps the first `length` bytes of `file`, read-only.
pub(super) fn map(file: &File, length: usize) -> io::Result<Bytes> {
    if length == 0 {
        return Ok(Bytes::new());
    }
    if file.metadata()?.len() < length as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: the mapping is only sound while nobody changes or cuts these bytes. Atlas maps only bytes that it never
    // changes: sealed segments (which are cut to their length before they are sealed, and never after), of the active one
    // what is durable (frames are only added behind it, and it is never cut before it; a recovery writes at most the same
    // bytes again), and derived files (written under another name, then renamed into place; replaced by rename, never in
    // place). The directory is
    // guarded by a lock against other Atlas processes; a foreign program that cuts a mapped file can raise SIGBUS, which
    // `ReadMode::Pread` avoids for segments.
    let mapping = unsafe { memmap2::MmapOptions::new().len(length).map(file)? };
    Ok(Bytes::from_owner(Mapping(mapping)))
}
