//! The committer's side of the log: turns batches of prepared appends into frames, one at a time.

mod build;
mod create;
mod space;

use std::io;
use std::sync::Arc;

use build::{Build, Refusal};
pub(crate) use create::create_segment;
pub(crate) use space::{Space, extent};

use super::format::{
    ClosingReason, FRAME_HEADER_LEN, FrameHeader, SegmentEnd, crc_of_body, encode_closing, put_record, seal_frame,
};
use super::part::MemoryPart;
use super::prepared::Prepared;
use super::segment::Segment;
use super::view::View;
use super::{Address, AppendError, Durability, RecordKind, Written};
use crate::planted::{Bug, planted};
use crate::storage::Environment;

/// The end of the log, where frames are added.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) part: Arc<MemoryPart>,
    /// The end of what is written, durable or not.
    pub(crate) offset: u32,
    pub(crate) last_crc: u32,
    pub(crate) last_recorded: i64,
    /// The file is filled with zeros, durably, up to here.
    filled: u64,
    /// Space is reserved up to here, for frames that needn't be durable at once; at or after `filled`.
    reserved: u64,
    /// The file may reach up to here: it was being filled when there was no more room.
    reach: u64,
    first_chunk: u64,
    chunk: u64,
    /// The end of what is durable.
    pub(crate) synced_to: Address,
    /// Whether the last frame written is a closing one.
    closed: bool,
    frame: Vec<u8>,
    crcs: Vec<u32>,
}

/// What became of one append of a batch.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It is in the log.
    Written(Vec<Written>),
    /// Ids that were new when it was prepared are known now: it is to be prepared again.
    Again,
}

/// What a batch came to.
pub(crate) struct Batch {
    pub(crate) results: Vec<Result<Committed, AppendError>>,
    /// Whether an answer must not be given before all that is written is durable.
    pub(crate) must_sync: bool,
}

/// Why a batch could not be written.
pub(crate) enum Failure {
    /// Nothing was written; the log is as before.
    Refused(AppendError),
    /// The frame may stand in part; the store takes no more.
    Poisoned { operation: &'static str, source: io::Error },
}

impl Writer {
    /// A writer at the end of `part`, whose file is filled up to its length, `filled`. It fills more in chunks that double
    /// from `first_chunk` on.
    pub(crate) fn new(
        part: Arc<MemoryPart>,
        last_crc: u32,
        last_recorded: i64,
        closed: bool,
        filled: u64,
        first_chunk: u64,
    ) -> Self {
        let offset = part.index.read().end;
        Self {
            offset,
            last_crc,
            last_recorded,
            filled,
            reserved: filled,
            reach: filled,
            first_chunk,
            chunk: first_chunk,
            synced_to: Address::new(part.segment.number(), offset),
            closed,
            part,
            frame: Vec::new(),
            crcs: Vec::new(),
        }
    }

    /// Whether the segment ends with a closing frame, and its file there too.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed && self.reach == u64::from(self.offset)
    }

    /// Where what was written ends, which the segment after this one states.
    pub(crate) fn segment_end(&self) -> SegmentEnd {
        SegmentEnd { last_crc: self.last_crc, offset: self.offset }
    }

    fn segment(&self) -> &Segment {
        &self.part.segment
    }

    /// Writes one frame of what there is space for in a batch. Nothing of it is visible before [`sync`](Self::sync).
    pub(crate) fn write_batch(
        &mut self,
        batch: &[Box<Prepared>],
        space: &Space,
        before: &View,
        environment: &Environment,
        durable_events: u32,
    ) -> Result<Batch, Failure> {
        let forced = batch.first().and_then(|prepared| prepared.as_recorded).map(|recorded| recorded.recorded_at);
        let recorded_at = forced.unwrap_or_else(|| environment.clock.now_micros());
        let recorded_at = if planted(Bug::TimeRunsBack) { recorded_at } else { recorded_at.max(self.last_recorded) };
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_LEN, 0);
        self.crcs.clear();
        let part = self.part.clone();
        let mut index = part.index.write();
        let events_before = index.events.len();
        let header = FrameHeader {
            length: 0,
            crc: 0,
            first_position: index.next_position(),
            recorded_at,
            records: 0,
            events: 0,
            previous_crc: self.last_crc,
            body_len: 0,
            synced_to: match planted(Bug::SyncedToAhead) {
                true => Address::new(part.segment.number(), self.offset + 8),
                false => self.synced_to,
            },
        };
        // The index numbers frames only when there is one: begun here, taken back where nothing is added.
        let _ = index.begin_frame(self.offset, &header);
        let mut build = Build {
            before,
            tail: part.segment.number(),
            index: &mut index,
            frame: &mut self.frame,
            crcs: &mut self.crcs,
            salt: &part.segment.salt,
            at: self.offset,
            recorded_at,
        };
        let mut results = Vec::with_capacity(batch.len());
        let mut must_sync = false;
        for (place, prepared) in batch.iter().enumerate() {
            match build.append(prepared, durable_events, || space.refusal(place, prepared)) {
                Ok(committed) => {
                    must_sync |= prepared.durability == Durability::Sync;
                    results.push(Ok(committed));
                }
                Err(Refusal::No { error, undurable }) => {
                    must_sync |= undurable;
                    results.push(Err(error));
                }
                Err(Refusal::Broken(error)) => {
                    return Err(Failure::Poisoned { operation: "write", source: io::Error::other(error) });
                }
            }
        }
        if self.crcs.is_empty() {
            index.frames.pop();
            index.end = self.offset;
            index.last_crc = self.last_crc;
            return Ok(Batch { results, must_sync });
        }
        let events = (index.events.len() - events_before) as u32;
        let header = FrameHeader { records: self.crcs.len() as u32, events, ..header };
        let crc = seal_frame(&mut self.frame, header, &self.crcs, &part.segment.salt);
        index.end = self.offset + self.frame.len() as u32;
        index.last_crc = crc;
        drop(index);
        self.put_frame(crc, recorded_at)?;
        self.closed = false;
        Ok(Batch { results, must_sync })
    }

    fn put_frame(&mut self, crc: u32, recorded_at: i64) -> Result<(), Failure> {
        let written = self.segment().file.write_all_at(u64::from(self.offset), &self.frame);
        written.map_err(|source| match planted(Bug::PartialBatchKept) {
            true => Failure::Refused(AppendError::NoSpace { needed: 0, source: Arc::new(source) }),
            false => Failure::Poisoned { operation: "write", source },
        })?;
        self.offset += self.frame.len() as u32;
        self.last_crc = crc;
        self.last_recorded = recorded_at;
        self.part.set_written();
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<Address, Failure> {
        if !planted(Bug::AcknowledgeBeforeSync) {
            self.segment().file.sync().map_err(|source| Failure::Poisoned { operation: "sync", source })?;
        }
        self.synced_to = Address::new(self.segment().number(), self.offset);
        Ok(self.synced_to)
    }

    /// Ends the segment, or the log for now, with a closing frame, unless it ends with one; makes all durable and gives
    /// back unused space.
    pub(crate) fn close_segment(&mut self, reason: ClosingReason, segment_size: u64) -> Result<Address, Failure> {
        if !self.closed {
            self.fill(0, true, segment_size)?;
            self.put_closing(reason)?;
        }
        if reason == ClosingReason::Sealed && planted(Bug::RotateWithoutSync) {
            self.synced_to = Address::new(self.segment().number(), self.offset);
            self.filled = u64::from(self.offset);
            (self.reserved, self.reach) = (self.filled, self.filled);
            return Ok(self.synced_to);
        }
        let end = self.sync()?;
        let file = &self.part.segment.file;
        // Only once the frames are durable: what is cut is zeros.
        file.set_len(u64::from(self.offset))
            .and_then(|()| file.sync())
            .map_err(|source| Failure::Poisoned { operation: "sync", source })?;
        self.filled = u64::from(self.offset);
        (self.reserved, self.reach) = (self.filled, self.filled);
        self.chunk = self.first_chunk;
        Ok(end)
    }

    fn put_closing(&mut self, reason: ClosingReason) -> Result<(), Failure> {
        let part = self.part.clone();
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_LEN, 0);
        self.crcs.clear();
        let body = encode_closing(reason);
        let crc = crc_of_body(&body);
        let salt = &part.segment.salt;
        self.crcs.push(put_record(&mut self.frame, salt, RecordKind::Closing as u8, (0, 0), 0, &body, crc));
        let mut index = part.index.write();
        let header = FrameHeader {
            length: 0,
            crc: 0,
            first_position: index.next_position(),
            recorded_at: self.last_recorded,
            records: 1,
            events: 0,
            previous_crc: self.last_crc,
            body_len: 0,
            synced_to: self.synced_to,
        };
        let crc = seal_frame(&mut self.frame, header, &self.crcs, salt);
        let _ = index.begin_frame(self.offset, &FrameHeader { length: self.frame.len() as u32, crc, ..header });
        drop(index);
        self.put_frame(crc, self.last_recorded)?;
        self.closed = true;
        Ok(())
    }
}
