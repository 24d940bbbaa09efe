//! The process that a store was opened by: a forked child has its memory but none of its threads, and must not go on with
//! it. Where the system can be told to forget a page in a child, that tells without a call to the system.

#[cfg(target_os = "linux")]
use memmap2::MmapMut;

/// A process, as it was when it was looked at.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    /// Not zero but in a child.
    #[cfg(target_os = "linux")]
    mark: Option<MmapMut>,
}

impl Process {
    /// The one that calls.
    pub(crate) fn current() -> Self {
        Self {
            id: std::process::id(),
            #[cfg(target_os = "linux")]
            mark: super::map::gone_in_a_child().ok(),
        }
    }

    /// The one that calls, told by its number alone.
    #[cfg(test)]
    pub(super) fn without_mark() -> Self {
        Self {
            id: std::process::id(),
            #[cfg(target_os = "linux")]
            mark: None,
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether the caller is that process, and no child of it.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(mark) = &self.mark {
            return std::hint::black_box(mark).first() != Some(&0);
        }
        self.id == std::process::id()
    }
}
