//! Other ways to open a log than to go on with it: to salvage what a crash left, to read beside the process that writes,
//! to make anew all that is derived.

use std::collections::BTreeSet;

use super::checks::{everything, unexpected};
use super::driver::Simulation;
use super::lives::{self, Life};
use super::model::{Check, Found, ensure};
use super::readers::is_explained;
use super::world::World;
use crate::log::{Address, EventStore, Loss, OpenError, OpenMode, Query, ReadError, Rebuild, RecordKind};
use crate::storage::simulated::SimulatedDisk;

/// Salvages what a crash left, before any recovery: all that was acknowledged is there, and what is there was tried.
pub(super) fn salvage(simulation: &mut Simulation, disk: &SimulatedDisk) -> Check {
    let opened = lives::open_mode(disk, &simulation.clock, &mut simulation.rng, OpenMode::Salvage);
    let (_world, store) = match opened {
        Ok(opened) => opened,
        Err(OpenError::NotFound { .. }) => {
            return ensure(simulation.model.must.is_empty(), || "salvage finds no store".to_owned());
        }
        Err(error) => return Err(unexpected("a salvage")(error)),
    };
    let model = &simulation.model;
    let mut there = BTreeSet::new();
    for position in 1..=store.last_position().max(model.durable) {
        match store.event_at(position) {
            Ok(Some(event)) => {
                let (found, placed) = model.told(&event)?;
                ensure(found == position, || format!("salvage gives position {found} for {position}"))?;
                let known = model.order.get(&position).filter(|_| position <= model.durable);
                ensure(known.is_none_or(|known| *known == placed), || {
                    format!("position {position} was {known:?}, and is salvaged as {placed:?}")
                })?;
                there.insert(placed.attempt);
            }
            other => ensure(position > model.durable, || format!("position {position} isn't salvaged: {other:?}"))?,
        }
    }
    for kind in [RecordKind::Delivery, RecordKind::Queue, RecordKind::Timer, RecordKind::Configuration] {
        for record in store.records(kind, Address::START).map_err(unexpected("a salvage"))? {
            match record {
                Ok(record) => there.insert(model.told_record(&record)?.0),
                // After a failed sync the cache may let go of what nobody was told is durable, while it is read.
                Err(ReadError::Corrupt { .. }) => break,
                Err(error) => return Err(unexpected("a salvage")(error)),
            };
        }
    }
    let refused = there.intersection(&model.refused).next();
    ensure(refused.is_none(), || format!("attempt {refused:?} was refused, and is salvaged"))?;
    let lost = model.must.difference(&there).next();
    ensure(lost.is_none(), || format!("attempt {lost:?} was durable, and isn't salvaged"))
}

/// Salvages a log of which a bit flipped: nothing else is read than was written, and what isn't read is a loss, unless
/// the damage is like a tear.
pub(super) fn salvage_damaged(
    simulation: &mut Simulation,
    disk: &SimulatedDisk,
    whole: &[Found],
    flipped: &str,
    is_like_a_tear: bool,
) -> Check {
    let opened = lives::open_mode(disk, &simulation.clock, &mut simulation.rng, OpenMode::Salvage);
    let (_world, store) = match opened {
        Ok(opened) => opened,
        // Of the one field that says how to read all others.
        Err(OpenError::NewerFormat { file, .. }) if file == flipped => return Ok(()),
        Err(error) => return Err(unexpected("a salvage")(error)),
    };
    for entry in whole {
        let Found::Event { position, placed, id } = entry else { continue };
        match store.event_at(*position) {
            Ok(Some(event)) => {
                let found = simulation.model.told(&event)?;
                ensure(found == (*position, *placed) && event.id() == *id, || {
                    format!("{entry:?} is salvaged as {found:?}")
                })?;
            }
            Ok(None) | Err(ReadError::Corrupt { .. }) => {
                // Of what is lost behind all that is whole nobody knows how many events it held.
                let tells = |loss: &Loss| {
                    let holds = match &loss.positions {
                        Some(lost) => lost.contains(position),
                        None => *position > store.last_position(),
                    };
                    holds && loss.file == flipped
                };
                let is_told = is_like_a_tear || store.losses().iter().any(tells);
                ensure(is_told, || format!("{entry:?} isn't salvaged; the losses: {:?}", store.losses()))?;
            }
            Err(error) => return Err(unexpected("a salvage")(error)),
        }
    }
    Ok(())
}

/// Looks at the log of a life that goes on, as another process would: it sees all that was acknowledged, in order and
/// without a gap, and nothing that isn't durable.
pub(super) fn look_beside(simulation: &mut Simulation, life: &Life) -> Check {
    simulation.note(|| "look beside".to_owned());
    let explained = |error: ReadError| ensure(is_explained(&error), || unexpected("a look beside")(error));
    let opened = lives::open_mode(&life.world.disk, &simulation.clock, &mut simulation.rng, OpenMode::Read);
    let (_world, store) = match opened {
        Ok(opened) => opened,
        Err(OpenError::Read(error)) => return explained(error),
        Err(error) => return Err(unexpected("a look beside")(error)),
    };
    let (acknowledged, last) = (simulation.model.durable, store.last_position());
    ensure(last >= acknowledged, || format!("{acknowledged} events are durable; who looks beside sees {last}"))?;
    let events = match store.read(Query::new()) {
        Ok(events) => events,
        Err(error) => return explained(error),
    };
    let mut wanted = 0;
    for event in events {
        let event = match event {
            Ok(event) => event,
            Err(error) => return explained(error),
        };
        wanted += 1;
        let position = simulation.model.seen(&event)?;
        ensure(position == wanted, || format!("who looks beside gets {position} where {wanted} is next"))?;
    }
    ensure(wanted >= last, || format!("who looks beside reads {wanted} of {last} events"))
}

/// Makes all that is derived anew: the log is the same afterwards.
pub(super) fn rebuild(simulation: &mut Simulation, disk: &SimulatedDisk, found: &[Found]) -> Check {
    let world = World::new(disk.clone(), simulation.clock.clone());
    let begun = Rebuild::begin(world.environment(simulation.rng.any()), |_| {}).map_err(unexpected("a rebuild"))?;
    let lost = begun.lost();
    ensure(lost.is_empty(), || format!("a rebuild says {lost:?}"))?;
    let store: EventStore = begun.finish(&[], |_| {}).map_err(unexpected("a rebuild"))?;
    let after = everything(&store, &simulation.model)?;
    ensure(after == found, || format!("{} entries before a rebuild, and {} after", found.len(), after.len()))?;
    store.close().map_err(unexpected("a close after a rebuild"))
}
