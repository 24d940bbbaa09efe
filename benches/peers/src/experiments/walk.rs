//! Records spread over a mapped file, read in groups: as they come, with the memory of a group fetched together first, and
//! with advice to the kernel; from the page cache.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use memmap2::{Advice, Mmap, MmapOptions};

use super::{Way, compare};
use crate::peer::Result;
use crate::work::Random;

const FILE: usize = 300 << 20;
const RECORD: usize = 300;
/// Records whose offsets are known together.
const GROUP: usize = 64;
const READS: usize = 512_000;

pub fn run(dir: &Path) -> Result<()> {
    let path = dir.join("walked");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    for at in 0..FILE >> 20 {
        file.write_all_at(&vec![at as u8; 1 << 20], (at as u64) << 20)?;
    }
    file.sync_all()?;
    let mut random = Random::new(7);
    let offsets: Vec<usize> = (0..READS).map(|_| random.below(FILE - RECORD)).collect();
    let (file, offsets) = (&file, &offsets);
    let way = |name, map: fn(&File) -> Result<Mmap>, fetch: &'static [usize]| {
        Way::new(name, move || {
            let map = map(file)?;
            // Each page is mapped before: page faults are not what is measured.
            black_box(map.iter().step_by(4096).fold(0u64, |sum, byte| sum + u64::from(*byte)));
            let begin = Instant::now();
            let mut sum = 0u64;
            for group in offsets.chunks(GROUP) {
                for offset in group {
                    for line in fetch {
                        black_box(map[offset + line]);
                    }
                }
                for offset in group {
                    let (words, _) = map[*offset..offset + RECORD].as_chunks::<8>();
                    sum = words.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
                }
            }
            black_box(sum);
            Ok(begin.elapsed().as_secs_f64() * 1e9 / READS as f64)
        })
    };
    // SAFETY, of the three: nobody changes or cuts the file while it is mapped.
    let plain: fn(&File) -> Result<Mmap> = |file| Ok(unsafe { MmapOptions::new().map(file)? });
    let populated: fn(&File) -> Result<Mmap> = |file| Ok(unsafe { MmapOptions::new().populate().map(file)? });
    let huge: fn(&File) -> Result<Mmap> = |file| {
        let map = unsafe { MmapOptions::new().map(file)? };
        // Not every kernel maps files in huge pages.
        let _ = map.advise(Advice::HugePage);
        Ok(map)
    };
    const LINES: &[usize] = &[0, 64, 128, 192, 256];
    compare(
        "a record of 300 bytes anywhere in 300 MiB",
        "ns",
        vec![
            way("five lines of each fetched first (what Atlas does)", plain, LINES),
            way("three lines of each fetched first", plain, &[0, 128, 256]),
            way("the first line of each fetched first", plain, &[0]),
            way("none fetched first", plain, &[]),
            way("none fetched first, MAP_POPULATE", populated, &[]),
            way("none fetched first, MADV_HUGEPAGE", huge, &[]),
        ],
    )
}
