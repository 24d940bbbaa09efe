//! Crashes on the side: a copy of the disk loses power, is recovered, and is held against what is known at that moment,
//! while the original goes on. So one history is tried at many points.

use std::sync::Arc;

use super::checks::{everything, unexpected, verifies};
use super::damage::{damage_a_segment, flip};
use super::driver::Simulation;
use super::lives::{self, Life};
use super::model::{Check, Found, ensure};
use super::openings;
use crate::log::{Append, Durability};
use crate::storage::Disk;
use crate::storage::simulated::SimulatedDisk;

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
    if !damages && simulation.rng.one_in(4) {
        openings::salvage(simulation, &crashed.fork(0))?;
    }
    let again = simulation.rng.one_in(3).then(|| crashed.fork(simulation.rng.any()));
    let found = recover(simulation, &crashed)?;
    simulation.figures.events += found.len() as u64;
    simulation.model.recovered(&found)?;
    if let Some(again) = again {
        let after = recover_cut(simulation, again)?;
        simulation.model.recovered(&after)?;
        // What a kill left in the cache alone, a power cut may take.
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
    if simulation.rng.one_in(8) {
        let side = crashed.fork(simulation.rng.any());
        openings::rebuild(simulation, &side, &found)?;
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

/// Recovers with the power going in the middle, or just after, once or more.
fn recover_cut(simulation: &mut Simulation, mut disk: SimulatedDisk) -> Check<Vec<Found>> {
    let mut recovered = None;
    for _ in 0..1 + simulation.rng.below(2) {
        disk.cut_power_in(1 + simulation.rng.below(10));
        let opened = lives::open(&disk, &simulation.clock, &mut simulation.rng);
        let is_cut = disk.is_cut();
        if let Err(error) = &opened {
            ensure(is_cut, || format!("after a crash the store can't be opened: {error}"))?;
        }
        disk.cut_power_in(u64::MAX);
        if let (Ok((_, store)), false) = (&opened, is_cut) {
            recovered = Some(everything(store, &simulation.model)?);
        }
        disk = disk.power_cut();
        simulation.figures.power_cuts += 1;
        simulation.figures.cut_recoveries += u64::from(is_cut);
    }
    let found = recover(simulation, &disk)?;
    ensure(recovered.is_none_or(|before| before == found), || {
        "what a recovery had found isn't what is found after another power cut".to_owned()
    })?;
    Ok(found)
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

pub(super) fn names(disk: &SimulatedDisk, wanted: impl Fn(&str) -> bool) -> Check<Vec<String>> {
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
