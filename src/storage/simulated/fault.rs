//! What the simulated disk does wrong, each with words of its own: an error tells which of them caused it, however often
//! it was wrapped on its way.

use std::io;

/// Something that the simulated disk answers with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power is off, or the process that opened the file has ended.
    Power,
    /// A read failed.
    Read,
    /// A write, or a change of a length, failed.
    Write,
    /// A sync failed.
    Sync,
    /// A call about a name failed.
    Name,
    /// There is no room.
    Full,
}

impl Fault {
    const ALL: [Self; 6] = [Self::Power, Self::Read, Self::Write, Self::Sync, Self::Name, Self::Full];

    fn words(self) -> &'static str {
        match self {
            Self::Power => "simulated: the power is off",
            Self::Read => "simulated: a read failed",
            Self::Write => "simulated: a write failed",
            Self::Sync => "simulated: a sync failed",
            Self::Name => "simulated: a call about a name failed",
            Self::Full => "simulated: the disk is full",
        }
    }

    /// The error that a call is answered with.
    pub(super) fn error(self) -> io::Error {
        let kind = if self == Self::Full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        io::Error::new(kind, self.words())
    }

    /// Which fault caused an error, by its text; `None` where the disk didn't.
    pub fn told_by(error: &impl std::fmt::Display) -> Option<Self> {
        let text = error.to_string();
        Self::ALL.into_iter().find(|fault| text.contains(fault.words()))
    }
}
