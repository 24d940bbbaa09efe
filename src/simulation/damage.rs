//! A bit of a segment flips at rest. It is found, and the error says where; or it does no harm.

use super::checks::unexpected;
use super::driver::Simulation;
use super::forks::names;
use super::lives;
use super::model::{Check, Found, ensure};
use super::openings::salvage_damaged;
use crate::log::simulated::{Before, KeyHash, Segment, scan};
use crate::log::{OpenError, ReadError};
use crate::storage::simulated::{Rng, SimulatedDisk};

/// Flips a bit; says in which byte.
pub(super) fn flip(rng: &mut Rng, bytes: &mut [u8]) -> usize {
    let at = rng.below(bytes.len() as u64) as usize;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
    at
}

/// A bit that flipped, and what it stands in: a frame, the header, or the space after the last frame.
struct Flipped {
    name: String,
    at: u64,
    begins: u64,
}

impl Flipped {
    /// Whether an error names this file, and a place in what the bit stands in, not after it.
    fn is_named_by(&self, error: &ReadError) -> bool {
        match error {
            ReadError::Corrupt { file, offset, .. } => *file == self.name && (self.begins..=self.at).contains(offset),
            _ => false,
        }
    }

    fn names(&self, error: &ReadError) -> Check {
        let Self { name, at, begins } = self;
        ensure(self.is_named_by(error), || {
            format!("byte {at} of {name} is damaged, in what begins at {begins}; the error says: {error}")
        })
    }
}

/// Where frames of a segment begin, and the last one ends; up to where it says itself that it had been synced.
fn layout(segment: &Segment) -> Check<(Vec<u32>, u64)> {
    let hash = KeyHash::new(segment.header.store_id);
    let scan = scan(segment, hash, &Before::Segment(None), None, |_| {}).map_err(unexpected("a scan"))?;
    let mut begins: Vec<u32> = scan.index.frames.iter().map(|frame| frame.offset).collect();
    begins.push(scan.index.end);
    let proven = if scan.synced_to.segment() == segment.number() { scan.synced_to.offset() } else { 0 };
    Ok((begins, u64::from(proven)))
}

/// A bit of a segment flips: it is found, or it does no harm; never is anything else read than was written.
pub(super) fn damage_a_segment(simulation: &mut Simulation, disk: &SimulatedDisk, whole: &[Found]) -> Check {
    let mut segments = names(disk, |name| name.ends_with(".seg"))?;
    segments.sort_unstable();
    let number = simulation.rng.below(segments.len() as u64) as usize;
    let Some(name) = segments.get(number).cloned() else { return Ok(()) };
    simulation.figures.damages += 1;
    let segment = Segment::open(disk, number as u32 + 1, false, None).map_err(unexpected("a look at a segment"))?;
    let (begins, mut proven) = layout(&segment)?;
    // Where LOCK says nothing, the log alone says what had been synced.
    if simulation.rng.one_in(2) {
        disk.damage("LOCK", Vec::clear).map_err(unexpected("a damage"))?;
    } else {
        proven = u64::MAX;
    }
    let (rng, mut at) = (&mut simulation.rng, 0);
    disk.damage(&name, |bytes| at = flip(rng, bytes) as u64).map_err(unexpected("a damage"))?;
    let begins = begins.into_iter().map(u64::from).rfind(|begins| *begins <= at).unwrap_or(0);
    let (begins, at) = match segment.packed().map(|packed| packed.page_with(at)) {
        None => (begins, at),
        Some(Some(page)) => (page, page),
        // In one of the two heads: no error may be about it.
        Some(None) => (1, 0),
    };
    let flipped = Flipped { name, at, begins };
    simulation.note(|| format!("byte {at} of {} flips, in what begins at {begins}", flipped.name));
    // The one thing that can't be told from a tear: damage of what no later frame says was synced.
    let is_like_a_tear = segments.last() == Some(&flipped.name) && at >= proven;
    if simulation.rng.one_in(2) {
        salvage_damaged(simulation, &disk.fork(0), whole, &flipped.name, is_like_a_tear)?;
    }
    let (world, store) = match lives::open(disk, &simulation.clock, &mut simulation.rng) {
        Ok(opened) => opened,
        Err(OpenError::Corrupt { source: error, .. } | OpenError::Read(error)) => return flipped.names(&error),
        Err(OpenError::NewerFormat { file, .. }) => {
            return ensure(file == flipped.name && at < 64, || format!("{file} isn't of a newer format"));
        }
        Err(error) => return Err(format!("{} is damaged, and: {error}", flipped.name)),
    };
    let (found, error) = everything_before_an_error(&store, simulation)?;
    let _next = world.disk.kill();
    drop(store);
    let name = &flipped.name;
    let same = whole.get(..found.len()) == Some(&found[..]);
    ensure(same, || {
        let differs = found.iter().zip(whole).find(|(found, whole)| found != whole);
        format!("{name} is damaged, and something else is read than was written: {differs:?} of {}", whole.len())
    })?;
    if let Some(error) = error {
        return flipped.names(&error);
    }
    ensure(is_like_a_tear || found.len() == whole.len(), || {
        format!("{name} is damaged, and {} of {} entries are read without an error", found.len(), whole.len())
    })
}

/// What is read before an error, and the error.
fn everything_before_an_error(
    store: &crate::EventStore,
    simulation: &Simulation,
) -> Check<(Vec<Found>, Option<ReadError>)> {
    let mut found = Vec::new();
    let mut follow = match store.follow(crate::log::Address::START) {
        Ok(follow) => follow,
        Err(error) => return Ok((found, Some(error))),
    };
    loop {
        match follow.next() {
            Ok(Some(crate::log::LogEntry::Event(event))) => {
                let (position, placed) = simulation.model.told(&event)?;
                found.push(Found::Event { position, placed, id: event.id() });
            }
            Ok(Some(crate::log::LogEntry::Record(record))) => {
                let (attempt, index) = simulation.model.told_record(&record)?;
                found.push(Found::Record { attempt, index });
            }
            Ok(None) => return Ok((found, None)),
            Err(error) => return Ok((found, Some(error))),
        }
    }
}
