//! One durable commit: into which space, and by which calls.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Instant;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::fs::{FallocateFlags, fallocate};

use super::{Way, compare};
use crate::peer::Result;

/// Commits of a sample.
const COMMITS: usize = 200;
/// What direct writes must begin and end at.
const PAGE: usize = 4096;

/// What the file is like where a commit goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Zeros,
    /// Written before, as a segment that is used again.
    Used,
    Allocated,
    /// Beyond its end.
    None,
}

pub fn run(dir: &Path) -> Result<()> {
    for (size, title) in [(363, "one event per commit"), (36_300, "100 events per commit")] {
        let space = COMMITS * size.max(PAGE) * 2;
        let written = |name: &'static str, space_is: Space| {
            Way::new(name, move || {
                let file = create(dir, space_is, space, 0)?;
                timed(size, |at, bytes| {
                    file.write_all_at(bytes, at)?;
                    Ok(file.sync_data()?)
                })
            })
        };
        let flagged = |name: &'static str, flags: i32, size: usize| {
            Way::new(name, move || {
                let file = create(dir, Space::Zeros, space, flags)?;
                timed(size, |at, bytes| Ok(file.write_all_at(bytes, at)?))
            })
        };
        let ring = Way::new("zeros, io_uring: write and fdatasync linked", || {
            let file = create(dir, Space::Zeros, space, 0)?;
            let mut ring = IoUring::new(8)?;
            timed(size, |at, bytes| linked(&mut ring, &file, at, bytes))
        });
        compare(
            title,
            "us",
            vec![
                written("zeros, pwrite and fdatasync (what Atlas does)", Space::Zeros),
                written("written before, pwrite and fdatasync", Space::Used),
                written("allocated, pwrite and fdatasync", Space::Allocated),
                written("beyond the end, pwrite and fdatasync", Space::None),
                flagged("zeros, O_DSYNC", libc::O_DSYNC, size),
                flagged(
                    "zeros, O_DIRECT and O_DSYNC, whole pages",
                    libc::O_DIRECT | libc::O_DSYNC,
                    size.next_multiple_of(PAGE),
                ),
                ring,
            ],
        )?;
    }
    Ok(())
}

fn create(dir: &Path, space: Space, length: usize, flags: i32) -> Result<File> {
    let path = dir.join("commits");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    match space {
        Space::Zeros => file.write_all_at(&vec![0; length], 0)?,
        Space::Used => file.write_all_at(&vec![7; length], 0)?,
        Space::Allocated => fallocate(&file, FallocateFlags::empty(), 0, length as u64)?,
        Space::None => {}
    }
    file.sync_all()?;
    Ok(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?)
}

/// Microseconds a commit, each after the one before it in the file.
fn timed(size: usize, mut commit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<f64> {
    let buffer = vec![1; size + PAGE];
    // Direct writes must come from a whole page.
    let start = buffer.as_ptr().align_offset(PAGE);
    let bytes = &buffer[start..start + size];
    let begin = Instant::now();
    for number in 0..COMMITS {
        commit((number * size) as u64, bytes)?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e6 / COMMITS as f64)
}

fn linked(ring: &mut IoUring, file: &File, at: u64, bytes: &[u8]) -> Result<()> {
    let fd = types::Fd(file.as_raw_fd());
    let write = opcode::Write::new(fd, bytes.as_ptr(), bytes.len() as u32).offset(at).build();
    let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
    // SAFETY: `bytes` and `file` outlive both entries, as their completion is waited for below.
    unsafe {
        ring.submission().push(&write.flags(squeue::Flags::IO_LINK))?;
        ring.submission().push(&sync)?;
    }
    ring.submit_and_wait(2)?;
    for entry in ring.completion() {
        if entry.result() < 0 {
            return Err(std::io::Error::from_raw_os_error(-entry.result()).into());
        }
    }
    Ok(())
}
