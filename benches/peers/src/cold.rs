//! Files out of the page cache, how much of them is in it, and what this process has read from disks.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rustix::fs::{Advice, fadvise};

use crate::peer::Result;

/// All files beneath a path, or the file that it is.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path)? {
        all.extend(files(&entry?.path())?);
    }
    Ok(all)
}

/// Writes what is dirty to the disk, then has the kernel forget each page of the files that nobody has mapped.
pub fn evict(path: &Path) -> Result<()> {
    for path in files(path)? {
        let file = File::open(path)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Brings files into the page cache.
pub fn warm(path: &Path) -> Result<()> {
    for path in files(path)? {
        std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    }
    Ok(())
}

/// The share of the files' pages that is in the page cache.
pub fn cached_share(path: &Path) -> Result<f64> {
    let (mut cached, mut all) = (0, 0);
    for path in files(path)? {
        let file = File::open(path)?;
        if file.metadata()?.len() > 0 {
            let pages = resident(&file)?;
            cached += pages.iter().filter(|page| **page & 1 == 1).count();
            all += pages.len();
        }
    }
    Ok(cached as f64 / (all as f64).max(1.0))
}

/// A byte for each page of a file; its lowest bit says whether the page is in the page cache.
#[expect(unsafe_code, reason = "the map is only asked about, never read")]
fn resident(file: &File) -> Result<Vec<u8>> {
    let map = unsafe { Mmap::map(file)? };
    let mut pages = vec![0; map.len().div_ceil(rustix::param::page_size())];
    // Safe as there is a byte for each page of the map.
    let failed = unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), pages.as_mut_ptr()) };
    if failed != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(pages)
}

/// Bytes that this process had the kernel fetch from disks so far.
pub fn read_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(bytes.ok_or("/proc/self/io states no read_bytes")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicted_file_is_read_from_the_disk_again() {
        // Where the stores of a run are: what is in a file system in memory can't be evicted.
        let dir = crate::run_dir::RunDir::create(&Path::new(env!("CARGO_MANIFEST_DIR")).join("peers-data")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        assert_eq!(cached_share(&path).unwrap(), 1.0);
        evict(&path).unwrap();
        assert_eq!(cached_share(&path).unwrap(), 0.0);
        let before = read_bytes().unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 1 << 20);
        let read = read_bytes().unwrap() - before;
        assert!(read >= 1 << 20, "{read}");
    }
}
