//! Crashes on the side: a copy of the disk loses power, is recovered, and is held against what is known at that moment,
//! while the original goes on. So one history is tried at many points.

use std::sync::Arc;

use super::checks::{everything, unexpected, verifies};
use super::driver::Simulation;
use super::lives::{self, Life};
use super::model::{Check, Found, ensure};
use crate::log::simulated::{Before, KeyHash, Segment, scan};
use crate::log::{Append, Durability, OpenError};
use crate::storage::Disk;
use crate::storage::simulated::{Rng, SimulatedDisk};

/// The power goes now, on a copy.
pub(super) fn fork(simulation: &mut Simulation, life: &Life) -> Check {
    if life.world.disk.is_cut() {
        return Ok(());
    }
    let disk = simulation.disk.fork(simulation.rng.any());
    crash(simulation, &disk)
}

/// The power goes on `disk`, or the process ends; what is found then is held against the model.
pub(super) fn crash(simulation: &mut Simulation, disk: &SimulatedDisk) -> Check {
    let is_cut = !simulation.rng.one_in(5);
    let crashed = if is_cut { disk.power_cut() } else { disk.kill() };
    simulation.figures.power_cuts += u64::from(is_cut);
    simulation.figures.kills += u64::from(!is_cut);
    simulation.note(|| format!("fork: {}", if is_cut { "power cut" } else { "kill" }));
    let damages = simulation.rng.one_in(4);
    if damages {
        damage_what_is_derived(simulation, &crashed)?;
    }
    let again = simulation.rng.one_in(3).then(|| crashed.fork(simulation.rng.any()));
    let found = recover(simulation, &crashed)?;
    simulation.figures.events += found.len() as u64;
    simulation.model.recovered(&found)?;
    if let Some(again) = again {
        let after = recover_cut(simulation, again)?;
        ensure(!is_cut || after == found, || {
            format!("recovered {} entries, and {} where the recovery was cut", found.len(), after.len())
        })?;
    }
    let crashed = crashed.kill();
    if !damages && simulation.rng.one_in(4) {
        verifies(Arc::new(crashed.fork(0)), &mut simulation.rng)?;
    }
    let twice = recover(simulation, &crashed)?;
    ensure(twice == found, || format!("recovered {} entries, and then {}", found.len(), twice.len()))?;
    if simulation.rng.one_in(6) {
        let side = crashed.fork(simulation.rng.any());
        go_on(simulation, &side, &found)?;
    }
    if simulation.rng.one_in(5) {
        let side = crashed.fork(simulation.rng.any());
        damage_a_segment(simulation, &side, &found)?;
    }
    Ok(())
}

/// Opens the store and reads everything; lets it go without a close.
fn recover(simulation: &mut Simulation, disk: &SimulatedDisk) -> Check<Vec<Found>> {
    let (world, store) = lives::open(disk, &simulation.clock, &mut simulation.rng)
        .map_err(|error| format!("after a crash the store can't be opened: {error}"))?;
    let found = everything(&store, &simulation.model)?;
    let _next = world.disk.kill();
    drop(store);
    Ok(found)
}

/// Recovers with the power going in the middle, once or more.
fn recover_cut(simulation: &mut Simulation, mut disk: SimulatedDisk) -> Check<Vec<Found>> {
    for _ in 0..1 + simulation.rng.below(2) {
        disk.cut_power_in(1 + simulation.rng.below(10));
        let opened = lives::open(&disk, &simulation.clock, &mut simulation.rng);
        if let Err(error) = &opened {
            ensure(disk.is_cut(), || format!("after a crash the store can't be opened: {error}"))?;
        }
        disk = disk.power_cut();
        simulation.figures.power_cuts += 1;
        simulation.figures.cut_recoveries += 1;
    }
    recover(simulation, &disk)
}

/// What was recovered can be built upon: an append, a clean close, and all is found again without a recovery.
fn go_on(simulation: &mut Simulation, disk: &SimulatedDisk, found: &[Found]) -> Check {
    let mut attempt = lives::fresh(&mut simulation.rng, &simulation.habits, &simulation.model);
    attempt.expected.clear();
    let number = simulation.model.attempts.len();
    let append = attempt.append(simulation.model.scope(attempt.scope)?, Durability::Sync);
    simulation.model.attempts.push(attempt);
    let result = go_on_with(simulation, disk, found, number, append);
    simulation.model.attempts.truncate(number);
    result
}

fn go_on_with(
    simulation: &mut Simulation,
    disk: &SimulatedDisk,
    found: &[Found],
    number: usize,
    append: Append,
) -> Check {
    let mut model = simulation.model.clone();
    model.adopt(found)?;
    let (_world, store) =
        lives::open(disk, &simulation.clock, &mut simulation.rng).map_err(unexpected("an open after a recovery"))?;
    let receipt = store.append(append).map_err(unexpected("an append after a recovery"))?;
    model.acknowledged(number, &receipt)?;
    store.close().map_err(unexpected("a close after a recovery"))?;
    drop(store);
    let found = recover(simulation, &disk.power_cut())?;
    model.recovered(&found)
}

fn names(disk: &SimulatedDisk, wanted: impl Fn(&str) -> bool) -> Check<Vec<String>> {
    let names = disk.list("log").map_err(unexpected("a list"))?;
    Ok(names.into_iter().filter(|name| wanted(name)).map(|name| format!("log/{name}")).collect())
}

/// A derived file is lost, cut or changed: that must not matter.
fn damage_what_is_derived(simulation: &mut Simulation, disk: &SimulatedDisk) -> Check {
    let mut derived = names(disk, |name| name.ends_with(".idx") || name.ends_with(".dir"))?;
    derived.sort_unstable();
    let Some(name) = simulation.rng.pick(&derived).cloned() else { return Ok(()) };
    simulation.note(|| format!("damage {name}"));
    simulation.figures.damages += 1;
    match simulation.rng.below(3) {
        0 => disk.remove(&name).map_err(unexpected("a removal")),
        1 => {
            let rng = &mut simulation.rng;
            disk.damage(&name, |bytes| bytes.truncate(rng.below(bytes.len() as u64) as usize))
                .map_err(unexpected("a damage"))
        }
        _ => {
            let rng = &mut simulation.rng;
            disk.damage(&name, |bytes| {
                let _ = flip(rng, bytes);
            })
            .map_err(unexpected("a damage"))
        }
    }
}

/// Flips a bit; says in which byte.
fn flip(rng: &mut Rng, bytes: &mut [u8]) -> usize {
    let at = rng.below(bytes.len() as u64) as usize;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
    at
}

/// Up to where the last segment itself says that it had been synced.
fn proven_end(disk: &SimulatedDisk, number: u32) -> Check<u32> {
    let segment = Segment::open(disk, number, false, None).map_err(unexpected("a look at a segment"))?;
    let hash = KeyHash::new(segment.header.store_id);
    let scan = scan(&segment, hash, &Before::Segment(None), None, |_| {}).map_err(unexpected("a scan"))?;
    Ok(if scan.synced_to.segment() == number { scan.synced_to.offset() } else { 0 })
}

/// A bit of a segment flips: it is found, or it does no harm; never is anything else read than was written.
fn damage_a_segment(simulation: &mut Simulation, disk: &SimulatedDisk, whole: &[Found]) -> Check {
    let mut segments = names(disk, |name| name.ends_with(".seg"))?;
    segments.sort_unstable();
    let Some(name) = simulation.rng.pick(&segments).cloned() else { return Ok(()) };
    simulation.figures.damages += 1;
    // Where LOCK says nothing the log alone says what had been synced.
    let proven = if simulation.rng.one_in(2) {
        let _ = disk.create("LOCK");
        proven_end(disk, segments.len() as u32)?
    } else {
        u32::MAX
    };
    let rng = &mut simulation.rng;
    let mut at = 0;
    disk.damage(&name, |bytes| at = flip(rng, bytes)).map_err(unexpected("a damage"))?;
    let (world, store) = match lives::open(disk, &simulation.clock, &mut simulation.rng) {
        Ok(opened) => opened,
        Err(OpenError::Corrupt { .. } | OpenError::NewerFormat { .. }) => return Ok(()),
        Err(OpenError::Read(error)) => {
            return ensure(error.to_string().contains(".seg"), || format!("{name} is damaged, and: {error}"));
        }
        Err(error) => return Err(format!("{name} is damaged, and: {error}")),
    };
    let found = everything_before_an_error(&store, simulation)?;
    let _next = world.disk.kill();
    drop(store);
    let (found, ended) = found;
    let same = whole.get(..found.len()) == Some(&found[..]);
    ensure(same, || {
        let differs = found.iter().zip(whole).find(|(found, whole)| found != whole);
        format!("{name} is damaged, and something else is read than was written: {differs:?} of {}", whole.len())
    })?;
    // The one thing that can't be told from a tear: damage of what no later frame says was synced.
    let is_like_a_tear = segments.last() == Some(&name) && at >= proven as usize;
    ensure(ended || is_like_a_tear || found.len() == whole.len(), || {
        format!("{name} is damaged, and {} of {} entries are read without an error", found.len(), whole.len())
    })
}

/// What is read before an error, and whether there was one.
fn everything_before_an_error(store: &crate::EventStore, simulation: &Simulation) -> Check<(Vec<Found>, bool)> {
    let mut found = Vec::new();
    let mut follow = match store.follow(crate::log::Address::START) {
        Ok(follow) => follow,
        Err(error) => return ensure(error.to_string().contains(".seg"), || error.to_string()).map(|()| (found, true)),
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
            Ok(None) => return Ok((found, false)),
            Err(error) => {
                ensure(error.to_string().contains("damaged at offset"), || error.to_string())?;
                return Ok((found, true));
            }
        }
    }
}
