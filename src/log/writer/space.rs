//! Space ahead of the writer: filled with zeros and synced before a frame may use it, so that a full disk refuses an append
//! and harms nothing.

use std::io;
use std::sync::Arc;

use super::{Failure, Prepared, Writer};
use crate::log::format::SEGMENT_HEADER_LEN;
use crate::log::{AppendError, Durability, MAX_SEGMENT_ENTRIES};

/// Space is filled in chunks that double up to this: commits wait as long as that takes, and larger ones cost as much a
/// byte.
const MAX_FILLED: u64 = 4 << 20;
/// Space is reserved in chunks that double up to this.
const MAX_RESERVED: u64 = 32 << 20;
/// The first chunk after one for which there was no room.
const CHUNK_WHEN_FULL: u64 = 4 << 10;
/// Kept free in a segment for its closing frame.
const CLOSING_ROOM: u64 = 128;

/// For which appends of a batch there is space.
pub(crate) enum Space {
    /// For all of them.
    ForAll,
    /// For those that fit, by their place in the batch.
    ForSome { fits: Vec<bool>, source: Arc<io::Error> },
}

impl Space {
    /// Why there is none for the append with this place in the batch.
    pub(super) fn refusal(&self, place: usize, prepared: &Prepared) -> Option<AppendError> {
        match self {
            Self::ForSome { fits, source } if !fits.get(place).is_some_and(|fits| *fits) => {
                Some(AppendError::NoSpace { needed: prepared.size as u64, source: source.clone() })
            }
            _ => None,
        }
    }
}

/// Whether a smaller write may succeed where this one failed.
fn is_about_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Bytes and events of what a batch has to write.
pub(crate) fn extent(batch: &[Box<Prepared>]) -> (usize, usize) {
    let to_write = batch.iter().filter(|prepared| !prepared.is_empty());
    to_write.fold((0, 0), |(size, events), prepared| (size + prepared.size, events + prepared.events.len()))
}

impl Writer {
    /// Whether a batch of `size` bytes and `events` events should begin a new segment.
    pub(crate) fn is_full(&self, size: usize, events: usize, segment_size: u64) -> bool {
        let empty = self.offset == SEGMENT_HEADER_LEN as u32;
        let index = self.part.index.read();
        let entries = index.events.len() + index.rooms.len() + index.streams.len();
        let too_many = entries + events > MAX_SEGMENT_ENTRIES;
        // Where the log lost all behind a segment that was packed.
        let is_packed = self.segment().packed().is_some();
        !empty && (is_packed || u64::from(self.offset) + size as u64 + CLOSING_ROOM > segment_size || too_many)
    }

    /// Fills space for a batch. Where there is too little, each append that fits behind those before it gets some.
    /// `no_next`: why the segment that should begin with this batch could not be created.
    pub(crate) fn make_space(
        &mut self,
        batch: &[Box<Prepared>],
        segment_size: u64,
        no_next: Option<Arc<io::Error>>,
    ) -> Result<Space, Failure> {
        let is_last = no_next.is_some();
        let at_once = batch.iter().any(|prepared| prepared.durability == Durability::Sync);
        let source = match no_next {
            Some(source) => source,
            None => match self.fill(extent(batch).0, at_once, segment_size) {
                Err(Failure::Refused(AppendError::NoSpace { source, .. })) => source,
                filled => return filled.map(|()| Space::ForAll),
            },
        };
        let (mut size, mut events) = (0, 0);
        let mut fits = Vec::with_capacity(batch.len());
        for prepared in batch {
            let (own_size, own_events) = extent(std::slice::from_ref(prepared));
            let with = (size + own_size, events + own_events);
            let has_space = own_size == 0
                || !(is_last && self.is_full(with.0, with.1, segment_size))
                    && match self.fill(with.0, at_once, segment_size) {
                        Err(Failure::Refused(_)) => false,
                        filled => filled.map(|()| true)?,
                    };
            if has_space {
                (size, events) = with;
            }
            fits.push(has_space);
        }
        Ok(Space::ForSome { fits, source })
    }

    /// Makes space for `size` more bytes and a closing frame; ahead of that as much as a chunk, where the disk has it. For
    /// frames that are synced `at_once` it is filled with zeros, durably: a sync that changes no metadata costs half. For
    /// others it is reserved, which writes nothing. Nothing is lost where there is no room. A sync that fails poisons here
    /// as well: it may have been about frames that wait to be made durable.
    pub(super) fn fill(&mut self, size: usize, at_once: bool, segment_size: u64) -> Result<(), Failure> {
        let needed = u64::from(self.offset) + size as u64 + CLOSING_ROOM;
        if needed <= self.filled || !at_once && needed <= self.reserved {
            return Ok(());
        }
        let from = if at_once { self.filled.max(u64::from(self.offset)) } else { self.reserved };
        let chunk = self.chunk.min(if at_once { MAX_FILLED } else { MAX_RESERVED });
        let mut to = (from + chunk).min(segment_size).max(needed);
        let mut done = self.take_space(from, to, at_once);
        if to > needed && done.as_ref().is_err_and(is_about_space) {
            self.chunk = CHUNK_WHEN_FULL;
            to = needed;
            done = self.take_space(from, to, at_once);
        }
        let is_filled = done.map_err(|source| {
            Failure::Refused(AppendError::NoSpace { needed: size as u64, source: Arc::new(source) })
        })?;
        self.reserved = self.reserved.max(to);
        if is_filled {
            self.segment().file.sync().map_err(|source| Failure::Poisoned { operation: "sync", source })?;
            self.filled = to;
        }
        self.chunk = (chunk * 2).min(MAX_RESERVED);
        Ok(())
    }

    /// Whether the space was filled, and not only reserved.
    fn take_space(&mut self, from: u64, to: u64, at_once: bool) -> io::Result<bool> {
        self.reach = self.reach.max(to);
        if !at_once && self.segment().file.reserve(to)? {
            return Ok(false);
        }
        let zeros = vec![0; (to - from).min(1 << 20) as usize];
        let mut at = from;
        while at < to {
            let part = zeros.get(..zeros.len().min((to - at) as usize)).unwrap_or_default();
            self.segment().file.write_all_at(at, part)?;
            at += part.len() as u64;
        }
        Ok(true)
    }
}
