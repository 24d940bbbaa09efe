//! The loaded store read from the disk by known offsets: all of a stream asked for before the first event is waited for, as
//! a disk serves many reads at once; or one after the other.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::see_raw;
use crate::peer::Result;
use crate::seen::Seen;
use crate::work::RAW_LEN;

pub struct Cold {
    path: PathBuf,
    streams: HashMap<&'static str, Vec<u64>>,
}

/// Opened for a sample.
pub struct Opened<'a> {
    cold: &'a Cold,
    file: File,
}

impl Cold {
    pub fn new(path: PathBuf, streams: HashMap<&'static str, Vec<u64>>) -> Self {
        Self { path, streams }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn open(&self) -> Result<Opened<'_>> {
        let file = File::open(&self.path)?;
        fadvise(&file, 0, None, Advice::Random)?;
        Ok(Opened { cold: self, file })
    }
}

impl Opened<'_> {
    pub fn read_stream(&self, stream: &str, at_once: bool, seen: &mut Seen) -> Result<()> {
        let offsets = self.cold.streams.get(stream).ok_or("no such stream")?;
        if at_once {
            for offset in offsets {
                fadvise(&self.file, *offset, NonZeroU64::new(RAW_LEN as u64), Advice::WillNeed)?;
            }
        }
        let mut raw = [0; RAW_LEN];
        for offset in offsets {
            self.file.read_exact_at(&mut raw, *offset)?;
            see_raw(&raw, false, seen)?;
        }
        Ok(())
    }
}
