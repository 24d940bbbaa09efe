//! Maps: of bytes that don't change any more, and of a page that tells a forked child from its parent. The one place in the
//! crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use memmap2::{Advice, Mmap};

struct Mapping(Arc<Mmap>);

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Maps the first `length` bytes of `file`, read-only, to be read in no order. What comes next is [asked for](will_need),
/// as reading around whatever is needed would read ten times what a stream takes.
pub(super) fn map(file: &File, length: usize) -> io::Result<(Bytes, Weak<Mmap>)> {
    if length == 0 {
        return Ok((Bytes::new(), Weak::new()));
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
    let mapping = Arc::new(mapping);
    // Only advice: without it reads are slower.
    let _ = mapping.advise(Advice::Random);
    let asked = Arc::downgrade(&mapping);
    Ok((Bytes::from_owner(Mapping(mapping)), asked))
}

/// Has some bytes of a mapping read, without waiting for them.
pub(super) fn will_need(mapping: &Mmap, bytes: Range<usize>) {
    let end = bytes.end.min(mapping.len());
    if bytes.start < end {
        let _ = mapping.advise_range(Advice::WillNeed, bytes.start, end - bytes.start);
    }
}

/// How many page faults of this thread (of the process, where the system doesn't count by thread) waited for the disk.
pub(super) fn major_faults() -> u64 {
    #[cfg(target_os = "linux")]
    const WHO: libc::c_int = libc::RUSAGE_THREAD;
    #[cfg(not(target_os = "linux"))]
    const WHO: libc::c_int = libc::RUSAGE_SELF;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is memory for one `rusage`, which the call fills; all zeros are a valid one where it fails.
    let usage = unsafe {
        libc::getrusage(WHO, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_majflt).unwrap_or_default()
}

/// A page that holds ones, and zeros in a child that this process forks.
#[cfg(target_os = "linux")]
pub(super) fn gone_in_a_child() -> io::Result<memmap2::MmapMut> {
    const NO_ADVICE: libc::c_int = -1;
    let mut page = memmap2::MmapMut::map_anon(1)?;
    let mut advise = |advice| {
        // SAFETY: the advice is about the whole of one mapping, which is private and of no file, as it must be; it changes
        // nothing of what this process sees. One that there isn't is refused.
        unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), advice) == 0 }
    };
    // Emulators are known that say yes to everything and do nothing.
    if advise(NO_ADVICE) || !advise(libc::MADV_WIPEONFORK) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    page.fill(1);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use crate::event::Event;
    use crate::log::{Append, AppendError, Direction, EventStore, ReadError};
    use crate::storage::Process;

    /// What `look` says in a forked child.
    fn in_a_child(look: impl FnOnce() -> bool) -> bool {
        // SAFETY: between its fork and its end the child calls what allocates memory at most, which glibc makes whole again.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let status = if look() { 0 } else { 7 };
            // SAFETY: nothing of the parent's is run at this exit.
            unsafe { libc::_exit(status) };
        }
        let mut status = -1;
        // SAFETY: `status` is memory for one status.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(waited, child);
        status == 0
    }

    #[test]
    fn a_forked_child_is_told_from_its_parent() {
        for process in [Process::current(), Process::without_mark()] {
            assert!(process.is_current());
            assert!(in_a_child(|| !process.is_current()));
            assert!(process.is_current());
        }
    }

    #[test]
    fn a_forked_childs_calls_fail() {
        let store = EventStore::in_memory().unwrap();
        let scope = "t/a".parse().unwrap();
        let append = || store.append(Append::to(&scope).event(Event::new("A_B_C_D_1", "s")));
        append().unwrap();
        let by = std::process::id();
        let all_fail = in_a_child(|| {
            let read = store.read_stream(&scope, "s", 1, Direction::Forward);
            matches!(append(), Err(AppendError::Forked { opened_by }) if opened_by == by)
                && matches!(read, Err(ReadError::Forked { opened_by }) if opened_by == by)
                && matches!(store.sync(), Err(AppendError::Forked { .. }))
                && matches!(store.close(), Err(AppendError::Forked { .. }))
        });
        assert!(all_fail);
        assert_eq!(append().unwrap().events[0].version, 2);
    }
}
