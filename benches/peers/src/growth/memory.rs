//! Memory of this process that no file stands behind.

use crate::peer::Result;

/// Bytes of anonymous memory, `RssAnon`.
pub fn anonymous() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// The same after the allocator has given back what is free, so that what is taken from here on shows.
#[expect(unsafe_code, reason = "malloc_trim asks nothing of its caller")]
pub fn settled() -> Result<u64> {
    unsafe { libc::malloc_trim(0) };
    anonymous()
}

/// The most that was taken since a beginning.
pub struct Watch {
    from: u64,
    most: u64,
}

impl Watch {
    pub fn start() -> Result<Self> {
        Ok(Self { from: settled()?, most: 0 })
    }

    pub fn look(&mut self) -> Result<()> {
        self.most = self.most.max(anonymous()?.saturating_sub(self.from));
        Ok(())
    }

    pub fn most(&self) -> f64 {
        self.most as f64
    }
}
