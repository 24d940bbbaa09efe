//! Events that a call emits, made ready to be appended with the record that it succeeded.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::Options;
use super::delivery::idempotency_key;
use crate::event::{Event, Name, Timestamp};
use crate::log::{EventStore, ReadError, RecordedEvent};
use crate::routing::{RouteError, Router};

/// Why events can't be emitted: the handler's or the configuration's fault, so trying again is no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum EmitError {
    #[error("emitted event {number}: {source}")]
    Route {
        number: usize,
        #[source]
        source: RouteError,
    },
    #[error("emitted event {number} states its {field}, which follows from its cause; leave it out")]
    Stated { number: usize, field: &'static str },
    #[error("the call emits {count} events; max_emitted is {limit}")]
    TooMany { count: usize, limit: usize },
    #[error("the cascade is {depth} events deep; max_cascade_depth is {limit}")]
    TooDeep { depth: u32, limit: u32 },
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The id of the `number`th thing, from 1, that a call makes: a version 7 UUID with the time of its cause in front, so
/// that ids of one cascade lie close together, and 74 bits that follow from the call.
pub(super) fn derived_id(cause: &RecordedEvent, handler: &Name, call: u32, number: usize) -> Uuid {
    id_from(cause.id(), cause.recorded_at(), &idempotency_key(cause.scope(), cause.id(), handler, call), number)
}

fn id_from(cause: Uuid, recorded_at: i64, key: &str, number: usize) -> Uuid {
    let millis = match cause.get_version_num() {
        7 => (cause.as_u128() >> 80) as u64,
        _ => u64::try_from(recorded_at / 1_000).unwrap_or_default(),
    };
    let digest = Sha256::new().chain_update(key).chain_update(format!("#{number}")).finalize();
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(digest) {
        *to = from;
    }
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Gives emitted events what follows from their cause, and the revision that routes them.
pub(super) fn prepare(
    store: &EventStore,
    router: &Router,
    options: &Options,
    cause: &RecordedEvent,
    (handler, call): (&Name, u32),
    events: Vec<Event>,
) -> Result<Vec<Event>, EmitError> {
    if events.is_empty() {
        return Ok(events);
    }
    if events.len() > options.max_emitted {
        return Err(EmitError::TooMany { count: events.len(), limit: options.max_emitted });
    }
    let depth = depth(store, cause, options.max_cascade_depth)?.saturating_add(1);
    if depth > options.max_cascade_depth {
        return Err(EmitError::TooDeep { depth, limit: options.max_cascade_depth });
    }
    let mut prepared = Vec::with_capacity(events.len());
    for (mut event, number) in events.into_iter().zip(1..) {
        let stated = [
            ("id", event.id.is_some()),
            ("variant", event.variant.is_some()),
            ("correlation_id", event.correlation_id.is_some()),
            ("causation_id", event.causation_id.is_some()),
            ("actor", event.actor.is_some()),
        ];
        if let Some((field, _)) = stated.into_iter().find(|(_, stated)| *stated) {
            return Err(EmitError::Stated { number, field });
        }
        event.variant = cause.variant().map(str::to_owned);
        let plan = router.admit(cause.scope(), &event).map_err(|source| EmitError::Route { number, source })?;
        event.revision = Some(plan.revision);
        event.id = Some(derived_id(cause, handler, call, number));
        event.correlation_id = Some(cause.correlation_id());
        event.causation_id = Some(cause.id());
        event.actor = cause.actor().map(str::to_owned);
        event.time.get_or_insert(Timestamp::from_micros(cause.recorded_at()));
        if event.stream.is_empty() {
            cause.stream().clone_into(&mut event.stream);
        }
        prepared.push(event);
    }
    Ok(prepared)
}

/// How many events stand before this one in its line of causes; counted up to `limit`.
pub(super) fn depth(store: &EventStore, event: &RecordedEvent, limit: u32) -> Result<u32, ReadError> {
    let (mut depth, mut cause) = (0, event.causation_id());
    while let Some(id) = cause
        && depth <= limit
    {
        // A cause that isn't here was outside: the line ends.
        let Some(event) = store.event(event.scope(), id)? else { break };
        depth += 1;
        cause = event.causation_id();
    }
    Ok(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id once derived is derived again by every later version, or a restart would emit twice.
    #[test]
    fn derived_ids_stay() {
        let cause = Uuid::parse_str("018f0000-1234-7abc-8def-0123456789ab").unwrap();
        let id = id_from(cause, 0, "dutch-bank/loans:018f:score:1", 1);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.as_u128() >> 80, cause.as_u128() >> 80, "the cause's timestamp in front");
        assert_eq!(id.to_string(), "018f0000-1234-7551-a8d1-f63fa49b1bfe");
        assert_ne!(id, id_from(cause, 0, "dutch-bank/loans:018f:score:1", 2));
        let other = id_from(Uuid::from_u128(5), 1_700_000_000_000_000, "k", 1);
        assert_eq!(other.as_u128() >> 80, 1_700_000_000_000, "the time it was recorded, where the cause's id has none");
    }
}
