//! Reading a whole log, and holding it against the model.

use std::sync::Arc;

use super::fold::ChainFold;
use super::model::{Check, Found, Model, Placed, ensure};
use crate::event::Scope;
use crate::log::{
    Address, At, Depth, Direction, EventStore, Folds, LogEntry, OpenError, Query, RecordKind, verify_disk,
};
use crate::storage::Disk;
use crate::storage::simulated::Rng;

/// An error where none may be.
pub(super) fn unexpected<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> String {
    move |error| format!("{what} failed: {error}")
}

/// Everything in a log, in order.
pub(super) fn everything(store: &EventStore, model: &Model) -> Check<Vec<Found>> {
    let mut found = Vec::new();
    let mut follow = store.follow(Address::START).map_err(unexpected("following"))?;
    while let Some(entry) = follow.next().map_err(unexpected("following"))? {
        found.push(match entry {
            LogEntry::Event(event) => {
                let (position, placed) = model.told(&event)?;
                Found::Event { position, placed, id: event.id() }
            }
            LogEntry::Record(record) => {
                let (attempt, index) = model.told_record(&record)?;
                Found::Record { attempt, index }
            }
        });
    }
    Ok(found)
}

/// Asks a log the same in other ways. The model has adopted what is in it.
pub(super) fn answers(store: &EventStore, model: &Model, streams_at_most: u64, rng: &mut Rng) -> Check {
    let events = model.order.len() as u64;
    let last = store.last_position();
    ensure(last == events, || format!("last_position is {last}, and there are {events} events"))?;
    let positions = |query: Query| -> Check<Vec<u64>> {
        let events = store.read(query).map_err(unexpected("a read"))?;
        events.map(|event| event.map(|event| event.position()).map_err(unexpected("a read"))).collect()
    };
    let mut backward = positions(Query::new().backward())?;
    backward.reverse();
    ensure(backward == (1..=events).collect::<Vec<_>>(), || "a backward read skips or repeats".to_owned())?;
    let after = rng.below(events + 2);
    let wanted: Vec<u64> = (after + 1..=events).collect();
    ensure(positions(Query::new().after(after))? == wanted, || format!("a read after {after} skips or repeats"))?;
    let prefix = format!("T{}_", rng.below(3));
    let is_of = |number: &usize, index: usize| {
        model.attempts.get(*number).and_then(|a| a.events.get(index)).is_some_and(|e| e.event_type.starts_with(&prefix))
    };
    let wanted = model.order.iter().filter(|(_, placed)| is_of(&placed.attempt, placed.index));
    let wanted: Vec<u64> = wanted.map(|(position, _)| *position).collect();
    ensure(positions(Query::new().type_prefix(&prefix))? == wanted, || format!("a read of {prefix} is wrong"))?;
    let mut streams = 0;
    for (number, scope) in model.scopes.iter().enumerate() {
        for stream in 0..streams_at_most {
            let stream = format!("s-{stream}");
            streams += u64::from(one_stream(store, model, number, scope, &stream, rng)?);
        }
    }
    let counted = store.stats().map_err(unexpected("stats"))?.streams;
    ensure(counted == streams, || format!("stats says {counted} streams, and there are {streams}"))?;
    let listed = store.streams(None, "").map_err(unexpected("streams"))?.count() as u64;
    ensure(listed == streams, || format!("{listed} streams are listed, and there are {streams}"))?;
    ids(store, model, rng)?;
    keys(store, model, rng)
}

fn one_stream(
    store: &EventStore,
    model: &Model,
    number: usize,
    scope: &Scope,
    stream: &str,
    rng: &mut Rng,
) -> Check<bool> {
    let wanted = model.stream(number, stream);
    let version = store.version(scope, stream).map_err(unexpected("a version"))?;
    ensure(version == wanted.len() as u64, || format!("{stream} is at {version}, and has {} events", wanted.len()))?;
    let from = 1 + rng.below(version + 1);
    for direction in [Direction::Forward, Direction::Backward] {
        let mut found = Vec::new();
        for event in store.read_stream(scope, stream, from, direction).map_err(unexpected("a stream"))? {
            found.push(event.map_err(unexpected("a stream"))?.position());
        }
        let (below, above) = wanted.split_at(wanted.len().min(from as usize - 1));
        let wanted: Vec<u64> = match direction {
            Direction::Forward => above.iter().map(|(position, _)| *position).collect(),
            Direction::Backward => {
                above.iter().take(1).chain(below.iter().rev()).map(|(position, _)| *position).collect()
            }
        };
        ensure(found == wanted, || format!("{stream} {direction:?} from {from}: {found:?} instead of {wanted:?}"))?;
    }
    let fold = ChainFold(1 + rng.below(3));
    let at = rng.below(version + 1);
    let state = store.fold(scope, stream, &fold, At::Version(at), true).map_err(unexpected("a fold"))?;
    let chain = model.chain(number, stream, at, fold);
    ensure(state.version == at && Some(state.state) == chain, || {
        format!("state of {stream} at {at}: {state:?} instead of {chain:?}")
    })?;
    Ok(version > 0)
}

/// Ids, of one scope and not of the other, and what they caused.
fn ids(store: &EventStore, model: &Model, rng: &mut Rng) -> Check {
    for _ in 0..8 {
        let position = 1 + rng.below(model.order.len() as u64);
        let Some(placed) = model.order.get(&position) else { continue };
        let attempt = model.attempt(placed.attempt)?;
        let Some(id) = attempt.events.get(placed.index).and_then(|event| event.id) else { continue };
        let event = store.event(model.scope(attempt.scope)?, id).map_err(unexpected("a look-up"))?;
        let found = event.as_ref().map(|event| model.told(event)).transpose()?;
        ensure(found == Some((position, *placed)), || format!("id {id} gives {found:?}"))?;
        let other = store.event(model.scope(1 - attempt.scope)?, id).map_err(unexpected("a look-up"))?;
        ensure(other.is_none(), || format!("id {id} is found in the other scope"))?;
        let at = store.event_at(position).map_err(unexpected("a look-up"))?.map(|event| event.id());
        ensure(at == Some(id), || format!("position {position} gives {at:?}"))?;
        let caused = store.caused_by(model.scope(attempt.scope)?, id).map_err(unexpected("a look-up"))?;
        let caused: Vec<u64> = caused.iter().map(|event| event.position()).collect();
        let is_caused = |placed: &Placed| {
            model
                .attempts
                .get(placed.attempt)
                .filter(|a| a.scope == attempt.scope)
                .is_some_and(|a| a.events.get(placed.index).is_some_and(|event| event.cause == Some(id)))
        };
        let wanted: Vec<u64> =
            model.order.iter().filter(|(_, placed)| is_caused(placed)).map(|(position, _)| *position).collect();
        ensure(caused == wanted, || format!("{id} caused {wanted:?}, and {caused:?} are found"))?;
    }
    Ok(())
}

/// Records by their key.
fn keys(store: &EventStore, model: &Model, rng: &mut Rng) -> Check {
    let key = format!("k-{}", rng.below(6)).into_bytes();
    for kind in [RecordKind::Delivery, RecordKind::Configuration] {
        let found = store.records_with_key(kind, &key).map_err(unexpected("records by key"))?;
        let found: Vec<_> = found.iter().map(|record| model.told_record(record)).collect::<Check<_>>()?;
        let mut wanted = 0;
        let records = store.records(kind, Address::START).map_err(unexpected("records"))?;
        for record in records {
            let record = record.map_err(unexpected("records"))?;
            wanted += usize::from(record.key == key);
        }
        ensure(found.len() == wanted, || format!("{} records by key, and {wanted} by reading all", found.len()))?;
    }
    Ok(())
}

/// `verify` finds nothing wrong, nor does a deep one.
pub(super) fn verifies(disk: Arc<dyn Disk>, rng: &mut Rng) -> Check {
    let folds = || (1..=3).fold(Folds::default(), |folds, fingerprint| folds.with(ChainFold(fingerprint)));
    let depth = if rng.one_in(2) { Depth::Structure } else { Depth::Deep(folds()) };
    match verify_disk(disk, &depth, |_, _| {}) {
        Err(OpenError::NotFound { .. }) => Ok(()),
        report => {
            let report = report.map_err(unexpected("verify"))?;
            ensure(report.ok, || format!("verify says {report:?}"))
        }
    }
}
